"""The tasks of real interpreters, and what each awaits: the same as the program says itself at that moment."""

import json

from awaiting import KNOWN
from pythons import EACH, opened, overwrite

from perfwatch.probes.cpython.attributes import Attributes
from perfwatch.probes.cpython.awaiting import Awaiting
from perfwatch.probes.cpython.chain import Chain, Fault
from perfwatch.probes.cpython.codes import Codes
from perfwatch.probes.cpython.kinds import Kinds
from perfwatch.probes.cpython.task_list import TaskList


def listed(python, kinds):
    """Return the addresses of all tasks."""
    tasks = TaskList(python, kinds, Attributes(python))
    return [task for task in tasks.tasks(tasks.references()) if task]


@EACH
def test_each_task_awaits_what_the_program_says(python):
    with opened(KNOWN, python=python) as (read, _, line):
        said = json.loads(line)
        truth = {int(task): (frames, awaits) for task, (frames, awaits) in said["tasks"].items()}
        kinds, codes = Kinds(read), Codes(read)
        tasks = listed(read, kinds)
        assert set(tasks) == {*truth, said["main"], said["ended"]}
        chains = dict(zip(tasks, Awaiting(read, kinds).follow(tasks), strict=True))
        assert chains.pop(said["ended"]) is Fault.ENDED
        running = chains.pop(said["main"])
        while running is Fault.TORN:  # it moves on until it waits for its input
            (running,) = Awaiting(read, kinds).follow([said["main"]])
        assert [codes.frame(*each).function for each in running.stack] == ["main"]
        assert running.awaits is None
        for task, chain in chains.items():
            assert isinstance(chain, Chain), truth[task]
            frames = [codes.frame(*each) for each in chain.stack]
            found = [[frame.function, frame.file, frame.line] for frame in frames]
            assert (found, chain.awaits) == tuple(truth[task])
        assert len(truth) >= 23
        assert chains[said["never"]].awaits is None


@EACH
def test_a_task_that_awaits_another_is_followed_into_it(python):
    with opened(KNOWN, python=python) as (read, _, line):
        truth = json.loads(line)["tasks"]
        (waiting,) = (int(task) for task, (frames, _) in truth.items() if frames[-1][0] == "of_task")
        (chain,) = Awaiting(read, Kinds(read)).follow([waiting])
    assert chain.tasks[0] == waiting
    assert len(chain.tasks) == 2
    assert truth[str(chain.tasks[1])][0] == truth[str(waiting)][0][:-1]


def test_what_shows_that_nothing_has_changed_shows_that_something_has():
    with opened(KNOWN) as (read, _, line):
        (task,) = (int(task) for task, (frames, _) in json.loads(line)["tasks"].items() if len(frames) == 33)
        (chain,) = Awaiting(read, Kinds(read)).follow([task])
        assert read.memory.read_all([chain.places]) == [chain.content]
        for variables in chain.variables:
            (was,) = read.memory.read_each([(variables, 8)])
            overwrite(read.pid, variables, 1)
            assert read.memory.read_all([chain.places]) != [chain.content]
            overwrite(read.pid, variables, int.from_bytes(was, "little"))
        assert read.memory.read_all([chain.places]) == [chain.content]


@EACH
def test_a_program_without_asyncio_has_no_tasks(python):
    with opened("print('up'); input()", python=python) as (read, _, _):
        assert listed(read, Kinds(read)) == []


LATE = """
print("up")
input()
import asyncio
async def main():
    print("in")
    input()
asyncio.run(main())
"""


def test_asyncio_is_found_once_it_is_imported(monkeypatch):
    monkeypatch.setattr("perfwatch.probes.cpython.task_list.LOOKED_FOR_NS", 0)
    with opened(LATE) as (read, process, _):
        kinds = Kinds(read)
        tasks = TaskList(read, kinds, Attributes(read))
        assert tasks.references() == []
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "in\n"
        assert len(tasks.references()) == 1


THOUSANDS = """
import asyncio, sys
async def rest(future):
    await future
async def main():
    future = asyncio.get_running_loop().create_future()
    tasks = [asyncio.ensure_future(rest(future)) for _ in range(6000)]
    await asyncio.sleep(0)
    print("up")
    sys.stdin.readline()
    for task in tasks[:5900]:
        task.cancel()
    await asyncio.sleep(0)
    tasks = tasks[5900:]
    await asyncio.sleep(0)
    print("fewer")
    sys.stdin.readline()
asyncio.run(main())
"""


def test_of_thousands_of_tasks_some_are_looked_at_and_of_ended_ones_none():
    with opened(THOUSANDS) as (read, process, _):
        kinds = Kinds(read)
        assert len(listed(read, kinds)) == 4096
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "fewer\n"
        assert 101 <= len(listed(read, kinds)) <= 110
