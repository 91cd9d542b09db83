"""Whom a task serves that has no client of its own, by the tasks that wait for it."""

from itertools import count

from perfwatch.probes.tasks.clients import Client
from perfwatch.probes.tasks.links import Linked
from perfwatch.probes.tasks.serving import served
from perfwatch.probes.tasks.watched import Watched

NUMBERS = count(1)


def task(address, client=None, *links, lasting=False):
    found = Watched()
    found.identify(address, b"", NUMBERS)
    found.client = Client(client, lasting, ()) if client else None
    found.links = Linked(links, 0, ())
    return found


def clients(*tasks):
    found = served(tasks)
    return {each.task: found.get(each.id) for each in tasks}


def test_a_task_serves_the_client_of_what_waits_for_it_and_of_what_waits_for_that():
    assert clients(task(3), task(2, None, 3), task(1, "a", 2), task(4)) == {1: "a", 2: "a", 3: "a", 4: None}


def test_a_task_that_two_clients_wait_for_serves_neither():
    assert clients(task(1, "a", 3), task(2, "b", 3), task(3)) == {1: "a", 2: "b", 3: None}
    assert clients(task(1, "a", 3), task(2, "a", 3), task(3)) == {1: "a", 2: "a", 3: "a"}


def test_tasks_that_wait_for_each_other_in_a_circle_serve_nobody():
    assert clients(task(1, None, 2), task(2, None, 1, 2)) == {1: None, 2: None}


def test_a_chain_of_a_hundred_is_not_followed_to_its_end():
    found = clients(task(0, "a", 1), *(task(number, None, number + 1) for number in range(1, 100)))
    assert [found[number] for number in range(8)] == ["a"] * 5 + [None] * 3


def test_whom_a_proxy_told_of_gives_way_to_the_connection():
    parent, child = task(1, "a", 2, lasting=True), task(2, "9.9.9.9:80")
    assert clients(parent, child) == {1: "a", 2: "a"}
    # of another connection that is there the task's own word holds, and so it does where nobody waits for it
    assert clients(parent, task(2, "b"), task(3, "b", lasting=True)) == {1: "a", 2: "b", 3: "b"}
    assert clients(task(1, "a", lasting=True), child) == {1: "a", 2: "9.9.9.9:80"}


def test_of_two_tasks_at_one_address_the_last_is_there():
    ended, there, parent = task(2), task(2), task(1, "a", 2)
    found = served([ended, there, parent])
    assert (found.get(ended.id), found.get(there.id)) == (None, "a")
