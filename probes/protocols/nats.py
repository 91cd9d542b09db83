"""NATS: `PUB orders.created`, the verb and its subject, whose variable parts are folded to `{}`.

A `PUB` that names a subject for the reply is a call, the others are publishes. `CONNECT` and the first `PING` are the
setting up of the connection; the server speaks first, with `INFO`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes.protocols.http1 import is_variable
from perfwatch.probes.protocols.turn import CUT, Said, Turn

if TYPE_CHECKING:
    from collections.abc import Iterator

_PUBLISHES: Final = {"PUB": 2, "HPUB": 3}
"""And how many words follow where no reply is wanted."""
_CHATTER: Final = frozenset({"SUB", "UNSUB", "PING", "PONG"})
_VERBS: Final = _CHATTER | _PUBLISHES.keys()


def read(said: Said) -> Turn | None:
    """Read the first line that asks for something."""
    lines = list(_lines(said))
    if not lines:
        return None
    for verb, words in lines:
        if verb in _PUBLISHES:
            return _publish(verb, words)
        if verb == "CONNECT":
            return Turn("nats", phase="opening")
    return Turn("nats", phase="chatter") if said.known or lines[0][0] != "PING" else None


def is_greeting(head: bytes) -> bool:
    """Whether a server opens the conversation."""
    return head.startswith(b"INFO {")


def _lines(said: Said) -> Iterator[tuple[str, list[str]]]:
    """Yield the verbs and their words; what follows the payload of a publish is not looked at."""
    rest = said.head
    while rest:
        line, ended, rest = rest.partition(b"\r\n")
        verb, *words = line.decode("utf-8", "replace").split()[:5] or [""]
        is_connect = verb == "CONNECT" and line[len("CONNECT ") :].startswith(b"{")
        if not is_connect and (verb not in _VERBS or not (ended or said.cut)):
            return
        yield verb, words if ended else []
        if verb in _PUBLISHES:
            return


def _publish(verb: str, words: list[str]) -> Turn:
    if not words:
        return Turn("nats", f"{verb} {CUT}", "publish")
    subject = ".".join("{}" if is_variable(part) else part for part in words[0].split("."))
    return Turn("nats", f"{verb} {subject}", "call" if len(words) > _PUBLISHES[verb] else "publish")
