"""Says an opportunity: one sentence with its numbers, the evidence, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.findings import counted
from perfwatch.agent.correlator.wording import cut, duration, percent, size
from perfwatch.agent.model import Chance, Evidence, Opportunity

if TYPE_CHECKING:
    from perfwatch.agent.correlator.chances.linking import Opened
    from perfwatch.agent.correlator.chances.notes import Note
    from perfwatch.agent.correlator.connections import Handshakes

EVERY: Final = ("*", "*")
"""In place of an endpoint: all of them."""
_MAX_EXAMPLE: Final = 160
_LEAST_MS: Final = 0.1
_ADVICE: Final[dict[Chance, tuple[str, ...]]] = {
    "cache": (
        (
            "If the answer is the same for all who ask, and may be some seconds old: keep it (functools.lru_cache with "
            "a time limit, cachetools.TTLCache, Redis), or let a proxy do so (Cache-Control: max-age, ETag)."
        ),
        "If it depends on who asks, keep what it is made of: the results of its queries and calls.",
    ),
    "static": (
        (
            "Let the web server or a CDN serve these files (nginx: location + root; X-Accel-Redirect for those that "
            "need a login), or whitenoise with hashed names and a far Cache-Control, so that browsers ask once."
        ),
    ),
    "compress": (
        (
            "Compress it for clients that accept that (Accept-Encoding is not seen): gzip or zstd in the proxy (nginx: "
            "gzip on; gzip_types ...), or GZipMiddleware of Django or Starlette, flask-compress."
        ),
    ),
    "reuse-connections": (
        (
            "Keep connections and use them again: one httpx.Client, requests.Session, or pool of psycopg or SQLAlchemy "
            "for the whole process; Django: CONN_MAX_AGE."
        ),
    ),
    "resume-tls": (
        (
            "Resume sessions: one ssl.SSLContext for all connections, session tickets on at both ends, TLS 1.3; and "
            "keep connections, so that there are fewer handshakes."
        ),
    ),
    "overlap-calls": (
        "Make these calls at the same time (asyncio.gather, a thread pool) if they do not need each other's answers.",
    ),
    "retries": (
        (
            "Make conflicts rarer: shorter transactions, rows taken in one order, SELECT ... FOR UPDATE or an atomic "
            "UPDATE where many write the same; wait a random, growing time before the next try."
        ),
    ),
}


class Sum:
    """Notes of one kind and endpoint."""

    __slots__ = ("bytes", "count", "example", "saved_ns", "spent_ns")

    def __init__(self) -> None:
        self.count = self.saved_ns = self.spent_ns = self.bytes = 0
        self.example = ""

    def add(self, note: Note, sign: int) -> None:
        """Add a note; with sign -1 take it back."""
        self.count += sign
        self.saved_ns += sign * note.saved_ns
        self.spent_ns += sign * note.spent_ns
        self.bytes += sign * note.bytes
        if sign > 0:
            self.example = note.example

    @property
    def saves_ms(self) -> float | None:
        """For each of them."""
        return round(self.saved_ns / self.count / 1e6, 3) if self.saved_ns and self.count else None

    def plus(self, other: Sum) -> None:
        """Add all of another one."""
        self.count += other.count
        self.saved_ns += other.saved_ns
        self.spent_ns += other.spent_ns
        self.bytes += other.bytes
        self.example = self.example or other.example


class Files:
    """Static files of one folder, under the busiest of their routes."""

    def __init__(self) -> None:
        self.sum = Sum()
        self.routes = 0
        self.endpoint = EVERY
        self._most = -1

    def add(self, endpoint: tuple[str, str], mine: Sum) -> None:
        """Add those of one route."""
        self.sum.plus(mine)
        self.routes += mine.count > 0
        if mine.count > self._most:
            self.endpoint, self._most = endpoint, mine.count


def told(kind: Chance, endpoint: tuple[str, str], mine: Sum, count: int) -> Opportunity:
    """Say what requests of one endpoint have noted; `count` of them there were."""
    each = duration(mine.saved_ns / mine.count)
    name = " ".join(endpoint)
    example = cut(mine.example, _MAX_EXAMPLE)
    texts = {
        "cache": f"{name}: {mine.count} of {counted(count, 'request')} repeated, within a minute, the work of one like "
        f"it: a cache would save {each} of each",
        "compress": f"{name}: {counted(mine.count, 'large answer')} sent as uncompressed text, "
        f"{size(mine.bytes / mine.count)} each; compressed they are some 3 times smaller",
        "overlap-calls": f"{name}: of {counted(mine.count, 'request')} the calls went one after the other; at the same "
        f"time they would take {each} less",
        "retries": f"{name}: {counted(mine.count, 'request')} did work again after a conflict, {mine.bytes} times in "
        f"all; what was in vain took {each} of each",
    }
    what = {"cache": "asked for", "compress": "for instance", "overlap-calls": "these", "retries": "first in conflict"}
    evidence = [_number("repeated", mine.count, f"{counted(mine.count, 'request')} of {count}")]
    if example:
        evidence.append(Evidence("example", example, f"{what[kind]}: {example}"))
    if kind == "cache":
        cpu_ms = round(mine.spent_ns / mine.count / 1e6, 1)
        evidence.append(_number("on_cpu_ms", cpu_ms, f"{cpu_ms:.1f} ms of it on a CPU, each time"))
    if kind == "compress":
        evidence.append(_number("sent_bytes", mine.bytes, f"{size(mine.bytes)} were sent in all"))
    return Opportunity(kind, endpoint, texts[kind], mine.saves_ms, mine.count, tuple(evidence), _ADVICE[kind])


def told_files(some: Files) -> Opportunity:
    """Say how many files Python has served."""
    mine = some.sum
    each, cpu_ns = duration(mine.saved_ns / mine.count), mine.spent_ns / mine.count
    text = (
        f"{' '.join(some.endpoint)}: Python served static files {mine.count} times ({counted(some.routes, 'route')}), "
        f"{size(mine.bytes / mine.count)} and {each} each, {duration(cpu_ns)} of it on a CPU"
    )
    evidence = (
        Evidence("example", cut(mine.example, _MAX_EXAMPLE), f"for instance: {cut(mine.example, _MAX_EXAMPLE)}"),
        _number("sent_bytes", mine.bytes, f"{size(mine.bytes)} were sent in all"),
        _number("on_cpu_ms", round(mine.spent_ns / 1e6, 1), f"{duration(mine.spent_ns)} of CPU time in all"),
    )
    return Opportunity("static", some.endpoint, text, mine.saves_ms, mine.count, evidence, _ADVICE["static"])


def told_opened(endpoint: tuple[str, str], peer: Opened) -> Opportunity:
    """Say which connections were opened over and over."""
    text = (
        f"{' '.join(endpoint)}: {peer.connections} connections to {peer.peer} were opened for {peer.calls} calls of "
        f"{counted(peer.requests, 'request')}; kept, they would save {_saved(peer.saves_ms)} of each"
    )
    evidence = (
        Evidence("peer", peer.peer, f"to {peer.peer}"),
        _number("connections", peer.connections, f"{peer.connections} were opened"),
        _number("connect_ms", round(peer.connect_ms, 1), f"connecting took {peer.connect_ms:.1f} ms in all"),
        _number("tls_ms", round(peer.tls_ms, 1), f"TLS handshakes took {peer.tls_ms:.1f} ms in all"),
    )
    saves_ms, advice = round(peer.saves_ms, 3) or None, _ADVICE["reuse-connections"]
    return Opportunity("reuse-connections", endpoint, text, saves_ms, peer.requests, evidence, advice)


def told_unresumed(endpoint: tuple[str, str], whom: str, count: int, handshakes: Handshakes) -> Opportunity:
    """Say how many handshakes began from nothing."""
    resumed = percent(handshakes.resumed / handshakes.shaken)
    where = "" if endpoint == EVERY else f"{' '.join(endpoint)}: "
    text = (
        f"{where}{handshakes.shaken} TLS handshakes with {whom}, {resumed} of them resumed: "
        f"{duration(handshakes.mean_ns)} each, of which a resumed one leaves out certificates and signatures"
    )
    evidence = (
        Evidence("peer", whom, f"with {whom}"),
        _number("handshakes", handshakes.shaken, f"{handshakes.shaken} handshakes, {handshakes.resumed} resumed"),
        _number("handshake_ms", round(handshakes.mean_ns / 1e6, 2), f"{duration(handshakes.mean_ns)} on average"),
    )
    return Opportunity("resume-tls", endpoint, text, None, count, evidence, _ADVICE["resume-tls"])


def _saved(saves_ms: float) -> str:
    return duration(saves_ms * 1e6) if saves_ms >= _LEAST_MS else f"less than {_LEAST_MS} ms"


def _number(name: str, value: float, text: str) -> Evidence:
    return Evidence(name, value, text)
