"""The asyncio tasks of a process, read from outside: what each awaits, and which connection it serves."""
