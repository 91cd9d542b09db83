"""Where a session may be created, and how its name is taken: nobody else may be able to meddle with it.

A session has siblings while it is recorded (FILE-wal, FILE-shm), which SQLite opens by name. Whoever can
write to the directory could put files of theirs under these names first, read what is recorded, or feed
pages to the recorder, which often runs as root. A sticky directory such as /tmp keeps others from
removing files, not from making them: it is refused too; a private directory below it is fine.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.session.lock import is_locked
from perfwatch.agent.trust import trusted

if TYPE_CHECKING:
    from collections.abc import Callable

SIBLINGS: Final = ("-wal", "-shm", "-journal")
DRAFT: Final = ".perfwatch-"
"""How the name of a file begins that is being made."""
_ELSEWHERE: Final = "record into a directory that only you can write to, such as your home directory"
_ANOTHER: Final = "choose another name, or replace it with --overwrite"


def settle(path: Path) -> Path:
    """Return the path with its directory resolved; PerfwatchError where that is not safe to record into."""
    try:
        parent = path.parent.resolve(strict=True)
        for directory in (parent, *parent.parents):
            _check(directory, directory.stat(), is_last=directory == parent)
    except (OSError, RuntimeError, ValueError) as error:
        raise PerfwatchError(f"cannot record into {path.parent}: {_reason(error)}") from None
    return parent / path.name


def make(path: Path, fill: Callable[[Path], None], *, overwrite: bool) -> None:
    """Let `fill` write a new file of mode 0600, then give it its name at once.

    So the name never stands for half a file, whenever this process is killed. What is there is replaced
    only if it may be overwritten, is a regular file, and nobody records into it.
    """
    _refuse_taken(path, overwrite=overwrite)
    draft = _draft(path)
    try:
        fill(draft)
        _sync(draft)
        _remove_siblings(path)
        if overwrite:
            draft.replace(path)
        else:
            _link(draft, path)
        _sync(path.parent)
    except OSError as error:
        raise PerfwatchError(f"cannot create {path}: {_reason(error)}") from None
    finally:
        remove(draft)


def remove(path: Path) -> None:
    """Remove a file and its siblings, as far as they are there."""
    path.unlink(missing_ok=True)
    _remove_siblings(path)


def _check(directory: Path, found: os.stat_result, *, is_last: bool) -> None:
    """Raise PerfwatchError if somebody else can put files into a directory, or another in its place."""
    if found.st_uid not in trusted(os.environ) and directory != directory.parent:
        raise PerfwatchError(f"{directory} belongs to {_user(found.st_uid)}, who could meddle with it", _ELSEWHERE)
    if found.st_mode & stat.S_ISVTX and not is_last:
        return
    if found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and not _is_private(directory, found)):
        raise PerfwatchError(f"others can write to {directory} and could meddle with the recording", _ELSEWHERE)


def _is_private(directory: Path, found: os.stat_result) -> bool:
    """Whether the group of a directory is its owner alone (a user private group), and there is no ACL."""
    try:
        owner, group = pwd.getpwuid(found.st_uid), grp.getgrgid(found.st_gid)
        acl = "system.posix_acl_access" in os.listxattr(directory)
    except (KeyError, OSError):
        return False
    alone = group.gr_gid == owner.pw_gid and group.gr_name == owner.pw_name
    return alone and set(group.gr_mem) <= {owner.pw_name} and not acl


def _refuse_taken(path: Path, *, overwrite: bool) -> None:
    """Raise PerfwatchError if the name, or that of a sibling, is taken and must not be replaced."""
    for name in (path, *_siblings(path)):
        try:
            mode = name.lstat().st_mode
        except FileNotFoundError:
            continue
        except OSError as error:
            raise PerfwatchError(f"cannot record into {path}: {_reason(error)}") from None
        if not stat.S_ISREG(mode):
            raise PerfwatchError(f"{name} exists and is not a regular file", "choose another name")
        if not overwrite:
            raise PerfwatchError(f"{name} exists already", _ANOTHER)
    if is_locked(path):
        raise PerfwatchError(f"{path} is being recorded by another perfwatch", "choose another name")


def _draft(path: Path) -> Path:
    """Make an empty file of mode 0600, with a name that nobody knows, beside `path`."""
    try:
        fd, name = tempfile.mkstemp(prefix=DRAFT, dir=path.parent)
    except OSError as error:
        raise PerfwatchError(f"cannot create {path}: {_reason(error)}") from None
    os.close(fd)
    return Path(name)


def _link(draft: Path, path: Path) -> None:
    """Give a file its name unless the name is taken, also where a file system has no hard links."""
    try:
        os.link(draft, path, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        draft.replace(path)


def _sync(path: Path) -> None:
    """Make what a file or a directory holds outlive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _siblings(path: Path) -> tuple[Path, ...]:
    return tuple(path.with_name(path.name + suffix) for suffix in SIBLINGS)


def _remove_siblings(path: Path) -> None:
    for sibling in _siblings(path):
        sibling.unlink(missing_ok=True)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
