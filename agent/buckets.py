"""What a bucket or a part of a call means in words, and its colour: on the screen, in a page and in a call tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from perfwatch.agent.correlator.call_times import Part
    from perfwatch.agent.model import Bucket, Principle

MEANING: Final[Mapping[Bucket, str]] = {
    "queue": "waited in the socket until a thread read it",
    "on_cpu": "ran on a CPU",
    "gil": "blocked on the interpreter lock",
    "lock": "blocked on another lock",
    "loop": "its event loop served something else",
    "run_queue": "could run, but had no CPU",
    "disk": "blocked on block I/O",
    "fault": "blocked on memory: page fault, swap, reclaim",
    "calls": "waited for another process",
    "sleep": "slept on a timer",
    "receive": "waited for the rest of the request",
    "send": "waited for the client to take the response",
    "child": "waited for a child process",
    "other": "blocked for another reason",
}
"""What the request's thread was doing."""
COLOUR: Final[Mapping[Bucket, str]] = {
    "queue": "#e2c064",
    "on_cpu": "#7fb77e",
    "gil": "#e06c75",
    "lock": "#e8955a",
    "loop": "#d69ad6",
    "run_queue": "#b58cf0",
    "disk": "#4fb8a8",
    "fault": "#d16d9e",
    "calls": "#6cb2f0",
    "sleep": "#9aa7b8",
    "receive": "#56cbd8",
    "send": "#56a0d8",
    "child": "#a5a6f0",
    "other": "#a08c7a",
}
PART_GLYPH: Final[Mapping[Part, str]] = {"connect": "+", "tls": "#", "send": ">", "wait": "░", "transfer": "="}
PART_COLOUR: Final[Mapping[Part, str]] = {
    "connect": "#b58cf0",
    "tls": "#d16d9e",
    "send": "#56a0d8",
    "wait": "#6cb2f0",
    "transfer": "#56cbd8",
}
PART_MEANING: Final[Mapping[Part, str]] = {
    "connect": "of a call: its connection was set up",
    "tls": "of a call: TLS handshake",
    "send": "of a call: handed over what it asked",
    "wait": "of a call: until the first byte of the answer",
    "transfer": "of a call: the answer, from its first byte on",
}
GC_MEANING: Final = "ran the garbage collector"
GC_COLOUR: Final = "#c3d94e"
OPEN_COLOUR: Final = "#6b7480"
"""Of what no bucket explains."""
PRINCIPLE_COLOUR: Final[Mapping[Principle, str]] = {
    "efficiency": "#7fb77e",
    "concurrency": "#e8955a",
    "capacity": "#6cb2f0",
    "healthy": "#7fb77e",
    "unknown": "#9aa7b8",
}
