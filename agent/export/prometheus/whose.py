"""Whose metrics they are, where one address has those of several servers."""

from __future__ import annotations

from typing import NamedTuple


class Name(NamedTuple):
    """What a server's metrics go by: the labels of the same names."""

    server: str
    """What runs it and its port: `gunicorn-8000`; in a container that one's name and the port."""
    pod: str
    """`namespace/name`; empty where it is in none."""
