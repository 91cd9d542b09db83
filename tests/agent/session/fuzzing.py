"""Damages sessions at random and reads them: `python fuzzing.py DIRECTORY CASES SEED`; prints how they came out.

It may not use more than a bounded memory, nor take long over any file; what it reads must be whole seconds of what was
recorded, and what lacks must be said; else it ends with a traceback. The same seed gives the same cases.
"""

from __future__ import annotations

import random
import resource
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from click.testing import CliRunner

from perfwatch.agent.commands.session import session
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.marks import Marks
from perfwatch.agent.playing import QUICK
from perfwatch.agent.report_reading import read_session
from perfwatch.agent.session.reader import SessionReader

FIXTURES = Path(__file__).parents[2] / "fixtures" / "sessions"
MEMORY_BYTES = 1 << 30
PATIENCE_S = 60
"""For one file, on a machine that is busy."""
IN_FULL = 25
"""Of so many cases one goes through the commands as well."""


class Original(NamedTuple):
    """A session that is whole."""

    files: dict[str, bytes]
    """By suffix: a session that was not finished has siblings."""
    seconds: list[tuple]
    verdicts: list[tuple]
    info: object
    is_finished: bool


def originals(directory: Path) -> list[Original]:
    """A session of each format, and one that a killed recorder left in `directory`, if there is one."""
    return [_original(path) for path in [*sorted(FIXTURES.iterdir()), *directory.glob("killed")]]


def _original(path: Path) -> Original:
    suffixes = [suffix for suffix in ("", "-wal", "-shm") if path.with_name(path.name + suffix).exists()]
    files = {suffix: path.with_name(path.name + suffix).read_bytes() for suffix in suffixes}
    with SessionReader(path) as reader:
        seconds = list(reader.seconds())
        told = [second.records for second in seconds], [second.verdicts for second in seconds]
        return Original(files, *told, reader.info, reader.finished)


def _flip(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 1, 2, 8, 64))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _flip_beginning(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(min(len(data), 2048))] ^= 1 << chance.randrange(8)


def _overwrite(data: bytearray, chance: random.Random) -> None:
    at, length = chance.randrange(len(data)), chance.choice((1, 2, 4, 16, 512, 4096))
    data[at : at + length] = chance.choice((bytes(length), b"\xff" * length, chance.randbytes(length)))


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def _take_out(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    del data[at : at + chance.choice((1, 7, 512, 1024, 4096))]


def _put_in(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    data[at:at] = chance.randbytes(chance.choice((1, 7, 512, 1024, 4096)))


def _swap_pages(data: bytearray, chance: random.Random) -> None:
    size = int.from_bytes(data[16:18])
    size = size if size >= 512 else 4096
    pages = max(len(data) // size, 1)
    one, other = (chance.randrange(pages) * size for _ in range(2))
    data[one : one + size], data[other : other + size] = data[other : other + size], data[one : one + size]


DAMAGES = (_flip, _flip, _flip_beginning, _overwrite, _overwrite, _cut, _take_out, _put_in, _swap_pages)


def damage(original: Original, path: Path, chance: random.Random) -> None:
    """Write a damaged copy."""
    files = {suffix: bytearray(data) for suffix, data in original.files.items()}
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        target = files[chance.choice(list(files))]
        if target:
            chance.choice(DAMAGES)(target, chance)
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
        if suffix in files:
            path.with_name(path.name + suffix).write_bytes(files[suffix])


def examine(original: Original, path: Path) -> str:
    """Read a copy: it is refused in one line, or all that it gives is as it was recorded."""
    try:
        with SessionReader(path) as reader:
            reader.begin(reader.last_ns, QUICK)
            index = reader.index(Marks())
            while not index.is_done:
                index.step()
            seconds = list(reader.seconds())
            note, info, is_finished = reader.note, reader.info, reader.finished
    except PerfwatchError as refusal:
        return _in_one_line(refusal)
    _compare(original, seconds)
    assert info.with_clocks(original.info.clocks) == original.info
    assert set(info.clocks) <= set(original.info.clocks)
    if len(seconds) == len(original.seconds):
        return "same"
    assert note
    assert not (is_finished and not original.is_finished)
    return "less"


def _compare(original: Original, seconds: list) -> None:
    place = 0
    for second in seconds:
        while original.seconds[place] != second.records:
            place += 1  # IndexError: nobody recorded this
        assert second.verdicts == original.verdicts[place]
        place += 1


def examine_commands(path: Path) -> None:
    """Whatever the file is, a command says so in words."""
    for command in (["info"], ["verify"], ["repair", "-o", f"{path}-made", "--overwrite"]):
        result = CliRunner().invoke(session, [command[0], str(path), *command[1:]])
        assert result.exception is None or isinstance(result.exception, PerfwatchError), result.exc_info
    try:
        read_session(path)
    except PerfwatchError as refusal:
        _in_one_line(refusal)


def _in_one_line(refusal: PerfwatchError) -> str:
    assert str(refusal).isprintable()
    return "refused"


def _too_long(*_: object) -> None:
    raise TimeoutError(f"a file took longer than {PATIENCE_S} s")


def main(directory: Path, cases: int, seed: int) -> Counter[str]:
    """Go through so many cases."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    signal.signal(signal.SIGALRM, _too_long)
    outcomes: Counter[str] = Counter()
    kept = originals(directory)
    for case in range(cases):
        chance = random.Random(f"{seed}.{case}")
        original, path = chance.choice(kept), directory / "damaged"
        damage(original, path, chance)
        signal.alarm(PATIENCE_S)
        try:
            outcomes[examine(original, path)] += 1
            if case % IN_FULL == 0:
                examine_commands(path)
        except BaseException:
            shutil.copy(path, directory / f"case-{seed}.{case}")
            print(f"case {seed}.{case}", file=sys.stderr)
            raise
        finally:
            signal.alarm(0)
    return outcomes


if __name__ == "__main__":
    print(dict(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
