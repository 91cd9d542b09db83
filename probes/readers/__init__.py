"""How the kernel tells what the probes yield: its files, sockets and objects, read within bounds. No probe is here."""
