"""What all threads of the target execute, sampled from outside: without a pause where its memory can be read."""
