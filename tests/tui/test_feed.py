import subprocess
import sys
import threading
import time

import pytest
from fakes import SECOND, FakeSource, generate

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.errors import PerfwatchError
from perfwatch.tui.feed import FRAME_INTERVAL_S, Feed


class Frames:
    """Collects frames and can be waited on."""

    def __init__(self):
        self.all = []
        self._came = threading.Condition()

    def __call__(self, frame):
        with self._came:
            self.all.append(frame)
            self._came.notify_all()

    def wait(self, condition):
        with self._came:
            assert self._came.wait_for(lambda: any(map(condition, self.all)), 10)
        return next(filter(condition, self.all))


@pytest.fixture
def started():
    feeds = []

    def start(source, **options):
        frames = Frames()
        feed = Feed(source, frames, **options)
        feed.start()
        feeds.append((feed, source))
        return frames

    yield start
    for feed, source in feeds:
        feed.stop()
        source.close()
        feed.join(5)
        assert not feed.is_alive()


def test_a_frame_says_what_the_correlator_says(started):
    records = generate(5)
    frames = started(FakeSource(records))
    frame = frames.wait(lambda frame: frame.view.count == 100)
    assert frame.view.now_ns == records[-1].at_ns == frame.position.now_ns
    assert frame.ended is None
    assert frame.error is None


def test_at_most_four_frames_a_second(started):
    begun = time.monotonic()
    frames = started(FakeSource(generate(20), step_s=0.01))
    frames.wait(lambda frame: frame.view.count > 150)
    assert len(frames.all) <= 2 + (time.monotonic() - begun) / FRAME_INTERVAL_S


def test_without_news_there_is_no_frame(started):
    source = FakeSource(generate(2))
    frames = started(source)
    frames.wait(lambda frame: frame.view.count == 40)
    before = len(frames.all)
    pulls = threading.Semaphore(0)
    pull = source.pull
    source.pull = lambda timeout: (pulls.release(), pull(timeout))[1]
    for _ in range(3):
        assert pulls.acquire(timeout=5)
    assert len(frames.all) == before


def test_a_seek_starts_a_new_correlator_and_shows_at_once(started):
    source = FakeSource(generate(20))
    frames = started(source)
    frames.wait(lambda frame: frame.view.count == 400)
    source.pause(paused=True)
    frames.wait(lambda frame: frame.position.paused)
    source.seek(source.info.started_ns + 10 * SECOND)
    frames.wait(lambda frame: frame.position.paused and 190 <= frame.view.count <= 210)


def test_a_broken_source_ends_with_a_frame_that_says_so_and_keeps_the_view(started):
    source = FakeSource(generate(2))
    frames = started(source)
    frames.wait(lambda frame: frame.view.count == 40)
    source.fail = PerfwatchError("the collector died", "start again")
    frame = frames.wait(lambda frame: frame.error is not None)
    assert frame.error == "the collector died (start again)"
    assert frame.view.count == 40


def test_a_source_that_never_worked_says_so_too(started):
    source = FakeSource()
    source.fail = PerfwatchError("no such recording")
    assert started(source).wait(lambda frame: frame.error is not None).position.label == "broken"


def test_a_failure_of_our_own_is_a_line_and_no_silence(started):
    class Broken:
        def __init__(self, info):
            from perfwatch.agent.correlator.engine import Correlator

            self.view = Correlator(info).view

        def feed(self, record):
            raise ZeroDivisionError("oops")

    frame = started(FakeSource(generate(1)), judge_factory=Broken).wait(lambda frame: frame.error is not None)
    assert frame.error == "perfwatch itself failed: ZeroDivisionError: oops"


def test_a_view_that_cannot_be_made_is_told_too_and_the_one_before_stays(started):
    class Broken(Correlator):
        views = 0

        def view(self, *, glance=False):
            type(self).views += 1
            if self.views > 1:
                raise ZeroDivisionError("oops")
            return super().view(glance=glance)

    stream = FakeSource(generate(5), step_s=0.5)
    frame = started(stream, judge_factory=Broken).wait(lambda frame: frame.error is not None)
    assert frame.error == "perfwatch itself failed: ZeroDivisionError: oops"
    assert frame.view.count > 0


def test_the_end_is_told(started):
    frames = started(FakeSource(generate(2), ended="end of the recording"))
    assert frames.wait(lambda frame: frame.ended is not None).ended == "end of the recording"


def imported_by(code):
    """Names of the modules that are loaded when an interpreter has run this."""
    command = [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_the_first_screen_does_not_wait_for_the_correlator_to_be_imported():
    assert "perfwatch.agent.correlator.engine" not in imported_by("import perfwatch.tui.app")


def test_a_replay_waits_for_nothing_that_looks_into_processes():
    loaded = imported_by("import perfwatch.agent.commands.replay, perfwatch.tui.app")
    assert {"perfwatch.agent.replay", "perfwatch.agent.commands.attach"} <= loaded
    assert not {"perfwatch.agent.live", "perfwatch.agent.target", "perfwatch.probes.cpython"} & loaded
