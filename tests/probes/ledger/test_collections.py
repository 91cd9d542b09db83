"""The ledger's probes on the collector, held against what each interpreter notes itself by gc.callbacks."""

import pytest
from collecting import OBEY, Target
from ledgering import script
from pythons import EACH_AT_LENGTH

from perfwatch.agent.target import interpreter_of
from perfwatch.probes.ledger.probe import LedgerProbe

pytestmark = pytest.mark.ledger
MS = 1_000_000


@EACH_AT_LENGTH
def test_each_collection_is_one_pause(python):
    with script(OBEY, python=python) as (process, _), LedgerProbe(process.pid, interpreter_of) as probe:
        assert probe.timed == {process.pid}, "built with symbols, or with static probes"
        target = Target(process, probe)
        for work in ("gc.collect()", "gc.collect(1)", "gc.collect(0)", "serve(100)", "grow(400000)"):
            target.do(work)
        for _ in range(4):
            target.do("gc.collect()")
        target.do("join(in_threads(4, lambda: serve(20)))")
        noted = target.collections()
        target.until(lambda pauses: len(pauses) >= len(noted))
        paired = list(zip(sorted(target.pauses, key=lambda one: one.started_ns), noted, strict=True))
    assert len(noted) > 20
    for pause, own in paired:
        assert (pause.tid, pause.generation, pause.collected) == (own.tid, own.generation, own.collected)
        # The callbacks stand around it, from 3.13 on within.
        assert pause.started_ns < own.ended_ns
        assert own.started_ns < pause.started_ns + pause.paused_ns
    long = [(pause.paused_ns, own.ended_ns - own.started_ns) for pause, own in paired if pause.paused_ns >= MS]
    assert len(long) >= 4
    assert sum(told for told, _ in long) == pytest.approx(sum(noted for _, noted in long), rel=0.02)
