"""What can be measured on this machine; knows nothing of causes, files or screens."""
