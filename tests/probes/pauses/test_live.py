"""Pauses of real interpreters, held against what they note themselves by gc.callbacks."""

from itertools import pairwise

import pytest
from collecting import BUILT, NEEDS_WATCHPOINTS, at_any_cost, collections, only_threads, watched
from making import info
from pythons import EACH_AT_LENGTH

from perfwatch.agent.correlator.engine import Correlator

pytestmark = [NEEDS_WATCHPOINTS, pytest.mark.flaky(reruns=1)]
MS = 1_000_000


@pytest.fixture(name="way", params=["cpus", "threads"])
def watch_so(request, monkeypatch):
    at_any_cost(monkeypatch)
    if request.param == "threads":
        only_threads(monkeypatch)
    return request.param


def ended_ns(pause):
    return pause.started_ns + pause.paused_ns


def assert_same(target, noted, since_ns=0):
    """One pause for each collection, around it, in its thread; return them paired."""
    target.until(lambda pauses: sum(one.started_ns > since_ns for one in pauses) >= len(noted))
    told = [one for one in target.pauses if since_ns < one.started_ns <= noted[-1].started_ns]
    assert len(told) == len(noted)
    told, noted = (sorted(them, key=lambda one: (one.pid, one.started_ns)) for them in (told, noted))
    for pause, collection in zip(told, noted, strict=True):
        assert (pause.pid, pause.tid, pause.source) == (collection.pid, collection.tid, "watchpoint")
        assert pause.started_ns <= collection.started_ns
        assert ended_ns(pause) >= collection.ended_ns
        assert pause.generation in {None, collection.generation}
        assert pause.collected in {None, collection.collected}
    return list(zip(told, noted, strict=True))


@EACH_AT_LENGTH
def test_each_collection_is_one_pause(python, way):
    with watched(python) as target:
        for work in (
            "gc.collect()",
            "gc.collect(1)",
            "gc.collect(0)",
            "serve(200)",
            "grow(300000)",
            *["gc.collect()"] * 4,
            "serve(50)",
        ):
            target.do(work)
            target.do("gc.collect()")
        noted = target.collections()
        paired = assert_same(target, noted)
        assert target.lost == 0
    assert len(noted) > 50
    assert {collection.generation for collection in noted} == {0, 1, 2}
    known = [pause for pause, _ in paired if pause.generation is not None]
    assert len(known) > len(paired) * 0.9
    assert any(pause.collected for pause in known)
    lengths = [(pause.paused_ns, one.ended_ns - one.started_ns) for pause, one in paired]
    long = [(told, noted) for told, noted in lengths if noted >= MS]
    assert len(long) >= 5
    # A thread may lose its CPU between the flag and the callback, which then does not see that part of the pause.
    whole = [(told, noted) for told, noted in long if told < noted + MS]
    assert len(whole) >= len(long) - 2
    assert sum(told for told, _ in whole) == pytest.approx(sum(noted for _, noted in whole), rel=0.02)


def test_the_threads_that_are_there(way):
    with watched() as target:
        target.do("go = threading.Event(); threads = in_threads(30, lambda: (go.wait(), serve(8)))")
        target.read()
        since_ns = target.do("said = time.monotonic_ns(); go.set(); join(threads)")
        noted = [one for one in target.collections() if one.started_ns > since_ns]
        assert_same(target, noted, since_ns)
    assert len({collection.tid for collection in noted}) > 10


def test_threads_that_are_gone_before_anybody_looked(way):
    with watched() as target:
        target.do("for _ in range(100): join(in_threads(3, lambda: rubbish(700)))")
        noted = target.collections()
        target.until(lambda pauses: len(pauses) + target.lost >= len(noted))
    seen = {(pause.tid, pause.generation) for pause in target.pauses}
    assert len(noted) > 100
    if way == "cpus":
        assert_same(target, noted)
        assert target.lost == 0
    else:
        assert target.lost > 10
        assert len(target.pauses) + target.lost == pytest.approx(len(noted), abs=3)  # as it ends it collects more
        assert seen <= {(one.tid, generation) for one in noted for generation in (one.generation, None)}


FORK = """
def fork(count):
    gates = [os.pipe() for _ in range(count)]
    results = [os.pipe() for _ in range(count)]
    children = []
    for gate, result in zip(gates, results):
        pid = os.fork()
        if not pid:
            os.read(gate[0], 1)
            notes.clear()
            serve(30)
            gc.callbacks.clear()
            os.write(result[1], json.dumps(notes).encode())
            os.read(gate[0], 1)
            os._exit(0)
        children.append(pid)
    return children, gates, results
def go(gates):
    for gate in gates:
        os.write(gate[1], b"x")
"""


def test_forks_are_watched_too(way):
    with watched() as target:
        target.do(f"exec({FORK!r})")
        target.pids += target.do("children, gates, results = fork(4); said = children")
        target.read()
        target.do("go(gates)")
        read = "said = [one for result in results for one in json.loads(os.read(result[0], 65536))]"
        noted = target.do(read)
        target.do("go(gates)")
        target.do("for child in children: os.waitpid(child, 0)")
        mine = collections(noted)
        assert len({collection.pid for collection in mine}) == 4
        assert_same(target, mine)
        assert target.lost == 0


DIE = """
class Last:
    def __init__(self): self.itself = self
    def __del__(self):
        print(json.dumps(time.monotonic_ns()))
        time.sleep(0.3)
        os.{ending}
Last()
"""


@pytest.mark.parametrize("ending", ["_exit(3)", "kill(os.getpid(), 9)"])
def test_a_target_that_ends_in_a_pause(way, ending):
    with watched() as target:
        target.do(f"exec({DIE.format(ending=ending)!r})")
        target.tell("gc.collect()")
        running_ns = target.answer()
        target.until(lambda _: target.process.poll() is not None)
        (pause,) = target.until(lambda pauses: [one for one in pauses if one.started_ns < running_ns < one.at_ns])
    assert (pause.generation, pause.source) == (None, "watchpoint")
    # Of a thread its end is told; of a CPU only until when it was seen alive.
    assert pause.paused_ns >= (300 if way == "threads" else 100) * MS
    assert ended_ns(pause) < pause.at_ns


NESTED = """
import operator, types
todo = [types.SimpleNamespace] * 5000 + [gc.collect]
list(map(operator.call, todo))
"""


@pytest.mark.parametrize("version", [version for version in ("3.11", "3.12", "3.13") if version in BUILT])
def test_a_collection_within_another_is_told_once(version, way):
    """3.12: what became due in a C function that then calls `gc.collect()` runs in the first Python code of that."""
    with watched(BUILT[version]) as target:
        target.do(f"exec({NESTED!r})")
        target.do("gc.collect()")
        noted = target.collections()
        target.until(lambda pauses: pauses and ended_ns(pauses[-1]) >= noted[-1].ended_ns)
    for one in noted:
        common = (min(ended_ns(each), one.ended_ns) - max(each.started_ns, one.started_ns) for each in target.pauses)
        assert sum(filter(lambda ns: ns > 0, common)) == one.ended_ns - one.started_ns
    gaps_ns = [following.started_ns - ended_ns(pause) for pause, following in pairwise(target.pauses)]
    assert min(gaps_ns) >= 0
    assert (0 in gaps_ns) == (version == "3.12")


def test_the_page_of_memory_tells_the_longest_runs_as_the_interpreter_noted_them(way):
    with watched() as target:
        target.do("grow(400_000); gc.collect()")
        for _ in range(3):
            target.do("gc.collect()")
        noted = target.collections()
        target.until(lambda pauses: len(pauses) >= len(noted))
        judge = Correlator(info(pid=target.pid))
        for record in target.records:
            judge.feed(record)
    told = sorted(judge.view().gc_runs.longest[:4], key=lambda one: one.started_ns)
    full = [one for one in noted if one.generation == 2]
    assert len(told) == len(full) == 4
    for run, one in zip(told, full, strict=True):
        assert (run.pid, run.tid, run.generation) == (one.pid, one.tid, 2)
        assert run.started_ns == pytest.approx(one.started_ns, abs=MS)
        assert run.paused_ns == pytest.approx(one.ended_ns - one.started_ns, rel=0.1, abs=MS)
