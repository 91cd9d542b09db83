"""Prints where an interpreter keeps what no header tells, as JSON. Run by derive.py with each version, 3.8 and later.

Tasks, the iterators of futures, and the awaitables around coroutines are structs of C files alone. So objects are made
whose content is known, and it is looked at which words of them hold it:

  task coroutine, name, the future it waits for, and its state (0 pending, 1 cancelled, 2 finished) · iter of a future ·
  wrapper of a coroutine · asend, athrow of an asynchronous generator · anext with a default · module its dictionary ·
  keys of a dictionary, up to 3.10
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import sys
from typing import Any

_WORD = 8
_INT = 4
_DICT_KEYS = 32
_KEYS_WORDS = 5
_MAX_KEYS = 64


def main() -> None:
    """Print the table."""
    found = asyncio.run(_tasks())
    found.update(_awaitables())
    found["module.dict"] = _place(sys, id(vars(sys)))
    if sys.version_info < (3, 11):  # noqa: UP036 - run by 3.8 too
        found.update(_keys())
    json.dump(found, sys.stdout)


async def _tasks() -> dict[str, int]:
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    name = "the name of a task"
    pending: Any = _task(loop, waiter, name)
    other: Any = _task(loop, loop.create_future(), "another")
    cancelled: Any = _task(loop, loop.create_future(), "a")
    finished: Any = _task(loop, loop.create_future(), "b")
    await asyncio.sleep(0)
    cancelled.cancel()
    finished.get_coro().cr_frame.f_locals["future"].set_result(None)
    await asyncio.wait([cancelled, finished])
    states = (pending, 0), (other, 0), (cancelled, 1), (finished, 2)
    size = type(pending).__basicsize__
    places = [at for at in range(2 * _WORD, size, _INT) if all(_int(each, at) == state for each, state in states)]
    future = waiter.__await__()
    table = {
        "task.coro": _place(pending, id(pending.get_coro())),
        "task.name": _place(pending, id(name)),
        "task.waits_for": _place(pending, id(waiter)),
        "task.state": _only(places),
        "sz.task": size,
        "iter.future": _place(future, id(waiter)),
    }
    waiter.cancel()
    other.cancel()
    await asyncio.wait([pending, other])
    return table


def _task(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None], name: str) -> asyncio.Task[None]:
    return asyncio.Task(_wait(future), loop=loop, name=name)


async def _wait(future: asyncio.Future[None]) -> None:
    await future


def _awaitables() -> dict[str, int]:
    async def coroutine() -> None:
        pass

    async def numbers() -> Any:
        yield 1

    first, many = coroutine(), numbers()
    wrapper, asend, athrow = first.__await__(), many.asend(None), many.athrow(ValueError)
    table = {
        "wrapper.coro": _place(wrapper, id(first)),
        "asend.coro": _place(asend, id(many)),
        "athrow.coro": _place(athrow, id(many)),
    }
    if sys.version_info >= (3, 10):  # noqa: UP036
        waiting = anext(many, None)  # holds an asend of its own
        places = range(2 * _WORD, type(waiting).__basicsize__, _WORD)
        kind = id(type(asend))
        words = {at: _word(id(waiting) + at) for at in places}
        table["anext.wrapped"] = _only([at for at, word in words.items() if word and _word(word + _WORD) == kind])
    first.close()
    return table


def _keys() -> dict[str, int]:
    """Return where the keys of a dictionary have their size, the number of their entries, and the indices of them."""
    known = {str(number): object() for number in range(_MAX_KEYS)}
    start = _word(id(known) + _DICT_KEYS)
    words = [_word(start + at * _WORD) for at in range(_KEYS_WORDS)]
    size = _only([at for at, word in enumerate(words) if word >= _MAX_KEYS and word & (word - 1) == 0 and at == 1])
    return {
        "keys.size": size * _WORD,
        "keys.entries": _only([at for at, word in enumerate(words) if word == _MAX_KEYS]) * _WORD,
        "keys.indices": _only(
            [
                at * _WORD
                for at in range(1, 2 * _KEYS_WORDS)
                if _word(start + at * _WORD + words[size] + _WORD) == id(next(iter(known)))
            ]
        ),
    }


def _place(thing: object, content: int) -> int:
    """Return the offset of the one word of an object that holds an address."""
    size = max(type(thing).__basicsize__, 2 * _WORD)
    words = {at: _word(id(thing) + at) for at in range(2 * _WORD, size, _WORD)}
    return _only([at for at, word in words.items() if word == content])


def _only(found: list[int]) -> int:
    if len(found) != 1:
        raise AssertionError(found)
    return found[0]


def _word(address: int) -> int:
    return ctypes.c_uint64.from_address(address).value


def _int(thing: object, at: int) -> int:
    return ctypes.c_uint32.from_address(id(thing) + at).value


if __name__ == "__main__":
    main()
