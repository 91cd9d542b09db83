"""Streams of HTTP/2 as requests, made of the frames that the kernel tells: pure, no I/O.

`headers.py` decodes blocks of headers, `blocks.py` puts them together from pieces of frames, `connection.py` keeps what
is under way on one connection, `streams.py` those of all.
"""
