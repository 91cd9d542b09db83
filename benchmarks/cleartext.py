"""What reading TLS in the clear costs the target: its calls of SSL_read and SSL_write, probed and not, in turn.

One process speaks TLS with itself, through memory: a call of its OpenSSL and no system call. It clocks its own CPU.
A ledger that watches it has its probes on both functions; one that was told to leave them out is the one to compare
with, for it costs the same otherwise. (In a real target that calls so often the probes are taken away again.)

    python benchmarks/cleartext.py --quick
    python benchmarks/cleartext.py --write
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rounds import UNWATCHED, in_rounds, machine, median, ratios
from rounds import run as run_benchmark

from perfwatch.agent.target import interpreter_of
from perfwatch.probes.ledger.probe import LedgerProbe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OBSERVERS: Final = (UNWATCHED, "ledger --without cleartext", "ledger")
TARGET: Final = """
import ssl, sys, time

def party(kind, **more):
    context = ssl.SSLContext(kind)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AECDH-AES128-SHA:@SECLEVEL=0")  # anonymous: no certificate is needed
    return context.wrap_bio(*more["pipes"], server_side=kind == ssl.PROTOCOL_TLS_SERVER)

there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
client = party(ssl.PROTOCOL_TLS_CLIENT, pipes=(back, there))
server = party(ssl.PROTOCOL_TLS_SERVER, pipes=(there, back))
for one in (client, server, client, server):
    try:
        one.do_handshake()
    except ssl.SSLWantReadError:
        pass

def clocked(count, act):
    begun = time.thread_time_ns()
    for _ in range(count):
        act()
    return time.thread_time_ns() - begun

print("ready", flush=True)
for line in sys.stdin:
    until, calls, wrote, read = time.monotonic() + float(line), 0, 0, 0
    while time.monotonic() < until:
        wrote += clocked(1000, lambda: client.write(b"hello"))
        read += clocked(1000, lambda: server.read(5))
        calls += 1000
    print(wrote / calls, read / calls, flush=True)
"""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One observer for some seconds."""

    round: int
    observer: str
    write_ns: float
    read_ns: float
    """One call, with what Python needs to make it."""


@contextlib.contextmanager
def target() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", TARGET]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def measure(number: int, observer: str, process: subprocess.Popen[str], seconds: float) -> Measurement:
    """Attach, have it speak, detach. The ledger is not read meanwhile: it would find its probes too dear."""
    watching: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
    if observer != UNWATCHED:
        watching = LedgerProbe(process.pid, interpreter_of, reads_clear_text=observer == OBSERVERS[-1])
    assert process.stdin is not None
    assert process.stdout is not None
    with watching:
        process.stdin.write(f"{seconds}\n")
        process.stdin.flush()
        write_ns, read_ns = map(float, process.stdout.readline().split())
    return Measurement(number, observer, write_ns, read_ns)


def more(results: Sequence[Measurement], observer: str, figure: str) -> str:
    """Return by how much a call is dearer than unwatched, compared within each round."""
    bases = {result.round: getattr(result, figure) for result in results if result.observer == UNWATCHED}
    mine = [result for result in results if result.observer == observer]
    return f"{median(mine, lambda r: getattr(r, figure) - bases[r.round]) / 1e3:.2f} us"


def section(rounds: int, seconds: float) -> list[str]:
    """Measure, and return the whole result as lines of Markdown."""
    with target() as process:
        results = in_rounds(rounds, OBSERVERS, lambda number, observer: measure(number, observer, process, seconds))
    lines = [
        "## What reading TLS in the clear costs a call of OpenSSL",
        "",
        f"{rounds} rounds of {seconds:g} s per cell, in one run, each round in an order of its own; five bytes a call,",
        f"through memory. {machine()}",
        "Medians; more, and ratios, are to `nothing` in the same round, with the least and the greatest in brackets.",
        "",
        "| observer | SSL_write | more | ratio | SSL_read | more | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for observer in OBSERVERS:
        mine = [result for result in results if result.observer == observer]
        lines.append(
            f"| {observer} | {median(mine, lambda r: r.write_ns) / 1e3:.2f} us | {more(results, observer, 'write_ns')} "
            f"| {ratios(results, observer, lambda r: r.write_ns)} | {median(mine, lambda r: r.read_ns) / 1e3:.2f} us "
            f"| {more(results, observer, 'read_ns')} | {ratios(results, observer, lambda r: r.read_ns)} |"
        )
    return [*lines, ""]


if __name__ == "__main__":
    sys.exit(run_benchmark(__doc__, "cleartext", section, (8, 1.0)))
