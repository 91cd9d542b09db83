"""The middleware for programs that may be changed: a file to copy into them. Nothing of perfwatch imports it."""
