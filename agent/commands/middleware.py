"""`perfwatch middleware`: the file to copy into a program that may be changed."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path  # noqa: TC003 - click reads it
from typing import Final

import click

from perfwatch.agent.commands import options
from perfwatch.agent.errors import PerfwatchError

NAME: Final = "perfwatch_middleware.py"


@click.command(
    epilog="""\b
Examples:
  perfwatch middleware -o shop/         then, in shop/wsgi.py:
      from shop.perfwatch_middleware import PerfwatchWSGI
      application = PerfwatchWSGI(application)
  perfwatch middleware | less           read it
  perfwatch record --pid 4312 --spans   watch with it
"""
)
@click.option("-o", "--output", type=options.FILE, metavar="DIR", help="Write the file into this directory.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
def middleware(*, output: Path | None, overwrite: bool) -> None:
    """Write perfwatch's ASGI and WSGI middleware: one file for Python 3.8 and later that needs only pyinstrument.

    For those who may change their program. It gives perfwatch the exact boundaries and the routes' names of requests,
    and call trees of slow ones, also of asynchronous ones. Without it perfwatch works as well.
    """
    source = files("perfwatch.agent.middleware").joinpath(NAME).read_text()
    if output is None:
        click.echo(source, nl=False)
        return
    path = output / NAME
    try:
        with path.open("w" if overwrite else "x") as file:
            file.write(source)
    except FileExistsError:
        raise PerfwatchError(f"{path} exists already", "--overwrite replaces it") from None
    except OSError as error:
        raise PerfwatchError(f"cannot write {path}: {error.strerror}", "choose another directory") from None
    click.echo(f"wrote {path}", err=True)
