"""All labelled faults in one shape, at several intensities, and what mends each.

A case says what is true of each endpoint; `varied` makes it milder or stronger, `drawn` as a seed has it, `mended`
takes what causes it away: the rest stays as it is.
"""

from __future__ import annotations

import dataclasses
import math
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faults.catalogue import FAULTS, GTHREAD, SYNC, THREADING, clients
from faults.loop_catalogue import LOOP_FAULTS, Party

from perfwatch.agent.model import PRINCIPLE_OF

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    import serving


DEFAULT_MS = 80
MILD, STRONG = 0.65, 1.7
DRAWN = (0.55, 2.2)
GONE_MS = 0
SECONDS = 2.0


@dataclass(frozen=True)
class Mend:
    """What is done about a fault. What is None stays; the load's faults take no time, unless they are what is left."""

    text: str = "what causes it takes no time"
    server: Callable[..., AbstractContextManager[serving.Server]] | None = None
    around: tuple[Callable[[], AbstractContextManager[dict[str, str]]], ...] | None = None
    keeps_load: bool = False
    of: str | None = None
    """The mechanism that it takes away; None: that of each endpoint."""
    twin: bool = False
    """The server has another way to do the same, without the fault."""


@dataclass(frozen=True)
class Case:
    """Whoever takes part in a fault on a server, and what is true of each."""

    name: str
    parties: tuple[Party, ...]
    server: Callable[..., AbstractContextManager[serving.Server]] = GTHREAD
    around: tuple[Callable[[], AbstractContextManager[dict[str, str]]], ...] = ()
    mend: Mend | None = Mend()
    seconds: float = SECONDS
    quick: bool = False
    """Belongs to `make test`."""

    @property
    def load(self):
        """What its clients do."""
        return tuple(party.endpoint for party in self.parties)

    @property
    def healthy(self):
        """Nothing of it may be called slow."""
        return all(party.principle == "healthy" for party in self.parties)


def healthy(path, count=1, pause_s=0.02):
    """Return an endpoint that has no part in anything: never slow, by its clients' clock."""
    return Party(clients(path, count, pause_s), "healthy", None, "", "")


def varied(case, factor, *, more=0, pause=1.0):
    """Return a case whose faults take so much longer, with more clients where there are several, and other pauses."""

    def scaled(party):
        endpoint = party.endpoint
        call = endpoint.call
        call = dataclasses.replace(
            call,
            path=_path(call.path, lambda ms: ms * factor),
            upload_s=call.upload_s * factor,
            download_s=call.download_s * factor,
        )
        count = endpoint.clients + (more if endpoint.clients > 1 else 0)
        changed = dataclasses.replace(endpoint, call=call, clients=count, pause_s=endpoint.pause_s * pause)
        return dataclasses.replace(party, endpoint=changed)

    return dataclasses.replace(case, parties=tuple(scaled(party) for party in case.parties))


def drawn(case, seed):
    """Return a case with all of its figures drawn: no rule was ever fitted to them."""
    dice = random.Random(f"{seed}.{case.name}")
    factor = math.exp(dice.uniform(*map(math.log, DRAWN)))
    return varied(case, factor, more=dice.randint(0, 1), pause=dice.uniform(0.5, 2))


def mended(case):
    """Return the same server under the same load, with the fault removed."""
    mend = case.mend
    without = _twin if mend.twin else _without
    changed = case if mend.keeps_load else dataclasses.replace(case, parties=tuple(map(without, case.parties)))
    return dataclasses.replace(
        changed,
        server=mend.server or case.server,
        around=case.around if mend.around is None else mend.around,
    )


def _without(party):
    call = party.endpoint.call
    call = dataclasses.replace(call, path=_path(call.path, _gone, first_only=True), upload_s=0.0, download_s=0.0)
    return dataclasses.replace(party, endpoint=dataclasses.replace(party.endpoint, call=call))


def _twin(party):
    call = party.endpoint.call
    call = dataclasses.replace(call, path=f"{_path(call.path, float)}&mended=1")
    return dataclasses.replace(party, endpoint=dataclasses.replace(party.endpoint, call=call))


def _gone(_):
    return GONE_MS


def _path(path, change, *, first_only=False):
    """Change the durations of a path, `ms=80&also=sleep:30`; first those that it has by default are written down."""
    if "ms=" not in path:
        path += f"{'&' if '?' in path else '?'}ms={DEFAULT_MS}"
    pattern = r"(\bms=)([\d.]+)" if first_only else r"(\bms=|:)([\d.]+)"
    return re.sub(pattern, lambda found: f"{found[1]}{round(change(float(found[2])), 1):g}", path)


QUICKER = {
    "run-queue": Mend("no neighbours", around=(), keeps_load=True, of="run-queue"),
    "throttle": Mend("no quota", server=SYNC, keeps_load=True, of="throttle"),
    "queue": Mend("16 threads", server=lambda **how: GTHREAD(threads=16, **how), keeps_load=True, of="queue"),
    "kept-lock": Mend("the keeper does not sleep"),
}
TWINS = {
    "chatty": Mend("one query for all rows", twin=True),
    "connecting": Mend("a connection that is kept", twin=True),
    "tls": Mend("a connection that is kept", twin=True),
}
UNMENDED = {"gil", "gil-http-server", "major-fault"}
"""Another interpreter for each thread would mend the first: more CPUs than this takes. The last one does as much as its
faults leave time for: without them it would do more."""
LONG = {"gil", "gil-http-server", "sort", "throttle"}
"""Their requests take so long that in two seconds too few of them end."""
LONG_S = 4.0
ALONE = {"queue", "run-queue", "throttle", "gil", "gil-http-server"}
"""What they lack, everybody lacks: no endpoint is innocent there."""


LINK_BUCKETS = {"dependency": "calls", "lock": "lock", "sleep": "sleep"}


def _of_threads(fault):
    judged, *others = fault.load
    parties = [Party(judged, fault.principle, fault.mechanism, fault.bucket, fault.kind, fault.named)]
    parties += [Party(other, "efficiency", "sleep", "sleep", "sleep") for other in others]
    if fault.name not in ALONE and fault.server in (GTHREAD, THREADING):
        parties.append(healthy("/fast/{n}"))
    mend = None if fault.name in UNMENDED else QUICKER.get(fault.name, Mend())
    seconds = LONG_S if fault.name in LONG else SECONDS
    return Case(fault.name, tuple(parties), fault.server, fault.around, mend, seconds=seconds)


def _of_chain(planted):
    """Return a chain as a case: each link that is a request is of the endpoint that its load has next."""
    fault = planted.fault
    judged, *others = fault.load
    parties = [
        Party(judged, fault.principle, fault.mechanism, fault.bucket, fault.kind, fault.named, chain=planted.chain)
    ]
    held = [mechanism for kind, mechanism in planted.chain if kind == "request"]
    parties += [
        Party(other, PRINCIPLE_OF[mechanism], mechanism, LINK_BUCKETS[mechanism], LINK_BUCKETS[mechanism])
        for other, mechanism in zip(others, held, strict=False)
    ]
    return Case(f"chain-{fault.name}", tuple(parties), fault.server, fault.around)


def cases():
    """Return every labelled fault."""
    from faults.chain_catalogue import CHAINS
    from faults.mixed_catalogue import CASES

    older = [_of_threads(fault) for fault in FAULTS]
    older += [
        Case(fault.name, fault.parties, fault.server, fault.around, TWINS.get(fault.name.rpartition("-")[0], Mend()))
        for fault in LOOP_FAULTS
    ]
    return (*older, *CASES, *map(_of_chain, CHAINS))
