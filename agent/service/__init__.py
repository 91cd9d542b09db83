"""The recorder as a service: which servers, into which files, and what is kept of them."""
