"""The demo: a small shop that is slow for several reasons, the service it calls, and the load on it."""
