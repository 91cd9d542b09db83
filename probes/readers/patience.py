"""Looks at what may never answer: a file on a file system whose server is dead (FUSE, NFS) keeps open(2) waiting.

Such a look is done by a thread of its own, which is left behind where it takes too long. The thread ends when the
server answers, or with the process: the kernel lets the wait be killed. Cost: 0.3 ms a look.
"""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLateError
from threading import Thread
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LATE: Final = 8
"""So many looks may be under way that took too long; then nothing is looked at in this way."""
T = TypeVar("T")

_late: Final[dict[bytes, Thread]] = {}


def in_time(thing: bytes, look: Callable[[], T], limit_s: float) -> T | None:
    """Return what `look` returns or raise what it raises; None where it takes longer.

    The same `thing` is not looked at again before that look has ended.
    """
    for each, thread in list(_late.items()):
        if not thread.is_alive():
            _late.pop(each, None)
    if thing in _late or len(_late) >= MAX_LATE:
        return None
    answer: Future[T] = Future()
    thread = Thread(target=_answer, args=(answer, look), name="perfwatch look", daemon=True)
    thread.start()
    try:
        found = answer.result(limit_s)
    except TooLateError:
        if not answer.done():
            _late[thing] = thread
            return None
        raise
    return found


def _answer(answer: Future[T], look: Callable[[], T]) -> None:
    try:
        answer.set_result(look())
    except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the one who waits
        answer.set_exception(error)
