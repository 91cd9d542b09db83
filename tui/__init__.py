"""The terminal interface: it shows what the correlator concluded, and adds nothing to it."""
