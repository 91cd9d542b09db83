"""A Unix socket that one user alone can open, at a place where programs of that user look for it.

The place is `$PERFWATCH_SOCKET`, else /run/user/UID/perfwatch/spans.sock where the user has that directory, else
/tmp/perfwatch-UID/spans.sock; all of it as the user's process sees it (/proc/PID/root), so that containers and private
/tmp are reached. Whoever owns one of these directories may do with its names what he likes, at any moment, and
perfwatch may be root. So each directory is held open, no symbolic link is followed, and what root gives away was made
where nobody else could enter.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from perfwatch.probes import roots
from perfwatch.probes.errors import Unavailable
from perfwatch.probes.readers.proc import translated

VARIABLE: Final = "PERFWATCH_SOCKET"
BACKLOG: Final = 64
_DRAFT: Final = "socket"
_DIRECTORY: Final = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LEAST_PARTS: Final = 3  # the root, a directory, the socket
_MAX_PATH_BYTES: Final = 107  # sockaddr_un
_ELSEWHERE: Final = f"name another place in {VARIABLE}, for perfwatch and for the server"


class Door:
    """A listening SOCK_SEQPACKET: messages stay whole, and each sender has a buffer of its own.

    (Of SOCK_DGRAM the kernel keeps `net.unix.max_dgram_qlen` messages, by default 10, whoever sent them.)
    Raises Unavailable, or Vanished where the process has ended.
    """

    def __init__(self, pid: int, uid: int) -> None:
        with ExitStack() as stack:
            self.path, self._parent = _parent(pid, uid)
            stack.callback(os.close, self._parent)
            self._directory, self._is_new = _own_directory(self._parent, self.path.parent, uid)
            stack.callback(os.close, self._directory)
            _refuse_taken(self._directory, self.path)
            self.listener = stack.enter_context(
                socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
            )
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            self._made = _put(self.listener, self._directory, self.path, uid)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Remove the socket, and the directory if it was made for it and holds nothing else."""
        with self._stack:
            with suppress(OSError):
                if _identity(self.path.name, self._directory) == self._made:
                    os.unlink(self.path.name, dir_fd=self._directory)
            if self._is_new:
                _remove_directory(self._parent, self.path.parent.name)


def _places(uid: int) -> list[Path]:
    """Name where the middleware looks, in its order."""
    chosen = os.environ.get(VARIABLE)
    if not chosen:
        return [Path(f"/run/user/{uid}/perfwatch/spans.sock"), Path(f"/tmp/perfwatch-{uid}/spans.sock")]  # noqa: S108
    path = Path(chosen)
    if not path.is_absolute() or ".." in path.parts or len(path.parts) < _LEAST_PARTS:
        raise Unavailable(f"{VARIABLE} is {chosen!r}, not the full path of a socket in a directory", _ELSEWHERE)
    if len(os.fsencode(path)) > _MAX_PATH_BYTES:
        raise Unavailable(f"{VARIABLE} is longer than the {_MAX_PATH_BYTES} bytes of a socket's path", _ELSEWHERE)
    return [path]


def _parent(pid: int, uid: int) -> tuple[Path, int]:
    """Open what the socket's directory is in: the first such place that there is."""
    places = _places(uid)
    for path in places:
        try:
            return path, _descend(pid, path.parents[1])
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _refused(path, error) from None
    raise Unavailable(f"there is no directory {places[-1].parents[1]}", _ELSEWHERE)


def _descend(pid: int, path: Path) -> int:
    """Open a directory as a process sees it, one step at a time."""
    root = roots.PROC / str(pid) / "root"
    try:
        at = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise translated(error, root) from None
    for part in path.parts[1:]:
        before = at
        try:
            at = os.open(part, os.O_PATH | _DIRECTORY, dir_fd=before)
        finally:
            os.close(before)
    return at


def _own_directory(parent: int, path: Path, uid: int) -> tuple[int, bool]:
    """Open the socket's directory, which is made where there is none; returns whether it was.

    Raises Unavailable for one that belongs to another user or that others may enter.
    """
    try:
        is_new = _make_directory(parent, path.name)
        directory = os.open(path.name, os.O_RDONLY | _DIRECTORY, dir_fd=parent)
    except OSError as error:
        raise _refused(path, error) from None
    try:
        _give(directory, path, uid)
    except BaseException:
        os.close(directory)
        if is_new:
            _remove_directory(parent, path.name)
        raise
    return directory, is_new


def _give(directory: int, path: Path, uid: int) -> None:
    found = os.fstat(directory)
    if found.st_uid == os.geteuid() != uid and not os.listdir(directory):
        try:
            os.fchown(directory, uid, -1)  # empty: so it is no other directory of root's that was moved here
        except OSError as error:
            raise _refused(path, error) from None
        found = os.fstat(directory)
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid != uid or mode & 0o077:
        raise Unavailable(
            f"{path} has to belong to user {uid} alone; it belongs to user {found.st_uid}, with mode {mode:o}",
            f"remove it, or {_ELSEWHERE}",
        )


def _make_directory(parent: int, name: str) -> bool:
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        return False
    return True


def _remove_directory(parent: int, name: str) -> None:
    with suppress(OSError):  # it holds something else
        os.rmdir(name, dir_fd=parent)


def _refuse_taken(directory: int, path: Path) -> None:
    """Raise Unavailable if somebody listens here, or something lies here that is no socket."""
    try:
        there = os.open(path.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISSOCK(os.fstat(there).st_mode):
            raise Unavailable(f"{path} is there already, and is no socket", f"remove it, or {_ELSEWHERE}")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as caller:
            code = caller.connect_ex(str(_opened(there)))
    finally:
        os.close(there)
    if code in (0, errno.EAGAIN):
        raise Unavailable(f"another perfwatch listens on {path}", f"end it, or {_ELSEWHERE}")


def _put(listener: socket.socket, directory: int, path: Path, uid: int) -> tuple[int, int]:
    """Bind where only this process's user can enter, and move it to its place, over what a killed perfwatch left."""
    draft = f".{os.getpid()}-{os.urandom(8).hex()}"
    try:
        os.mkdir(draft, 0o700, dir_fd=directory)
        inside = _open_draft(directory, draft, path)
        try:
            listener.bind(str(_opened(inside) / _DRAFT))
            os.chmod(_DRAFT, 0o600, dir_fd=inside)
            os.chown(_DRAFT, uid, -1, dir_fd=inside, follow_symlinks=False)
            listener.listen(BACKLOG)
            made = _identity(_DRAFT, inside)
            os.rename(_DRAFT, path.name, src_dir_fd=inside, dst_dir_fd=directory)
        finally:
            with suppress(OSError):
                os.unlink(_DRAFT, dir_fd=inside)
            os.close(inside)
            os.rmdir(draft, dir_fd=directory)
    except OSError as error:
        raise _refused(path, error) from None
    return made


def _open_draft(directory: int, draft: str, path: Path) -> int:
    inside = os.open(draft, os.O_RDONLY | _DIRECTORY, dir_fd=directory)
    if os.fstat(inside).st_uid != os.geteuid():  # the directory's owner put his own in its place
        os.close(inside)
        raise Unavailable(f"somebody meddles with {path.parent}", _ELSEWHERE)
    return inside


def _opened(descriptor: int) -> Path:
    """Return a path to what is open, for calls that take nothing but paths."""
    return roots.PROC / "self" / "fd" / str(descriptor)


def _identity(name: str, directory: int) -> tuple[int, int]:
    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    return found.st_dev, found.st_ino


def _refused(path: Path, error: OSError) -> Unavailable:
    """Say why nothing can be made here; a symbolic link on the way says ENOTDIR, or ELOOP."""
    reason = "there is a symbolic link on the way" if error.errno in (errno.ELOOP, errno.ENOTDIR) else error.strerror
    return Unavailable(
        f"no socket can be made at {path}: {reason}", f"run perfwatch as root or as the target's user, or {_ELSEWHERE}"
    )
