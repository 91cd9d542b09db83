"""Counters of the target's network namespace: segments, retransmits, overflows of accept queues, interfaces.

Source: /proc/PID/net/snmp, netstat and dev, of the first process of the tree that lives; any user may read them, also
of a process in another namespace. What interfaces can carry is below /sys/class/net, of our own namespace only. Once a
second; cost: 0.3 ms.

    $ grep Tcp: /proc/4312/net/snmp
    Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens ... InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors
    Tcp: 1 200 120000 -1 1841 ... 61931 62127 12 0 87 0
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple, Self, TypeAlias

from perfwatch.probes import roots
from perfwatch.probes.errors import Malformed, ProbeError, Unavailable, Vanished
from perfwatch.probes.probe import AVAILABLE, Availability
from perfwatch.probes.readers.proc import read, text
from perfwatch.probes.samples import NetworkSample

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from types import TracebackType

    from perfwatch.probes.records import Record

Counters: TypeAlias = "Mapping[tuple[str, str], int]"

_COLUMNS: Final = 16
"""Of /proc/net/dev: 8 received (bytes, packets, errs, drop, ...), then 8 sent."""
_LOOPBACK: Final = "lo"
_SPEEDS_ANEW: Final = 60
_LOST: Final = "retransmits, overflows of accept queues and traffic of the host"


class Interface(NamedTuple):
    """A network interface, cumulative."""

    name: str
    received_bytes: int
    receive_errors: int
    receive_drops: int
    sent_bytes: int
    send_errors: int
    send_drops: int


class NetworkProbe:
    """Samples the network namespace of the target."""

    name = "network"
    period_s = 1.0

    def __init__(self, tree: Callable[[], Collection[int]]) -> None:
        """`tree` gives the PIDs that belong to the target at this moment."""
        self._tree = tree
        self._links: tuple[frozenset[str], int | None] = (frozenset(), None)
        self._names: frozenset[str] = frozenset()
        self._readings = 0

    def availability(self) -> Availability:
        """Look whether the counters of one of the target's processes may be read."""
        refused = self._obstacle()
        return Availability("unavailable", refused.reason, _LOST, refused.remedy) if refused else AVAILABLE

    def __enter__(self) -> Self:
        refused = self._obstacle()
        if refused:
            raise refused
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def read(self, now_ns: int) -> Sequence[Record]:
        """Return one sample; nothing if no process of the target can be read."""
        for pid in sorted(self._tree()):
            try:
                counters = read_counters(pid)
                interfaces = read_interfaces(pid)
            except (Vanished, Unavailable):
                continue
            return [self._sample(now_ns, pid, counters, interfaces)]
        return []

    def _obstacle(self) -> Unavailable | None:
        for pid in sorted(self._tree()):
            try:
                read_counters(pid)
            except Vanished:
                continue
            except Unavailable as error:
                return error
            return None
        return None

    def _sample(self, now_ns: int, pid: int, counters: Counters, interfaces: Sequence[Interface]) -> NetworkSample:
        physical, speed_bits = self._hardware(pid, frozenset(one.name for one in interfaces))
        used = [one for one in interfaces if one.name in physical] if physical else interfaces
        return NetworkSample(
            at_ns=now_ns,
            sent_segments=counters["Tcp", "OutSegs"],
            received_segments=counters["Tcp", "InSegs"],
            retransmitted_segments=counters["Tcp", "RetransSegs"],
            listen_overflows=counters.get(("TcpExt", "ListenOverflows")),
            listen_drops=counters.get(("TcpExt", "ListenDrops")),
            backlog_drops=counters.get(("TcpExt", "TCPBacklogDrop")),
            timeouts=counters.get(("TcpExt", "TCPTimeouts")),
            resets_sent=counters.get(("Tcp", "OutRsts")),
            received_bytes=sum(one.received_bytes for one in used),
            sent_bytes=sum(one.sent_bytes for one in used),
            interface_errors=sum(one.receive_errors + one.send_errors for one in used),
            interface_drops=sum(one.receive_drops + one.send_drops for one in used),
            speed_bits=speed_bits,
        )

    def _hardware(self, pid: int, names: frozenset[str]) -> tuple[frozenset[str], int | None]:
        """Return the physical interfaces of the target's namespace and what they carry; none where it is not ours.

        Looked up anew when the interfaces changed, and every `_SPEEDS_ANEW` readings: drivers take their time.
        """
        if names != self._names or self._readings % _SPEEDS_ANEW == 0:
            self._names, self._links = names, _hardware(names) if _is_ours(pid) else (frozenset(), None)
        self._readings += 1
        return self._links


def read_counters(pid: int) -> Counters:
    """Read the protocol counters of a process's namespace; raises Vanished, Unavailable, Malformed."""
    net = roots.PROC / str(pid) / "net"
    counters = dict(parse_counters(read(net / "snmp")))
    missing = {name for name in ("OutSegs", "InSegs", "RetransSegs") if ("Tcp", name) not in counters}
    if missing:
        raise Malformed(f"{net / 'snmp'} has no {', '.join(sorted(missing))}")
    with suppress(Vanished):
        counters.update(parse_counters(read(net / "netstat")))
    return counters


def read_interfaces(pid: int) -> list[Interface]:
    """Read the interfaces of a process's namespace, but for the loopback; raises Vanished, Unavailable, Malformed."""
    path = roots.PROC / str(pid) / "net" / "dev"
    return [one for one in parse_interfaces(read(path)) if one.name != _LOOPBACK]


def parse_counters(data: bytes) -> Counters:
    """Parse pairs of lines, names and values (/proc/net/snmp, netstat): (`Tcp`, `OutSegs`) -> 62127."""
    lines = text(data).split("\n")
    found: dict[tuple[str, str], int] = {}
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        group, _, rest = names.partition(":")
        if not values.startswith(f"{group}:"):
            raise Malformed(f"the counters of {group[:20]!r} have no values")
        for name, value in zip(rest.split(), values.partition(":")[2].split(), strict=False):
            found[group, name] = _number(value)
    return found


def parse_interfaces(data: bytes) -> list[Interface]:
    """Parse /proc/net/dev: two lines of headings, then `  eth0: 1522067 1042 0 0 0 0 0 0 98231 871 0 0 0 0 0 0`."""
    found = []
    for line in text(data).split("\n")[2:-1]:  # what else ends a line may stand in a name
        name, _, rest = line.rpartition(":")
        values = [_number(value) for value in rest.split()]
        if len(values) < _COLUMNS:
            raise Malformed(f"an interface with {len(values)} columns")
        received, sent = values[:8], values[8:]
        found.append(Interface(name.strip(), received[0], received[2], received[3], sent[0], sent[2], sent[3]))
    return found


def _number(value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise Malformed(f"{value[:20]!r} is no counter") from None


def _is_ours(pid: int) -> bool:
    try:
        theirs = (roots.PROC / str(pid) / "ns" / "net").stat()
        return theirs.st_ino == (roots.PROC / "self" / "ns" / "net").stat().st_ino
    except OSError:
        return False


def _hardware(names: Collection[str]) -> tuple[frozenset[str], int | None]:
    """Return which of our interfaces are hardware, and the sum of their speeds: None where one that is up does not say.

    Bridges, pairs and tunnels carry the same bytes once more.
    """
    physical = frozenset(name for name in names if (roots.SYS / "class" / "net" / name / "device").exists())
    speeds = [_speed(name) for name in physical]
    return physical, sum(speed for speed in speeds if speed) if speeds and None not in speeds else None


def _speed(name: str) -> int | None:
    """Return the bits a second of an interface (`10000` in Mbit/s); 0 for one that is down, None where unknown."""
    directory = roots.SYS / "class" / "net" / name
    try:
        if read(directory / "operstate").strip() == b"down":
            return 0
        mbits = _number(text(read(directory / "speed")).strip())
    except (OSError, ProbeError):
        return None
    return mbits * 1_000_000 if mbits > 0 else None
