"""Whatever lies in a target's memory, reading its tasks neither fails nor takes long, and goes on afterwards."""

import random
import struct
import time

import costing
import pytest
from ledgering import script
from pythons import SOME, overwrite
from sampling import open_descriptors

from perfwatch.probes import roots
from perfwatch.probes.cpython import layout, task_list
from perfwatch.probes.errors import Unavailable, Vanished
from perfwatch.probes.readers.interpreter import find_interpreter
from perfwatch.probes.tasks.source import TaskSource

SERVING = """
import asyncio, sys
async def rest():
    await asyncio.Event().wait()
async def app(scope, receive, send):
    held = [rest(), rest()]
    await asyncio.gather(*held)
async def numbers():
    yield 1
    await rest()
async def iterate(scope):
    async for each in numbers():
        pass
async def main():
    scopes = [{"type": "http", "client": ("10.0.0.1", 5000 + number)} for number in range(6)]
    tasks = [asyncio.ensure_future(app(scope, None, None)) for scope in scopes[:3]]
    tasks += [asyncio.ensure_future(iterate(scope)) for scope in scopes[3:]]
    for _ in range(9):
        await asyncio.sleep(0)
    import asyncio.tasks as module
    weak = module._scheduled_tasks if sys.version_info >= (3, 12) else module._all_tasks
    places = [id(each) for each in (*tasks, *(task.get_coro() for task in tasks), *scopes)]
    places += [id(each) for each in (weak, weak.data, module, sys.modules, type(tasks[0]))]
    places += [id(each) for each in (*scopes[0], *scopes[0].values(), scopes[0]["client"][1], dict, str, int, tuple)]
    print(*places)
    sys.stdin.readline()
asyncio.run(main())
"""
BYTES = 4 * 64
VALUES = (0, 1, 2**64 - 1, 2**63, 2**47 - 8, 2**31 - 1, 4096, 0xDEADBEEF, 24)


def opened(process):
    return TaskSource(process.pid, find_interpreter(roots.PROC, process.pid))


def read(source):
    with costing.at_most(0.5):
        return source.read(time.monotonic_ns(), 50_000_000)


def clients(sample):
    return sorted(task.client for task in sample.tasks if task.client) if sample else []


@SOME
def test_overwritten_words_are_noticed_or_do_no_harm(python, monkeypatch):
    monkeypatch.setattr(task_list, "LOOKED_FOR_NS", 0)
    chance = random.Random(5)
    with script(SERVING, python=python) as (process, line):
        source = opened(process)
        whole = clients(read(source))
        assert len(whole) == 6 + 6  # of the gathering ones each child too
        possible = set(whole)
        addresses = [int(address) for address in line.split()]
        memory = source._python.memory
        odd = 0
        for _ in range(500):
            place = chance.choice(addresses) + 8 * chance.randrange(-4, BYTES // 8)
            was = memory.word(place)
            if was is None:
                continue
            value = chance.choice([*VALUES, *addresses, was + 8, place, chance.getrandbits(64)])
            overwrite(process.pid, place, value % 2**64)
            if chance.random() < 0.3:
                source._watched.clear()
            found = clients(read(source))
            overwrite(process.pid, place, was)
            odd += found != whole
            # A client that is not there is one that the overwritten word itself told: a port of the right size.
            assert len({each for each in found if each not in possible}) <= 1
        assert odd > 10
        end = time.monotonic() + 10
        while clients(read(source)) != whole:
            assert time.monotonic() < end
        source.close()


@SOME
def test_a_chain_in_a_circle_is_not_followed_for_ever(python):
    with script(SERVING, python=python) as (process, _):
        source = opened(process)
        while len((whole := read(source)).tasks) < whole.count:  # it moves on until it waits for its input
            pass
        turned = [each for each in source._watched.values() if each.chain and len(each.chain.stack) > 1]
        assert len(turned) >= 9
        for each in turned:
            places = each.chain.places.packed
            (_, _), (outermost, _), *inner = struct.iter_unpack("<QQ", places)
            for start, size in inner:
                if size > 150:  # a frame, which ends where the address lies of what it awaits
                    overwrite(process.pid, start + size - 8, outermost)
        sample = read(source)
        assert {task.id for task in sample.tasks} == {task.id for task in whole.tasks} - {each.id for each in turned}
        assert sample.count == whole.count
        source.close()


def test_a_process_that_ends_or_becomes_another_is_let_go():
    with script(SERVING) as (process, _):
        source = opened(process)
        assert read(source).tasks
        process.kill()
        process.wait()
        with pytest.raises(Vanished):
            read(source)
        source.close()


def test_an_interpreter_whose_tasks_are_not_known_is_refused(monkeypatch):
    known = layout.layout_of("3.11")
    without = layout.Layout(
        known.minor, {name: at for name, at in known.offsets.items() if not name.startswith("task.")}
    )
    monkeypatch.setattr("perfwatch.probes.cpython.python.layout_of", lambda _: without)
    with script(SERVING) as (process, _):
        before = open_descriptors()
        with pytest.raises(Unavailable, match=r"where Python 3\.11"):
            opened(process)
        assert open_descriptors() == before
