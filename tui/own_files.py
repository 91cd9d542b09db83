"""Files of perfwatch's own: the configuration, which a person wrote, and what it keeps between two runs.

It runs as root, often through sudo, and a home need not be root's. So: nothing is written but where the directory is
the very user's that perfwatch runs as; no link is followed; what is read is a small regular file that nobody else can
have written.
"""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.trust import caller, read_small, trusted

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG: Final = "config.toml"
STATE: Final = "state.json"
_OURS: Final = "perfwatch"
_LONGEST: Final = 64 << 10
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS_WRITE: Final = 0o022


def config_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return where a configuration may be: this user's, and under sudo that of whoever called it."""
    files = [_base(environ, "XDG_CONFIG_HOME", ".config") / _OURS / CONFIG]
    if (called := caller(environ)) is not None:
        with suppress(KeyError, OverflowError):
            files.append(Path(pwd.getpwuid(called).pw_dir) / ".config" / _OURS / CONFIG)
    return tuple(files)


def state_directory(environ: Mapping[str, str]) -> Path:
    """Return where what is kept between two runs lies, also where it cannot be written."""
    return _base(environ, "XDG_STATE_HOME", ".local/state") / _OURS


def _base(environ: Mapping[str, str], variable: str, otherwise: str) -> Path:
    """Return a base directory as the XDG specification has it: a relative one does not count."""
    told = environ.get(variable, "")
    home = environ.get("HOME", "")
    return Path(told) if told.startswith("/") else Path(home if home.startswith("/") else "/root") / otherwise


def read(path: Path, environ: Mapping[str, str]) -> bytes | None:
    """Read a file of ours; None where there is none; raises PerfwatchError where it is not to be trusted."""
    try:
        found = read_small(path, _LONGEST)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise PerfwatchError(f"cannot read {path}: {error.strerror}", "make it a regular file of yours") from None
    if found is None:
        raise PerfwatchError(f"{path} is no regular file of at most {_LONGEST >> 10} KiB", "delete it")
    data, status = found
    if status.st_uid not in trusted(environ) or status.st_mode & _OTHERS_WRITE:
        raise PerfwatchError(f"others can write {path}", f"chmod go-w {path}, and see that it is yours")
    return data


def write(directory: Path, name: str, data: bytes) -> bool:
    """Put a private file into a directory of ours, at once or not at all; tell whether it is there."""
    try:
        if not _is_mine(directory):
            return False
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = os.open(directory, _DIRECTORY)
    except OSError:
        return False
    try:
        if os.fstat(place).st_uid != os.geteuid():
            return False
        draft = f".{name}.{os.getpid()}"
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=place)
        with os.fdopen(os.open(draft, _NEW, 0o600, dir_fd=place), "wb") as file:
            file.write(data)
        os.replace(draft, name, src_dir_fd=place, dst_dir_fd=place)
    except OSError:
        return False
    finally:
        os.close(place)
    return True


def _is_mine(directory: Path) -> bool:
    """Tell whether a directory, or what it would be made in, belongs to the user that perfwatch runs as."""
    there = next(place for place in (directory, *directory.parents) if place.is_symlink() or place.exists())
    return there.stat().st_uid == os.geteuid()
