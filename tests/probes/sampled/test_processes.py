"""The process tree without BPF: real forks, executions and ends."""

import os
import signal
import time

import pytest
from ledgering import script
from sampling import open_descriptors

from perfwatch.probes.errors import Vanished
from perfwatch.probes.sampled.processes import ProcessTree

FORKING = """
import os, subprocess, sys, threading
def by_thread():
    global child
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
for line in sys.stdin:
    if line == "fork\\n":
        thread = threading.Thread(target=by_thread); thread.start(); thread.join()
        print(child.pid, flush=True)
    elif line == "end\\n":
        child.communicate(b"\\n"); print("ended", flush=True)
    elif line == "execute\\n":
        os.execv("/bin/cat", ["cat"])
"""


@pytest.fixture
def forking():
    with script("print('up')" + FORKING) as (process, _):
        yield process


def tell(process, word):
    process.stdin.write(word + "\n")
    process.stdin.flush()


def follow(tree, condition):
    """Look until the changes so far fulfil a condition; returns them as (pid, change)."""
    changes, end = [], time.monotonic() + 10
    while not condition(changes):
        assert time.monotonic() < end, changes
        changes += [(change.pid, change.change) for change in tree.update(time.monotonic_ns())]
        time.sleep(0.01)
    return changes


def test_a_child_that_a_thread_forked_is_followed_until_it_ends(forking):
    tree = ProcessTree(forking.pid)
    tree.open()
    assert tree.pids == {forking.pid}
    tell(forking, "fork")
    child = int(forking.stdout.readline())
    changes = follow(tree, lambda changes: (child, "forked") in changes)
    assert tree.pids == {forking.pid, child}
    tell(forking, "end")
    changes += follow(tree, lambda changes: (child, "exited") in changes)
    assert [change for change in changes if change[1] != "executed"] == [(child, "forked"), (child, "exited")]
    tree.close()


def test_another_program_in_the_same_process_is_told(forking):
    tree = ProcessTree(forking.pid)
    tree.open()
    tell(forking, "execute")
    assert follow(tree, bool) == [(forking.pid, "executed")]
    tree.close()


def test_the_end_of_the_last_process_is_told_also_while_nobody_has_reaped_it(forking):
    tree = ProcessTree(forking.pid)
    tree.open()
    os.kill(forking.pid, signal.SIGKILL)
    assert follow(tree, lambda changes: len(changes) > 1) == [(forking.pid, "exited"), (forking.pid, "gone")]
    assert tree.update(time.monotonic_ns()) == []


def test_who_was_forked_before_is_found_at_once(forking):
    tell(forking, "fork")
    child = int(forking.stdout.readline())
    tree = ProcessTree(forking.pid)
    tree.open()
    assert tree.pids == {forking.pid, child}
    tree.close()


def test_a_process_that_is_not_there_is_vanished_and_nothing_stays_open(forking):
    descriptors = open_descriptors()
    tree = ProcessTree(forking.pid)
    tree.open()
    tree.close()
    assert open_descriptors() == descriptors
    forking.kill()
    forking.wait()
    with pytest.raises(Vanished):
        ProcessTree(forking.pid).open()


ZOMBIES = """
import os, time
children = [os.fork() or os._exit(0) for _ in range(5)]
for child in children:
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
print('up')
time.sleep(60)
"""


def test_children_that_have_ended_and_are_not_waited_for_leave_no_file_open():
    with script(ZOMBIES) as (process, _):
        descriptors = open_descriptors()
        tree = ProcessTree(process.pid)
        tree.open()
        for at in range(1, 4):
            tree.update(at)
        assert tree.pids == {process.pid}
        tree.close()
        assert open_descriptors() == descriptors
