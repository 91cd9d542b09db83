"""What is said on a connection that a process opened itself: by the first bytes, and by the port.

One file a protocol, each with one function `read`: the first bytes of what was sent, to a `Turn` (the protocol, what is
asked with all literals removed, and whether anything is asked at all), or None where they cannot be of that protocol.
Pure, and in time that is linear in the bytes given; these come from the target and its peers, and may be anything.

What is a literal is decided towards silence: where a string's end cannot be told (a quote behind a backslash, a string
that is cut), the operation ends there, with `…`.
"""
