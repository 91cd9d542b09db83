"""The formats that a recording can be exported to: what each is, what it needs, and the module that writes it."""

from __future__ import annotations

from contextlib import nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, cast

from perfwatch.agent.export.extras import needing

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from perfwatch.agent.export.exported import Exported


class Format(NamedTuple):
    """One format; the module of its name has the function `write`."""

    about: str
    extension: str
    is_text: bool = True
    """It may be printed on a terminal."""
    extra: str | None = None
    """What of perfwatch must be installed with it: `pip install 'perfwatch[EXTRA]'`."""
    has_rows: bool = False
    """It is a table, of one thing or another (`rows.py`)."""


Write: TypeAlias = "Callable[[Exported, BinaryIO], None]"
"""Writes what is meant of a recording into a file, which need not be seekable; raises PerfwatchError."""
FORMATS: Final[dict[str, Format]] = {
    "collapsed": Format("stacks with their times, for flamegraph.pl, inferno, speedscope", ".collapsed.txt"),
    "speedscope": Format("the same for speedscope, with a profile of each endpoint", ".speedscope.json"),
    "pprof": Format("the same for `go tool pprof`", ".pb.gz", is_text=False, extra="pprof"),
    "perfetto": Format(
        "requests, threads, calls and queues in time, for ui.perfetto.dev", ".pftrace", is_text=False, extra="perfetto"
    ),
    "csv": Format("a table of requests, calls, waits or stacks, for spreadsheets and scripts", ".csv", has_rows=True),
    "parquet": Format("the same for data frames and databases", ".parquet", False, "parquet", has_rows=True),  # noqa: FBT003
}


def load(name: str) -> Write:
    """Import what writes a format; PerfwatchError where a library that it needs is not installed."""
    extra = FORMATS[name].extra
    with needing(extra, f"--format {name}") if extra is not None else nullcontext():
        module = import_module(f"perfwatch.agent.export.{name}")
    return cast("Write", module.write)
