"""What a thread does, by its state in /proc, the system call that it is in, and its stack."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.places import module_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from perfwatch.agent.model_threads import Doing, Frame
    from perfwatch.probes.samples import ThreadState

_STOPPED: Final = "Tt"
_WATCHES: Final = frozenset({"poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait", "epoll_pwait2"})
_BY_CALL: Final[dict[str, Doing]] = {
    **dict.fromkeys(_WATCHES, "idle"),
    **dict.fromkeys(("nanosleep", "clock_nanosleep"), "sleep"),
    **dict.fromkeys(("wait4", "waitid", "vfork", "clone", "clone3"), "child"),
    **dict.fromkeys(("flock", "fcntl", "semop", "semtimedop"), "lock"),
    **dict.fromkeys(("futex", "futex_waitv", "futex_wait"), "lock"),
    **dict.fromkeys(("read", "readv", "recvfrom", "recvmsg", "recvmmsg"), "calls"),
    **dict.fromkeys(("write", "writev", "sendto", "sendmsg", "sendmmsg", "sendfile", "connect"), "calls"),
    **dict.fromkeys(("system call 43", "system call 288", "system call 202", "system call 242"), "idle"),
}
"""`accept` and `accept4` have no name in the table of calls."""
_BY_NATIVE: Final[dict[str, Doing]] = {
    **dict.fromkeys(("acquire", "__enter__"), "lock"),
    **dict.fromkeys(("poll", "select", "accept"), "idle"),
    **dict.fromkeys(("recv", "recv_into", "recvfrom", "send", "sendall", "connect"), "calls"),
    "sleep": "sleep",
}
"""What native code of this name waits for, where it does not hold the interpreter lock."""
_POOLS: Final = frozenset({"concurrent.futures.thread", "concurrent.futures.process", "multiprocessing.pool"})
_FOR_OTHERS: Final = frozenset({"wait", "join", "_wait_for_tstate_lock", "_shutdown"})
"""Of the module `threading`: for an event, a condition, or the end of a thread."""


def doing_of(state: ThreadState, stack: Sequence[Frame]) -> Doing | None:
    """Tell what a thread does that serves no request; None where that may not be known.

    `stack` is what it executed at about that time; without one, a worker that waits for work waits for a lock.
    """
    if state.state == "R":
        return "on_cpu"
    if state.state in _STOPPED:
        return "other"
    if state.state == "D":
        return "fault" if state.call is None else "disk"
    if state.wants_gil:
        return "gil"
    if state.call is None:
        return "other" if state.wait_channel else None
    doing = _BY_CALL.get(state.call, "other")
    return "idle" if doing == "lock" and waits_for_work(stack) else doing


def doing_in(stack: Sequence[Frame], *, holds_gil: bool) -> Doing | None:
    """Tell what a thread does by its stack alone; None where that could be one thing or another."""
    if holds_gil:
        return "on_cpu"
    if waits_for_work(stack):
        return "idle"
    return _BY_NATIVE.get(_name(stack[0])) if stack and stack[0].is_native else None


def blocked_in(stacks: Iterable[tuple[Sequence[Frame], int]]) -> Doing | None:
    """Tell what a thread was blocked on that was found so often with these stacks, without the interpreter lock.

    Where it executed Python code it wanted that lock. None where most of them say nothing.
    """
    told: Counter[Doing | None] = Counter()
    for stack, times in stacks:
        is_python = bool(stack) and not stack[0].is_native and not waits_for_work(stack)
        told["gil" if is_python else doing_in(stack, holds_gil=False)] += times
    return told.most_common(1)[0][0] if told else None


def waits_for_work(stack: Sequence[Frame]) -> bool:
    """Whether a stack is that of a worker of a pool, or of somebody who waits for a queue, an event or a thread."""
    if stack and stack[0].is_native and _name(stack[0]) == "get":
        return True  # of a queue: nothing else of that name waits
    inner = [frame for frame in stack if not frame.is_native][:2]
    if not inner:
        return False
    module, name = module_of(inner[0]), _name(inner[0])
    if module == "threading" and name in _FOR_OTHERS:
        return len(inner) == 1 or (module_of(inner[1]), _name(inner[1])) != ("threading", "acquire")  # a semaphore
    return module in _POOLS or (module, name) == ("queue", "get")


def _name(frame: Frame) -> str:
    return frame.function.rpartition(".")[2]
