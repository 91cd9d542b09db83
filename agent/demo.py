"""The demo servers, a slow neighbour and their load, as processes that end with perfwatch.

Everything listens on the loopback interface alone, on ports that were free. Each process asks the kernel to
end it with the thread that called this (see `perfwatch.examples.leash`), so none outlives a perfwatch
that is killed. They run in an empty directory of their own: no module is taken from where perfwatch, perhaps as
root, was started.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import subprocess
import sys
import tempfile
from typing import IO, TYPE_CHECKING, Final

import msgspec

from perfwatch.agent.errors import PerfwatchError
from perfwatch.examples.leash import PARENT
from perfwatch.examples.starting import NotServing, await_answer, await_listening, end_group, free_port
from perfwatch.examples.suggestions import PORT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

READY_S: Final = 20.0
LOG_CHARS: Final = 300


class Demo(msgspec.Struct, frozen=True):
    """A demo that runs."""

    pid: int
    """Of the server that is under load: what to attach to."""
    address: str
    """`127.0.0.1:41763`."""
    behind: tuple[int, ...] = ()
    """PIDs of the services that it calls, to attach to as well."""


@contextlib.contextmanager
def start_demo() -> Iterator[Demo]:
    """Run the shop under load until the end of the block; takes about a second.

    Call it on a thread that outlives the block. Raises PerfwatchError if gunicorn is missing or fails.
    """
    neighbour, address = free_port(), f"127.0.0.1:{free_port()}"
    with _starting({PORT: str(neighbour)}) as start:
        suggestions = start("perfwatch.examples.suggestions", str(neighbour))
        server = start("gunicorn", *_gunicorn("gunicorn_conf", address, "demo_app"))
        await_listening(suggestions, f"127.0.0.1:{neighbour}", READY_S)
        await_answer(server, address, "/item/1", READY_S)
        start("perfwatch.examples.demo_load", address)
        yield Demo(server.pid, address)


@contextlib.contextmanager
def start_services() -> Iterator[Demo]:
    """Run the storefront and the prices that it asks for, under load, until the end of the block; as `start_demo`."""
    address, prices_at = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    with _starting({}) as start:
        prices = start("gunicorn", *_gunicorn("gunicorn_prices", prices_at, "prices"))
        front = start("perfwatch.examples.storefront", address, prices_at)
        await_answer(prices, prices_at, "/tax/1", READY_S)
        await_answer(front, address, "/total/1", READY_S)
        start("perfwatch.examples.demo_load", address, "storefront")
        yield Demo(front.pid, address, (prices.pid,))


@contextlib.contextmanager
def _starting(settings: Mapping[str, str]) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Yield what starts a module as a process that ends with the block; a server that does not serve is one line."""
    if importlib.util.find_spec("gunicorn") is None:
        raise PerfwatchError("the demo needs gunicorn", "pip install 'perfwatch[demo]'")
    environment = {**os.environ, PARENT: str(os.getpid()), **settings}
    with contextlib.ExitStack() as stack:
        empty = stack.enter_context(tempfile.TemporaryDirectory(prefix="perfwatch-demo-"))
        log = stack.enter_context(tempfile.TemporaryFile())
        try:
            yield functools.partial(_start, stack, empty, log, environment)
        except NotServing as error:
            raise PerfwatchError(f"the demo server did not start: {error}", _last_line(log)) from error


def _gunicorn(settings: str, address: str, application: str) -> tuple[str, ...]:
    config = f"python:perfwatch.examples.{settings}"
    return ("--config", config, "--bind", address, f"perfwatch.examples.{application}:app")


def _start(
    stack: contextlib.ExitStack,
    directory: str,
    log: IO[bytes],
    environment: dict[str, str],
    module: str,
    *arguments: str,
) -> subprocess.Popen[bytes]:
    """Start a module in its own session, where Ctrl-C does not reach it; the stack ends it."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        cwd=directory,  # gunicorn imports from it, whatever -P says
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    stack.callback(end_group, process)
    return process


def _last_line(log: IO[bytes]) -> str | None:
    log.seek(0)
    lines = log.read().decode(errors="replace").split("\n")
    return next((line.strip()[:LOG_CHARS] for line in reversed(lines) if line.strip()), None)
