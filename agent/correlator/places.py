"""Which frame of a stack tells most: the code that one would look at, and what it was in the midst of calling.

What a frame is, is told from its file's name alone: of a program that was installed as a package (into site-packages)
the own code is taken for a library.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.model import Frame

Kind: TypeAlias = Literal["own", "library", "stdlib", "native"]
_SCAFFOLDING: Final = (
    *("gunicorn", "uvicorn", "hypercorn", "daphne", "waitress", "cheroot", "gevent", "eventlet"),
    *("werkzeug", "flask", "django", "starlette", "fastapi", "asgiref", "anyio", "bottle", "falcon"),
    *("tornado", "aiohttp", "sanic", "pyramid", "wsgiref", "http.server", "socketserver", "runpy"),
    *("threading", "concurrent.futures", "multiprocessing", "asyncio", "selectors", "contextlib"),
)
"""Modules that call a server's code, or wait for it: that they run says little of what a request did."""
_INSTALLED: Final = re.compile(r".*(?:^|/)(?:site|dist)-packages/(.*)", re.DOTALL)
_STANDARD: Final = re.compile(
    r"<frozen (?P<frozen>[\w.]+)>"
    r"|(?:.*/)?lib(?:64)?/python3(?:\.\d+t?)?/(?:lib-dynload/)?(?P<file>.*)"
    r"|(?:.*/)?python3\d*\.zip/(?P<zipped>.*)",
    re.DOTALL,
)
_SCRIPT: Final = re.compile(r"(?:.*/)?s?bin/([\w-]+)", re.DOTALL)
_FILES: Final = 4096


class Place(NamedTuple):
    """The frame of a stack that tells most."""

    frame: Frame
    called: str | None
    """What it was in the midst of calling; None where it did the work itself."""


class _Origin(NamedTuple):
    """What a file's name says."""

    kind: Literal["own", "library", "stdlib"]
    module: str
    """Dotted; of own code empty."""
    is_scaffolding: bool
    is_told: bool
    """Whether it is a file at all: not code that was made of a string (`<string>`), or could not be read."""


def kind_of(frame: Frame) -> Kind:
    """Tell the program's own code from that of libraries, the standard library, and native code."""
    return "native" if frame.is_native else _origin(frame.file).kind


def module_of(frame: Frame) -> str:
    """Return the dotted module of a library or the standard library; of other code nothing."""
    return "" if frame.is_native else _origin(frame.file).module


def is_scaffolding(frame: Frame) -> bool:
    """Whether it is of those modules that only call a server's code."""
    return not frame.is_native and _origin(frame.file).is_scaffolding


def telling(frames: Sequence[Frame]) -> Frame | None:
    """Return the frame that tells most; None of an empty stack.

    The innermost one of the program's own code (code made of a string only where there is no other); else the innermost
    one of a library that is no scaffolding of servers; else the innermost that is not native.
    """
    at = _telling_at(frames)
    return None if at is None else frames[at]


def called(frames: Sequence[Frame]) -> str | None:
    """Return what the frame that tells most was calling: `json.dumps`, `re.match › match`; None where nothing.

    That is the function that it called itself and, where that got so far, the first one that is native.
    """
    at = _telling_at(frames)
    return _called(frames[:at]) if at else None


def place_of(frames: Sequence[Frame]) -> Place | None:
    """Return both at once; costs about 5 us for a stack of 25 frames."""
    at = _telling_at(frames)
    return None if at is None else Place(frames[at], _called(frames[:at]) if at else None)


def _telling_at(frames: Sequence[Frame]) -> int | None:
    library = untold = innermost = None
    for at, frame in enumerate(frames):
        if frame.is_native:
            continue
        innermost = at if innermost is None else innermost
        origin = _origin(frame.file)
        if origin.kind == "own":
            if origin.is_told:
                return at
            untold = at if untold is None else untold
        elif library is None and origin.kind == "library" and not origin.is_scaffolding:
            library = at
    found = next((at for at in (untold, library, innermost) if at is not None), 0)
    return found if frames else None


def _called(inner: Sequence[Frame]) -> str:
    """Name the outermost of these frames, and the outermost native one."""
    first = inner[-1]
    if first.is_native:
        return first.function
    module = _origin(first.file).module
    name = f"{module}.{first.function}" if module else first.function
    native = next((frame.function for frame in reversed(inner) if frame.is_native), None)
    return name if native is None else f"{name} › {native}"


@lru_cache(_FILES)
def _origin(file: str) -> _Origin:
    if installed := _INSTALLED.fullmatch(file):
        module = _module(installed[1])
        return _Origin("library", module, _is_scaffolding(module), is_told=True)
    if standard := _STANDARD.fullmatch(file):
        module = standard["frozen"] or _module(standard["file"] or standard["zipped"] or "")
        return _Origin("stdlib", module, _is_scaffolding(module), is_told=True)
    script = _SCRIPT.fullmatch(file)
    if script and _is_scaffolding(script[1]):
        return _Origin("library", script[1], is_scaffolding=True, is_told=True)
    return _Origin("own", "", is_scaffolding=False, is_told=not file.startswith(("<", "?")) and file != "")


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _is_scaffolding(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in _SCAFFOLDING)
