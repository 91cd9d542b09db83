"""A speedscope file: a profile of all endpoints together, and one of each; https://www.speedscope.app/file-format-schema.json.

Neighbours share as much of their path as they can, so that its time order shows them as one.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.agent.export.stacks import Path, summed
from perfwatch.agent.report_cells import clean

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

    from perfwatch.agent.export.exported import Exported

_SCHEMA: Final = "https://www.speedscope.app/file-format-schema.json"


class _Frame(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    file: str | None = None
    line: int | None = None


class _Profile(msgspec.Struct):
    """Of the kind `sampled`: stacks, the outermost frame first, and how long each of them took."""

    name: str
    endValue: int  # noqa: N815 - the format's name
    samples: list[list[int]]
    """Places in the file's frames."""
    weights: list[int]
    type: str = "sampled"
    unit: str = "nanoseconds"
    startValue: int = 0  # noqa: N815 - see above


def write(exported: Exported, out: BinaryIO) -> None:
    """Write the file; its first profile is of all, then the endpoint that took longest comes first."""
    spent, frames = summed(exported), _Frames()
    endpoints: Counter[str] = Counter()
    for path, spent_ns in spent.items():
        endpoints[path.endpoint] += spent_ns
    profiles = [_profile("all", ((frames.stack(path, is_whole=True), ns) for path, ns in spent.items()))]
    for endpoint, _ in endpoints.most_common():
        stacks = ((frames.stack(path), ns) for path, ns in spent.items() if path.endpoint == endpoint)
        profiles.append(_profile(endpoint, stacks))
    info = exported.info
    whole = {
        "$schema": _SCHEMA,
        "shared": {"frames": frames.told},
        "profiles": profiles,
        "name": clean(info.command),
        "activeProfileIndex": 0,
        "exporter": f"perfwatch {clean(info.perfwatch_version)}",
    }
    out.write(msgspec.json.encode(whole))


class _Frames:
    """The frames that stacks refer to by their places, each told once."""

    def __init__(self) -> None:
        self._places: dict[_Frame, int] = {}

    @property
    def told(self) -> list[_Frame]:
        return list(self._places)

    def stack(self, path: Path, *, is_whole: bool = False) -> tuple[int, ...]:
        """Return the places of a path's frames; of the whole, the first is its endpoint."""
        told = [_Frame(path.endpoint)] if is_whole else []
        told += [_Frame(one.function, one.file or None, one.line or None) for one in path.frames]
        if path.leaf is not None:
            told.append(_Frame(path.leaf))
        return tuple(self._places.setdefault(one, len(self._places)) for one in told)


def _profile(name: str, stacks: Iterable[tuple[tuple[int, ...], int]]) -> _Profile:
    spent: Counter[tuple[int, ...]] = Counter()
    for places, spent_ns in stacks:
        spent[places] += spent_ns
    told = sorted(spent.items())
    return _Profile(name, spent.total(), [list(places) for places, _ in told], [ns for _, ns in told])
