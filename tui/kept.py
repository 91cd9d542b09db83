"""What is kept between two runs: page, theme, sorting, filter. A file that makes no sense is as good as none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from perfwatch.agent.errors import PerfwatchError
from perfwatch.tui import own_files
from perfwatch.tui.choices import Choices

if TYPE_CHECKING:
    from collections.abc import Mapping

_Word = Annotated[str, msgspec.Meta(max_length=64)]


class Kept(msgspec.Struct, frozen=True):
    """As in the file."""

    page: _Word = ""
    theme: _Word = ""
    """Only what a person chose: else the terminal decides."""
    choices: Choices = Choices()


def load(environ: Mapping[str, str]) -> Kept:
    """Read what was kept."""
    try:
        data = own_files.read(own_files.state_directory(environ) / own_files.STATE, environ)
        return Kept() if data is None else _decoder.decode(data)
    except (PerfwatchError, msgspec.MsgspecError, UnicodeError):
        return Kept()


def save(kept: Kept, environ: Mapping[str, str]) -> None:
    """Keep it, where that can be done safely."""
    own_files.write(own_files.state_directory(environ), own_files.STATE, msgspec.json.encode(kept))


_decoder: Final = msgspec.json.Decoder(Kept)
