"""The tasks of real interpreters: whom each serves, which is which over time, and that nothing told is nonsense."""

import json
import time
from pathlib import Path

import pytest
from ledgering import script
from pythons import EACH, EACH_AT_LENGTH, SOME
from waiting import until

from perfwatch.probes import roots
from perfwatch.probes.frames import MAX_FRAMES
from perfwatch.probes.readers.interpreter import find_interpreter
from perfwatch.probes.records import decode, encode
from perfwatch.probes.tasks.addresses import address_text
from perfwatch.probes.tasks.source import TaskSource

AMPLE_NS = 2_000_000_000

SERVING = """
import asyncio, json, sys

async def rest():
    await asyncio.Event().wait()
async def app(scope, receive, send):
    await rest()
async def closure(scope):
    async def inner():
        return scope
    await rest()
async def middleware(scope):
    outer = scope
    scope = dict(scope, client=("9.9.9.9", 1))
    await app(scope, None, None)
    return outer
async def proxied(scope):
    await middleware(scope)
async def gathering(scope):
    await asyncio.gather(rest(), rest())
async def in_time(scope):
    await asyncio.wait_for(rest(), 1000)
async def waiting(scope):
    await asyncio.wait({asyncio.ensure_future(rest()), asyncio.ensure_future(rest())})
async def grouped(scope):
    async with asyncio.TaskGroup() as group:
        group.create_task(rest())
async def twice(scope):
    await asyncio.gather(in_time(scope), asyncio.gather(rest()))
async def await_shared(scope, shared):
    await asyncio.wait([shared])
class Wrapped(dict):
    pass

async def main():
    begun, truth = [], {}
    def serve(function, client, *more, told="same", kind=dict):
        scope = kind({"type": "http", "path": "/", "client": client, "headers": []}) if client else {"type": "lifespan"}
        task = asyncio.ensure_future(function(scope, *more))
        text = "%s:%d" % tuple(client[:2]) if told == "same" else told
        truth[id(task)] = text
        begun.append(task)
    shared = asyncio.ensure_future(rest())
    truth[id(shared)] = None
    serve(app, ("127.0.0.1", 41234), None, None)
    serve(app, ("127.0.0.1", 1), None, None)
    serve(app, ["10.0.0.5", 65535], None, None)
    serve(closure, ("10.0.0.6", 5000))
    serve(proxied, ("10.0.0.7", 5001))
    serve(app, ("::1", 5002), None, None, told="[::1]:5002")
    serve(app, ("fe80::1%eth0", 5003, 0, 2), None, None, told="[fe80::1]:5003")
    serve(app, ("::ffff:10.1.2.3", 5004), None, None, told="10.1.2.3:5004")
    serve(app, ("/run/server.sock", 5), None, None, told=None)
    serve(app, ("", 5), None, None, told=None)
    serve(app, ("9.9.9.9", 0), None, None, told=None)
    serve(app, ("9.9.9.9", 1 << 40), None, None, told=None)
    serve(app, ("9.9.9.9", -5), None, None, told=None)
    serve(app, ("10.0.0.5", "5008"), None, None, told="10.0.0.5:5008")
    serve(app, ("10.0.0.5", "http"), None, None, told=None)
    serve(app, ("10.0.0.5", "123456"), None, None, told=None)
    serve(app, ("9.9.9.9", 5.5), None, None, told=None)
    serve(app, ("9.9.9.9",), None, None, told=None)
    serve(app, None, None, None, told=None)
    serve(app, ("10.0.0.8", 5005), None, None, told=None, kind=Wrapped)
    serve(await_shared, ("10.0.0.9", 5006), shared)
    serve(await_shared, ("10.0.0.9", 5007), shared)
    before = asyncio.all_tasks()
    families = [gathering, in_time, waiting, twice]
    if sys.version_info >= (3, 11):
        families.append(grouped)
    for number, function in enumerate(families):
        serve(function, ("10.0.1.1", 6000 + number))
        for _ in range(5):
            await asyncio.sleep(0)
        for task in asyncio.all_tasks() - before:
            truth[id(task)] = "10.0.1.1:%d" % (6000 + number)
        before = asyncio.all_tasks()
    print(json.dumps(truth))
    sys.stdin.readline()
asyncio.run(main())
"""


def opened(process):
    return TaskSource(process.pid, find_interpreter(roots.PROC, process.pid))


def read(source, budget_ns=AMPLE_NS):
    return source.read(time.monotonic_ns(), budget_ns)


def read_until(source, count):
    """Read until so many tasks are told: one that just printed moves on until it waits for its input."""
    return until(lambda: (sample := read(source)) and len(sample.tasks) == count and sample, pause_s=0)


@EACH
def test_whom_each_task_serves(python):
    with script(SERVING, python=python) as (process, line):
        source = opened(process)
        truth = json.loads(line)
        sample = read_until(source, len(truth) + 1)
        found = {each.task: each.id for each in source._watched.values()}
        source.close()
    clients = {task.id: task.client for task in sample.tasks}
    assert {task: clients[found[int(task)]] for task in truth} == truth
    assert len(truth) >= 28
    assert sample.count == len(sample.tasks) == len(truth) + 1
    # those that serve a connection first
    assert [task.client is None for task in sample.tasks] == sorted(task.client is None for task in sample.tasks)
    assert decode(encode(sample)) == sample


STREAMS = """
import asyncio, socket, sys
async def handle(reader, writer):
    await reader.readline()
async def consume(reader, writer):
    await reader.readline()
async def main():
    server = await asyncio.start_server(handle, sys.argv[1], 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection(sys.argv[1], port)
    task = asyncio.ensure_future(consume(reader, writer))
    others = [await asyncio.open_connection(sys.argv[1], port) for _ in range(3)]
    while len(asyncio.all_tasks()) < 6:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0)
    print(*[each.get_extra_info("sockname")[1] for each in (writer, *(other for _, other in others))])
    sys.stdin.readline()
asyncio.run(main())
"""


@EACH_AT_LENGTH
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_server_of_streams_serves_and_a_client_of_one_does_not(host, python):
    with script(STREAMS, python=python, arguments=[host]) as (process, line):
        source = opened(process)
        sample = read_until(source, 6)
        source.close()
    served = {task.client for task in sample.tasks if sample.table.stack(task.stack)[-1].function == "handle"}
    assert served == {address_text(host, int(port)) for port in line.split()}
    assert all(task.client is None for task in sample.tasks if sample.table.stack(task.stack)[-1].function != "handle")
    used = [task.used for task in sample.tasks if sample.table.stack(task.stack)[-1].function == "consume"]
    assert used == [address_text(host, int(line.split()[0]))]


CALLING = """
import asyncio, sys
import aiohttp, httpx, redis.asyncio
async def never(reader, writer):
    await asyncio.Event().wait()
async def call(url):
    await httpx.AsyncClient(timeout=None).get(url)
async def fetch(url):
    async with aiohttp.ClientSession() as session:
        await session.get(url)
async def ask(port):
    await redis.asyncio.Redis(port=port, socket_timeout=None).get("key")
async def main():
    clients, came = [], asyncio.Event()
    async def handle(reader, writer):
        await reader.read(1)
        clients.append(writer.get_extra_info("peername")[1])
        came.set()
        await asyncio.Event().wait()
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    tasks = []
    for begin, where in ((call, f"http://127.0.0.1:{port}"), (fetch, f"http://127.0.0.1:{port}"), (ask, port)):
        came.clear()
        tasks.append(asyncio.ensure_future(begin(where)))
        await came.wait()
    print(*clients)
    sys.stdin.readline()
asyncio.run(main())
"""


def test_which_connection_a_client_waits_on():
    """Of httpx, aiohttp and redis-py."""
    with script(CALLING) as (process, line):
        source = opened(process)
        sample = read_until(source, 7)
        source.close()
    used = {sample.table.stack(task.stack)[-1].function: task.used for task in sample.tasks}
    assert [used[name] for name in ("call", "fetch", "ask")] == [f"127.0.0.1:{port}" for port in line.split()]


CHURN = """
import asyncio, random, sys
async def even(depth):
    if depth:
        await even(depth - 1)
    else:
        await even_end()
async def even_end():
    for _ in range(3):
        await asyncio.sleep(random.random() / 500)
async def odd(depth):
    if depth:
        await odd(depth - 1)
    else:
        await odd_end()
async def odd_end():
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(random.random() / 100, event.set)
    await event.wait()
async def app(scope):
    number = scope["client"][1]
    if number % 2:
        await odd(number % 5)
    else:
        await even(number % 5)
async def forever(start):
    number = start
    while True:
        await asyncio.ensure_future(app({"client": ("10.0.0.1", number)}))
        number = start + (number + 7) % 1000
async def main():
    for start in range(1000, 41000, 1000):
        asyncio.ensure_future(forever(start))
    print("up")
    await asyncio.sleep(1000)
asyncio.run(main())
"""
ENDS = {
    0: [["sleep", "even_end"], ["even_end"]],
    1: [["wait", "odd_end"], ["odd_end"]],
}


def is_possible(names, number):
    """Whether a task that serves a client can await these functions, innermost first."""
    kind = ["even", "odd"][number % 2]
    whole = [end + [kind] * (number % 5 + 1) + ["app"] for end in ENDS[number % 2]]
    # A task that runs, or has not begun, shows its outermost coroutine alone.
    return names in whole or names in ([], ["app"])


@EACH_AT_LENGTH
def test_what_is_told_of_tasks_that_come_and_go_is_never_nonsense(python):
    told, wrong, ids = 0, [], {}
    with script(CHURN, python=python) as (process, _):
        source = opened(process)
        end = time.monotonic() + 30
        while told < 400:
            assert time.monotonic() < end
            sample = read(source, 20_000_000)
            for task in sample.tasks if sample else ():
                names = [frame.function.rpartition(".")[2] for frame in sample.table.stack(task.stack)]
                numbers = [int(task.client.rpartition(":")[2])] if task.client else range(10)
                if names[-1] == "forever":
                    names.pop()
                elif task.client is None:
                    assert names in (["sleep", "main"], ["main"])
                    continue
                told += task.client is not None
                if not any(is_possible(names, number) for number in numbers):
                    wrong.append((task.client, names))
                if ids.setdefault(task.id, task.client) != task.client:
                    wrong.append((task.id, task.client, ids[task.id]))
            time.sleep(0.002)
        assert "TracerPid:\t0" in Path(f"/proc/{process.pid}/status").read_text()
        source.close()
    assert wrong == []


DEEP = """
import asyncio, sys
async def down(depth):
    if depth:
        await down(depth - 1)
    else:
        await asyncio.Event().wait()
async def app(scope, depth):
    await down(depth)
async def main():
    tasks = [asyncio.ensure_future(app({"client": ("10.0.0.1", 1 + depth)}, depth)) for depth in (100, 240, 400)]
    await asyncio.sleep(0.05)
    print("up")
    sys.stdin.readline()
asyncio.run(main())
"""


@SOME
def test_of_a_deep_chain_the_innermost_frames_are_told_and_its_client(python):
    with script(DEEP, python=python) as (process, _):
        source = opened(process)
        sample = read_until(source, 3)
        source.close()
    assert sample.count == 4
    assert {task.client for task in sample.tasks} == {"10.0.0.1:101", "10.0.0.1:241", None}
    for task in sample.tasks[:2]:
        stack = sample.table.stack(task.stack)
        assert len(stack) == MAX_FRAMES
        assert stack[0].function.endswith("wait")
        assert {frame.function for frame in stack[1:]} == {"down"}


THOUSANDS = """
import asyncio, sys
async def rest(future):
    await future
async def main():
    future = asyncio.get_running_loop().create_future()
    kept = [asyncio.ensure_future(rest(future)) for _ in range(3000)]
    await asyncio.sleep(0)
    print("up")
    sys.stdin.readline()
asyncio.run(main())
"""


def test_of_thousands_of_tasks_each_reading_tells_some_and_all_come_in_turn():
    with script(THOUSANDS) as (process, _):
        source = opened(process)
        end = time.monotonic() + 60
        while not all(each.glance.size for each in source._watched.values()) or not source._watched:
            assert time.monotonic() < end
            read(source)
        told, costs = set(), []
        while len(told) < 3000:
            assert time.monotonic() < end
            began = time.thread_time_ns()
            sample = read(source)
            costs.append(time.thread_time_ns() - began)
            assert sample.count == 3001
            assert len(sample.tasks) <= 1000
            told |= {task.id for task in sample.tasks}
        source.close()
    assert sorted(costs)[len(costs) // 2] < 40_000_000
    assert len(costs) > 2


def test_what_was_not_reached_in_time_comes_first_next_time():
    with script(SERVING) as (process, line):
        source = opened(process)
        counts = [len(read(source, 0).tasks) for _ in range(5)]
        read_until(source, len(json.loads(line)) + 1)
        source.close()
    assert counts == [0] * 5


KINDS = """
import asyncio, sys
async def app(scope):
    await asyncio.Event().wait()
class Own(asyncio.Task):
    pass
class Extended(Own):
    def __init__(self, *arguments, **named):
        self.more = "more"
        super().__init__(*arguments, **named)
def scope(port):
    return {"client": ("10.0.0.1", port)}
async def main():
    loop = asyncio.get_running_loop()
    kept = [Own(app(scope(1)), loop=loop), Extended(app(scope(2)), loop=loop)]
    kept.append(asyncio.tasks._PyTask(app(scope(3)), loop=loop))
    kept.append(loop.create_task(app(scope(4)), name="a name of its own"))
    kept.append(loop.create_task(app(scope(5)), name="\u0416" * 500))
    if sys.version_info >= (3, 12):
        kept.append(asyncio.eager_task_factory(loop, app(scope(6))))
    ports = [1, 2, 4, 5, 6][:len(kept) - 1]
    kept += [loop.create_task(asyncio.sleep(0)) for _ in range(50)]
    for _ in range(5):
        await asyncio.sleep(0)
    print(ports)
    sys.stdin.readline()
    for task in kept[3:5]:
        task.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    print("cancelled")
    sys.stdin.readline()
asyncio.run(main())
"""


@EACH
def test_tasks_of_every_kind_but_those_in_python(python):
    with script(KINDS, python=python) as (process, line):
        source = opened(process)
        ports = set(json.loads(line))
        first, second = read_until(source, len(ports) + 1), read(source)
        assert {task.client for task in first.tasks} == {f"10.0.0.1:{port}" for port in ports} | {None}
        assert first.tasks == second.tasks
        assert first.count == len(ports) + 1
        assert all(watched.glance.size for watched in source._watched.values())
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "cancelled\n"
        third = read_until(source, len(ports) - 1)
        assert {task.client for task in third.tasks} == {f"10.0.0.1:{port}" for port in ports - {4, 5}} | {None}
        assert {task.id for task in third.tasks} <= {task.id for task in first.tasks}
        source.close()


STREAMS_OF_HTTP_2 = """
import asyncio, sys
async def app(scope):
    await asyncio.Event().wait()
async def main():
    scopes = [("2", "/orders/7"), ("2", "/\u00e9"), ("1.1", "/plain"), ("2", "")]
    each = [{"client": ("10.0.0.1", 5), "http_version": version, "path": path} for version, path in scopes]
    kept = [asyncio.create_task(app(scope)) for scope in [*each, {"client": ("10.0.0.1", 5)}]]
    await asyncio.sleep(0)
    print("ready")
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
asyncio.run(main())
"""


@EACH
def test_a_stream_s_task_has_its_path_and_one_of_http_1_needs_none(python):
    with script(STREAMS_OF_HTTP_2, python=python) as (process, _):
        source = opened(process)
        sample = read_until(source, 6)
        source.close()
    told = [task.target for task in sample.tasks if task.client == "10.0.0.1:5"]
    assert sorted(map(str, told)) == ["/orders/7", "/\u00e9", "None", "None", "None"]


JOINED = """
import asyncio, sys
permits = None
async def take():
    async with permits:
        pass
async def in_time(scope):
    await asyncio.wait_for(take(), 1000)
async def twice_in_time(scope):
    await asyncio.wait_for(asyncio.wait_for(take(), 1000), 2000)
async def one(scope):
    await asyncio.gather(take())
async def waiting(scope):
    await asyncio.wait([asyncio.ensure_future(take())])
async def two(scope):
    await asyncio.gather(take(), take())
async def main():
    global permits
    permits = asyncio.Semaphore(0)
    kept = [
        asyncio.ensure_future(each({"client": ("10.0.0.1", number)}))
        for number, each in enumerate([in_time, twice_in_time, one, waiting, two], 1)
    ]
    for _ in range(9):
        await asyncio.sleep(0)
    print("up")
    sys.stdin.readline()
asyncio.run(main())
"""


@EACH
def test_what_waits_for_a_single_other_task_is_told_with_what_that_awaits(python):
    with script(JOINED, python=python) as (process, _):
        source = opened(process)
        sample = read(source)
        source.close()
    found = {}
    for task in sample.tasks:
        names = [frame.function.rpartition(".")[2] for frame in sample.table.stack(task.stack)]
        found[names[-1]] = (names, task.awaits, task.client)
    take = ["acquire", "__aenter__", "take"]
    future = "_asyncio.Future"
    assert found["in_time"] == ([*take, "wait_for", "in_time"], future, "10.0.0.1:1")
    assert found["twice_in_time"] == ([*take, "wait_for", "wait_for", "twice_in_time"], future, "10.0.0.1:2")
    assert found["one"] == ([*take, "one"], future, "10.0.0.1:3")
    assert found["waiting"] == ([*take, "_wait", "wait", "waiting"], future, "10.0.0.1:4")
    assert found["two"] == (["two"], "_GatheringFuture", "10.0.0.1:5")
