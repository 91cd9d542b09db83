"""All screens are tested in one time zone, and leave no thread behind."""

import threading
import time

import pytest


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
