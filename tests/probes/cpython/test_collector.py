"""The garbage collector of real interpreters, against what the `gc` module says."""

import json

from pythons import EACH, opened

from perfwatch.probes.cpython.collector import Collector

# At each line of input: some garbage more, and what gc says of it.
SAY = """
import gc, json, sys
def say():
    stats = [list(stat.values()) for stat in gc.get_stats()]
    print(json.dumps([gc.isenabled(), gc.get_threshold(), gc.get_count(), stats]))
class Cycle:
    def __init__(self):
        self.own = self
say()
for line in sys.stdin:
    for number in range(int(line)):
        Cycle()
    say()
    if line == "7\\n":
        gc.disable()
        gc.set_threshold(10, 20, 30)
    if line == "3\\n":
        gc.callbacks.append(lambda phase, info: phase == "start" and (print(json.dumps(phase)), sys.stdin.readline()))
        gc.collect(1)
"""


def go_on(process, count):
    process.stdin.write(f"{count}\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def told(state):
    return [[each.collections, each.collected, each.uncollectable] for each in state.generations]


@EACH
def test_statistics_lie_between_what_gc_says_before_and_after(python):
    with opened(SAY, python=python) as (read, process, line):
        collector = Collector(read)
        _, thresholds, _, before = json.loads(line)
        for count in (0, 1500, 10000):
            state = collector.read()
            assert state.enabled
            assert not state.collecting
            assert [each.threshold for each in state.generations] == thresholds
            _, _, counts, after = go_on(process, count)
            for low, read_now, high in zip(before, told(state), after, strict=True):
                assert all(least <= one <= most for least, one, most in zip(low, read_now, high, strict=True))
            before = after
        state = collector.read()
        assert told(state) == after
        assert after[0][0] > 5
        assert [each.count for each in state.generations[1:]] == counts[1:]


@EACH
def test_it_is_seen_switched_off_and_while_it_collects(python):
    with opened(SAY, python=python) as (read, process, _):
        collector = Collector(read)
        go_on(process, 7)
        go_on(process, 1)
        state = collector.read()
        assert not state.enabled
        assert [each.threshold for each in state.generations] == [10, 20, 30]
        go_on(process, 3)
        assert json.loads(process.stdout.readline()) == "start"
        assert collector.read().collecting
        go_on_after = process.stdin
        go_on_after.write("\n1\n")
        go_on_after.flush()
        json.loads(process.stdout.readline())
        assert not collector.read().collecting
