"""What travels to the screens: frames from the feed thread, wishes from the widgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec
from textual.message import Message

from perfwatch.agent.marks import Marks

if TYPE_CHECKING:
    from perfwatch.agent.model import SessionInfo, View
    from perfwatch.agent.source import Position, Source
    from perfwatch.agent.target import Candidate
    from perfwatch.tui.choices import Choices
    from perfwatch.tui.screens.base import DetailScreen
    from perfwatch.tui.screens.probes import ProbesScreen


Shown = TypeVar("Shown")


class Frame(msgspec.Struct, frozen=True):
    """All that the screens show at one moment."""

    view: View
    position: Position
    info: SessionInfo
    ended: str | None = None
    """Why nothing more will come; what was seen stays."""
    error: str | None = None
    """What broke the source: one line."""
    marks: Marks = msgspec.field(default_factory=Marks)
    """Of the whole stream; more come."""
    selecting_ns: int | None = None
    """Where the window begins that somebody is about to select."""

    def lately(self, seconds: str = "10 s") -> str:
        """Say over what is shown that is of the last seconds else: of a window it is of all."""
        return f"the last {seconds}" if self.position.window is None else "the window"


class FrameReady(Message):
    """A new frame; it replaces one that was not shown yet, so that a slow terminal does not lag."""

    def __init__(self, frame: Frame, source: Source) -> None:
        super().__init__()
        self.frame, self.source = frame, source

    def can_replace(self, message: Message) -> bool:
        """Tell whether the waiting message may be dropped in favour of this one."""
        return isinstance(message, FrameReady)


class SeekWanted(Message):
    """Somebody pointed at a moment."""

    def __init__(self, at_ns: int) -> None:
        super().__init__()
        self.at_ns = at_ns


class WindowWanted(Message):
    """Somebody pointed at a stretch."""

    def __init__(self, begin_ns: int, end_ns: int) -> None:
        super().__init__()
        self.begin_ns, self.end_ns = begin_ns, end_ns


class ChoicesMade(Message):
    """Somebody wants to see lists otherwise."""

    def __init__(self, choices: Choices) -> None:
        super().__init__()
        self.choices = choices


class DetailWanted(Message, Generic[Shown]):
    """Somebody wants to see a subject in full, on a screen of this kind."""

    def __init__(self, kind: type[DetailScreen[Shown]], subject: Shown) -> None:
        super().__init__()
        self.kind, self.subject = kind, subject


class CandidateChosen(Message):
    """Somebody wants to attach to this process."""

    def __init__(self, candidate: Candidate) -> None:
        super().__init__()
        self.candidate = candidate


class Attached(Message):
    """Attaching worked."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source


class DoctorWanted(Message):
    """Somebody wants to know what this machine allows; `by` shall be told."""

    def __init__(self, by: ProbesScreen) -> None:
        super().__init__()
        self.by = by


class AttachFailed(Message):
    """Attaching did not work; `problem` is one line, with a remedy."""

    def __init__(self, problem: str) -> None:
        super().__init__()
        self.problem = problem
