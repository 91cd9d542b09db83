"""All screens are tested in one time zone, are waited for until they are idle, and leave no thread behind."""

import threading
import time

import pytest
from textual import app, pilot
from tui_driving import until_idle

from perfwatch.tui.keeping import Keeper


@pytest.fixture(autouse=True)
def _idle_when_there_is_nothing_to_do(monkeypatch):
    for module in (app, pilot):
        monkeypatch.setattr(module, "wait_for_idle", until_idle)


@pytest.fixture(autouse=True)
def _made_when_they_are_shown(monkeypatch):
    """Most tests look at one screen: to make all others meanwhile would take longer than the test."""
    monkeypatch.setattr(Keeper, "make_ahead", lambda _: None)


@pytest.fixture(autouse=True)
def _utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(autouse=True)
def _no_thread_left():
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("perfwatch")] == []
