"""A recording whose slow requests are known to the nanosecond, with their code: what exports are compared with."""

from __future__ import annotations

from io import BytesIO

import making as m
import msgspec
from click.testing import CliRunner

from perfwatch.agent.cli import cli
from perfwatch.agent.export.exported import Exported
from perfwatch.agent.export.formats import load
from perfwatch.agent.selection import Selection
from perfwatch.agent.session.reader import SessionReader
from perfwatch.agent.session.writer import SessionWriter
from perfwatch.probes.frames import Frame

SERVE = Frame("ThreadWorker.handle", "/srv/venv/lib/python3.12/site-packages/gunicorn/workers/gthread.py", 281)
ORDER = Frame("place_order", "/srv/shop/orders.py", 41)
GET = Frame("Cache.get", "/srv/shop/cache.py", 61)
DUMPS = Frame("json.dumps", "", 0, is_native=True)
EVIL = Frame("</script>;\x1b[2J\u202e a\nb 7", "/srv/\ufffd/evil;.py", 3)
WAITING, RUNNING, HOSTILE = (GET, ORDER, SERVE), (DUMPS, ORDER, SERVE), (EVIL, SERVE)


def slow_order(number, at_ms, *, ms=500, code=(WAITING, RUNNING)):
    """A request that waited for a lock but for 40 ms on a CPU and 10 ms in the socket's queue; no more, no less."""
    locked = ms - 50
    began = m.START + round((at_ms - ms) * m.MS)
    wait = m.wait("lock", locked, started_ns=began + 30 * m.MS, stack=0, waker=m.waker())
    ran = tuple(m.Ran(began + spent * m.MS, 1) for spent in (15, 25))
    spent = {"queue": 10, "lock": locked, "on_cpu": 40}
    fields = {"method": "POST", "target": f"/order/{number}", "tid": 4313 + number % 3}
    return m.served(number, at_ms, waits=(wait,), ran=ran, code=m.stacks(*code), **spent, **fields)


def quick(number, at_ms):
    """A request that nobody judges."""
    return m.served(number, at_ms, ms=3, target="/health", tid=4313)


def shop():
    """Three slow orders within 3 s, one with hostile names, and quick requests between them."""
    orders = [slow_order(1, 1000), slow_order(2, 1600), slow_order(3, 2900, ms=900, code=(HOSTILE, RUNNING))]
    return sorted([*orders, *(quick(10 + n, 200 * n + 50) for n in range(15))], key=lambda record: record.at_ns)


def recorded(path, records=None, info=None):
    """Write a session file, and return its path."""
    with SessionWriter(path, info or m.info()) as writer:
        for record in shop() if records is None else records:
            writer.write(record)
        writer.commit()
        writer.close("the time was over")
    return path


def exported(path, name, table="requests", **selection):
    """What a format makes of a recording."""
    out = BytesIO()
    with SessionReader(path) as session:
        load(name)(Exported(session, Selection(**selection), table), out)
    return out.getvalue()


def run(*arguments):
    """Run the command."""
    return CliRunner().invoke(cli, ["export", *map(str, arguments)], catch_exceptions=False)


def changed(record, **fields):
    """A record with other fields."""
    return msgspec.structs.replace(record, **fields)
