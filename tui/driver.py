"""Reads the keys of a terminal: like Textual's driver, which looks only ten times a second whether an escape was a key.

An escape byte is the key, or the beginning of what another key sends; which, is known when nothing follows it.
"""

from __future__ import annotations

import os
import selectors
from codecs import getincrementaldecoder
from typing import Final

from textual import constants
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

_IDLE_S: Final = 0.1
_LATE_S: Final = 0.001
"""After the moment from which on an escape is a key."""
_MOST_BYTES: Final = 4096


class PromptDriver(LinuxDriver):
    """Looks again soon after each key."""

    def run_input_thread(self) -> None:
        """Pass on what is typed until the program ends."""
        parser, decode = XTermParser(self._debug), getincrementaldecoder("utf-8")().decode
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            wait_s = _IDLE_S
            while not self.exit_event.is_set():
                is_typed = bool(selector.select(wait_s))
                typed = decode(os.read(self.fileno, _MOST_BYTES)) if is_typed else ""
                for event in (*(parser.feed(typed) if typed else ()), *parser.tick()):
                    self.process_message(event)
                wait_s = constants.ESCAPE_DELAY + _LATE_S if is_typed else _IDLE_S
