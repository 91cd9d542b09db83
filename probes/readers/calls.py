"""System calls by number: which class of wait each stands for, per architecture.

The classes are those of `enum call_class` in layout.bpf.h, in that order. The BPF program gets them as a map, so that
it holds no architecture's numbers. Numbers: the kernel's `syscall_64.tbl` (x86-64) and `asm-generic/unistd.h` (arm64).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

CLASSES: Final = (
    "other",
    "futex",
    "lock",
    "sleep",
    "wait",
    "read",
    "readv",
    "recvmsg",
    "write",
    "writev",
    "sendmsg",
    "sendfile",
    "connect",
    "poll",
    "select",
    "epoll",
    "file",
)

# Those of the tables below that do not stand here are calls on files.
_CLASS_OF: Final[dict[str, str]] = {
    "futex": "futex",
    "futex_waitv": "futex",
    "futex_wait": "futex",
    "flock": "lock",
    "fcntl": "lock",
    "semop": "lock",
    "semtimedop": "lock",
    "nanosleep": "sleep",
    "clock_nanosleep": "sleep",
    "wait4": "wait",
    "waitid": "wait",
    "vfork": "wait",
    "clone": "wait",
    "clone3": "wait",
    "read": "read",
    "recvfrom": "read",
    "readv": "readv",
    "recvmsg": "recvmsg",
    "recvmmsg": "recvmsg",
    "write": "write",
    "sendto": "write",
    "writev": "writev",
    "sendmsg": "sendmsg",
    "sendmmsg": "sendmsg",
    "sendfile": "sendfile",
    "connect": "connect",
    "poll": "poll",
    "ppoll": "poll",
    "select": "select",
    "pselect6": "select",
    "epoll_wait": "epoll",
    "epoll_pwait": "epoll",
    "epoll_pwait2": "epoll",
}
_X86_64: Final = (
    "read 0 write 1 open 2 close 3 stat 4 fstat 5 lstat 6 poll 7 lseek 8 mmap 9 munmap 11 pread64 17 pwrite64 18 "
    "readv 19 writev 20 access 21 select 23 msync 26 nanosleep 35 sendfile 40 connect 42 sendto 44 recvfrom 45 "
    "sendmsg 46 recvmsg 47 clone 56 vfork 58 execve 59 wait4 61 semop 65 fcntl 72 flock 73 fsync 74 fdatasync 75 "
    "truncate 76 ftruncate 77 rename 82 mkdir 83 rmdir 84 link 86 unlink 87 symlink 88 readlink 89 chmod 90 "
    "fchmod 91 chown 92 fchown 93 statfs 137 fstatfs 138 sync 162 readahead 187 futex 202 getdents64 217 "
    "semtimedop 220 fadvise64 221 clock_nanosleep 230 epoll_wait 232 waitid 247 openat 257 mkdirat 258 "
    "fchownat 260 newfstatat 262 unlinkat 263 renameat 264 linkat 265 symlinkat 266 readlinkat 267 fchmodat 268 "
    "faccessat 269 pselect6 270 ppoll 271 splice 275 sync_file_range 277 utimensat 280 epoll_pwait 281 "
    "fallocate 285 preadv 295 pwritev 296 recvmmsg 299 syncfs 306 sendmmsg 307 renameat2 316 copy_file_range 326 "
    "preadv2 327 pwritev2 328 statx 332 clone3 435 openat2 437 epoll_pwait2 441 futex_waitv 449 futex_wait 455"
)
_AARCH64: Final = (
    "epoll_pwait 22 fcntl 25 flock 32 mkdirat 34 unlinkat 35 symlinkat 36 linkat 37 renameat 38 statfs 43 "
    "fstatfs 44 truncate 45 ftruncate 46 fallocate 47 faccessat 48 fchmod 52 fchmodat 53 fchownat 54 fchown 55 "
    "openat 56 close 57 getdents64 61 lseek 62 read 63 write 64 readv 65 writev 66 pread64 67 pwrite64 68 "
    "preadv 69 pwritev 70 sendfile 71 pselect6 72 ppoll 73 splice 76 readlinkat 78 newfstatat 79 fstat 80 "
    "sync 81 fsync 82 fdatasync 83 sync_file_range 84 utimensat 88 waitid 95 futex 98 nanosleep 101 "
    "clock_nanosleep 115 semtimedop 192 semop 193 connect 203 sendto 206 recvfrom 207 sendmsg 211 recvmsg 212 "
    "readahead 213 munmap 215 clone 220 execve 221 mmap 222 fadvise64 223 msync 227 recvmmsg 243 wait4 260 "
    "syncfs 267 sendmmsg 269 renameat2 276 copy_file_range 285 preadv2 286 pwritev2 287 statx 291 clone3 435 "
    "openat2 437 epoll_pwait2 441 futex_waitv 449 futex_wait 455"
)


def _table(text: str) -> dict[int, str]:
    words = text.split()
    return {int(number): name for name, number in zip(words[::2], words[1::2], strict=True)}


NAMES: Final[dict[str, dict[int, str]]] = {"x86_64": _table(_X86_64), "aarch64": _table(_AARCH64)}


@cache
def classes(machine: str) -> Mapping[int, int]:
    """Class of each known system call, by number; what is not listed has class 0."""
    return {number: CLASSES.index(_CLASS_OF.get(name, "file")) for number, name in NAMES[machine].items()}


def name_of(machine: str, number: int) -> str | None:
    """Name of a system call; `system call 321` for one without a class, None for a negative number (there was none)."""
    if number < 0:
        return None
    return NAMES[machine].get(number, f"system call {number}")
