"""A real terminal for tests: a program in a tmux of its own, its keys, and what stands on its screen."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

TMUX = shutil.which("tmux")
DEADLINE_S = 30.0
POLL_S = 0.05
SHELL = 'code=$1; shift; "$@"; echo $? > "$code"'
ESCAPE_S = 0.15
"""Terminals send escape and another key for the two together; what is not to be so read must come later."""


class Terminal:
    """A program in a terminal; everything that it waits for has a deadline."""

    def __init__(self, directory):
        self._socket, self._code = directory / "socket", directory / "code"
        self._own = dict.fromkeys(("XDG_CONFIG_HOME", "XDG_STATE_HOME"), str(directory))

    def _tmux(self, *arguments):
        """Run a tmux command, in an environment without another terminal's size, or what was kept of an earlier run."""
        environment = {
            name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}
        } | self._own
        command = [TMUX, "-u", "-f", os.devnull, "-S", self._socket, *arguments]
        ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=DEADLINE_S, env=environment)
        return ended.stdout

    def start(self, command, width, height):
        """Run a command; the screen of one that has ended stays.

        A shell waits for it, because tmux 3.3 may miss the end of a program.
        """
        self._tmux(
            *("start-server", ";", "set-option", "-g", "remain-on-exit", "on", ";"),
            *("new-session", "-d", "-x", str(width), "-y", str(height), "sh", "-c", SHELL),
            *("sh", str(self._code), *map(str, command)),
        )

    def close(self):
        """End it, and whatever runs in it."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self._tmux("kill-server")

    def says(self, name):
        """Return what tmux knows: `pane_pid`, `alternate_on`."""
        return self._tmux("display-message", "-p", f"#{{{name}}}").strip()

    @property
    def pid(self):
        """Of the program."""
        (program,) = psutil.Process(int(self.says("pane_pid"))).children()
        return program.pid

    @property
    def screen(self):
        """What stands on the screen, as lines of plain text."""
        return self._tmux("capture-pane", "-p")

    @property
    def painted(self):
        """The same with the sequences that colour it."""
        return self._tmux("capture-pane", "-e", "-p")

    def press(self, *keys):
        """Press keys by their names: `Tab`, `Enter`, `Escape`, `q`."""
        for key in keys:
            self._tmux("send-keys", key)
            if key == "Escape":
                time.sleep(ESCAPE_S)

    def type(self, text):
        """Type a text."""
        self._tmux("send-keys", "-l", text)

    def click(self, pattern, *, from_end=False):
        """Click on the first, or the last, place of a pattern that comes to stand on the screen.

        A terminal tells button, column and row, from 1 on: `ESC [ < 0 ; 4 ; 7 M`; the same with `m` at its release.
        """
        text = self.until(pattern.search)
        found = list(pattern.finditer(text))[-1 if from_end else 0]
        row = text.count("\n", 0, found.end()) + 1
        column = found.start() - (text.rfind("\n", 0, found.start()) + 1) + (found.end() - found.start()) // 2 + 1
        for how in "Mm":
            self.type(f"\x1b[<0;{column};{row}{how}")

    def resize(self, width, height):
        """Make the terminal another size."""
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def until(self, condition):
        """Wait until the screen fulfils a condition; returns the screen, which may be half way to the next one."""
        end = time.monotonic() + DEADLINE_S
        while True:
            screen = self.screen
            if condition(screen):
                return screen
            assert time.monotonic() < end, f"did not come; the screen says:\n{screen}"
            time.sleep(POLL_S)

    def shows(self, *texts):
        """Wait until all texts stand on the screen; returns the screen."""
        return self.until(lambda screen: all(text in screen for text in texts))

    def ended(self):
        """Wait until the program has ended by itself; returns its exit code."""
        end = time.monotonic() + DEADLINE_S
        while not (code := self._code.read_text() if self._code.exists() else ""):
            assert time.monotonic() < end, f"runs on; the screen says:\n{self.screen}"
            time.sleep(POLL_S)
        return int(code)


@contextlib.contextmanager
def terminal(*command, width=100, height=30):
    """Run a command in a terminal until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="perfwatch-tmux-") as directory:
        opened = Terminal(Path(directory))
        opened.start(command, width, height)
        try:
            yield opened
        finally:
            opened.close()


def feeders_of(pid):
    """Return the collector processes of a perfwatch that watches live."""
    return [child for child in psutil.Process(pid).children() if "perfwatch.agent.feeder" in child.cmdline()]


def await_ended(processes):
    """Wait until processes have ended, whosever children they are now."""
    _, alive = psutil.wait_procs(processes, timeout=DEADLINE_S)
    assert not alive
