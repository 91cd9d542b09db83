"""Which locks a function has taken by `acquire()` where it calls `here()`, by the code that each interpreter makes."""

import functools
import json
import random
import subprocess
from typing import NamedTuple

import pytest
from pythons import EACH

from perfwatch.probes.cpython import acquired as module
from perfwatch.probes.cpython.acquired import Acquired
from perfwatch.probes.cpython.bytecode import instruction_set, instructions
from perfwatch.probes.cpython.calls import called
from perfwatch.probes.cpython.flow import Flow
from perfwatch.probes.cpython.handlers import blocks

# What of it was taken, and what may have been given back, where `here()` is called.
CASES = {
    "a.acquire(); here(); a.release()": ("a", ""),
    "a.acquire(); here()": ("", ""),
    "here(); a.acquire(); a.release()": ("", ""),
    "a.acquire(); a.release(); here()": ("", "a"),
    "a.acquire(); a.release(); a.acquire(); here(); a.release()": ("a", ""),
    "a.acquire(); b.acquire(); here(); b.release(); a.release()": ("a b", ""),
    "a.acquire(); b.acquire(); b.release(); here(); a.release()": ("a", "b"),
    "self.x.y.acquire(); here(); self.x.y.release()": ("self.x.y", ""),
    "a.acquire(False); here(); a.release()": ("", ""),
    "a.acquire(blocking=False); here(); a.release()": ("", ""),
    "a.acquire(timeout=1); here(); a.release()": ("", ""),
    "a.acquire(*x); here(); a.release()": ("", ""),
    "a.acquire\nhere(); a.release()": ("", ""),
    "a[0].acquire(); here(); a[0].release()": ("", ""),
    "(a or b).acquire(); here(); a.release()": ("", ""),
    "a.acquire(); a[0].release(); here(); a.release()": ("a", "?"),
    "a.acquire(); self._release_save(); here(); a.release()": ("a", "?"),
    "a.acquire(); unlock(a); here(); a.release()": ("a", "?"),
    "give = a.release\na.acquire(); give(); here(); a.release()": ("a", "?"),
    # A signal that somebody else gives.
    "a.acquire(); here(); a.acquire(); a.release()": ("", ""),
    "a.acquire(); here(); b.release()": ("", ""),
    # Other meanings of the name.
    "a.acquire(); a = b; here(); a.release()": ("", ""),
    "self.x.acquire(); self.x = b; here(); self.x.release()": ("", ""),
    "self.x.acquire(); self = b; here(); self.x.release()": ("", ""),
    "self.x.acquire(); b.y = self.y = 1; here(); self.x.release()": ("self.x", ""),
    "a.acquire(); (a, b) = (b, a); here(); a.release()": ("", ""),
    "a.acquire()\ndel a\nhere(); a.release()": ("", ""),
    "global g\ng.acquire(); here(); g.release()": ("g", ""),
    "global g\ng.acquire(); g = a; here(); g.release()": ("", ""),
    "f = lambda: a\na.acquire(); here(); a.release()": ("a", ""),
    "f = lambda: a\na.acquire(); a = x; here(); a.release()": ("", ""),
    "a.acquire()\nfor a in x: here()\na.release()": ("", ""),
    "for a in x:\n a.acquire()\n here()\n a.release()": ("a", ""),
    "for a in x:\n a.acquire()\nhere(); a.release()": ("", ""),
    # Branches.
    "if x: a.acquire()\nhere(); a.release()": ("", ""),
    "if x: a.acquire()\nelse: a.acquire()\nhere(); a.release()": ("a", ""),
    "if x:\n a.acquire()\n here()\n a.release()": ("a", ""),
    "a.acquire()\nif x: a.release()\nhere(); a.release()": ("", "a"),
    "a.acquire()\nif x:\n a.release()\n return\nhere(); a.release()": ("a", ""),
    "if x and a.acquire(): here()\na.release()": ("a", ""),
    "if not x: return a.acquire()\nhere(); a.release()": ("", ""),
    # Loops.
    "a.acquire()\nwhile x: here()\na.release()": ("a", ""),
    "a.acquire()\nwhile x:\n here()\n a.release()": ("", "a"),
    "while x:\n a.acquire()\n here()\n a.release()": ("a", ""),
    "while x:\n here()\n a.acquire()\n a.release()": ("", "a"),
    "a.acquire()\nfor y in x:\n b.acquire()\n if y: continue\n b.release()\n here()\na.release()": ("a", "b"),
    "a.acquire()\nwhile True:\n if x: break\n here()\na.release()": ("a", ""),
    "while True:\n a.acquire()\n try:\n  if x: continue\n  here()\n finally: a.release()": ("a", ""),
    # Exceptions.
    "a.acquire()\ntry: here()\nfinally: a.release()": ("a", ""),
    "a.acquire()\ntry: x()\nfinally: a.release()\nhere()": ("", "a"),
    "a.acquire()\ntry:\n b.acquire()\n try: here()\n finally: b.release()\nfinally: a.release()": ("a b", ""),
    "a.acquire()\ntry:\n while True: here()\nfinally: a.release()": ("a", ""),
    "a.acquire()\ntry: return here()\nfinally: a.release()": ("a", ""),
    "a.acquire()\ntry:\n if x: return 1\n y()\nfinally: a.release()\nb.acquire(); here(); b.release()": ("b", "a"),
    "try:\n x()\n a.acquire()\nexcept E: pass\nhere(); a.release()": ("", ""),
    "try: a.acquire()\nexcept E: pass\nhere(); a.release()": ("", ""),
    "a.acquire()\ntry: x()\nexcept E: pass\nhere(); a.release()": ("a", ""),
    "a.acquire()\ntry: x()\nexcept E as a: pass\nhere(); a.release()": ("", ""),
    "a.acquire()\ntry:\n a.release()\n x()\nexcept E: pass\nhere(); a.release()": ("", "a"),
    "a.acquire()\ntry: x()\nexcept E:\n here()\n raise\nfinally: a.release()": ("a", ""),
    "a.acquire()\ntry: x()\nexcept E: a.release()\nhere(); a.release()": ("", "a"),
    "a.acquire()\ntry:\n try: x()\n finally: y()\nexcept E: pass\nhere(); a.release()": ("a", ""),
    "try: x()\nfinally:\n a.acquire()\n here()\n a.release()": ("a", ""),
    "a.acquire()\ntry: x()\nfinally: y()\nhere(); a.release()": ("a", ""),
    "a.acquire()\nfor y in x:\n try:\n  if y: continue\n finally: y()\n here()\na.release()": ("a", ""),
    "a.acquire()\nfor y in x:\n try:\n  if y: continue\n finally: a.release()\n here()\na.release()": ("", "a"),
    "while x:\n try:\n  a.acquire()\n  here()\n  a.release()\n except E: pass": ("a", ""),
    # Beside `with`.
    "with x: a.acquire()\nhere(); a.release()": ("", ""),
    "a.acquire()\nwith x as y: here()\na.release()": ("a", ""),
    "with x:\n a.acquire()\n here()\n a.release()": ("a", ""),
    "a.acquire()\nwith x:\n a.release()\n y()\nhere(); a.release()": ("", "a"),
    "a.acquire()\nwith x:\n if y: return\nhere(); a.release()": ("a", ""),
    # Await.
    "await a.acquire(); here(); a.release()": ("a", ""),
    "await a.acquire(); await b.acquire(); here(); b.release(); a.release()": ("a b", ""),
    "try: await a.acquire()\nexcept E: pass\nhere(); a.release()": ("", ""),
    "await a.acquire()\ntry: await here()\nfinally: a.release()": ("a", ""),
    "await a.acquire(); await self.x(); a.release(); here()": ("", "a"),
    "await x(a.acquire(), here(), a.release())": ("a", ""),
    # Yield.
    "a.acquire()\nyield 1\nhere(); a.release()": ("a", ""),
    "a.acquire()\nyield from x\nhere(); a.release()": ("a", ""),
}
# True, but not told of every version, or not of every copy that the compiler makes of what follows.
UNCERTAIN = {
    "x and a.acquire(); here(); a.release()": ("a", ""),
    "try: a.acquire()\nexcept E: return\nhere(); a.release()": ("a", ""),
    "try:\n a.acquire()\n return\nfinally: here(); a.release()": ("a", ""),
    "a.acquire()\nx = [a for a in x]\nhere(); a.release()": ("a", ""),
}
# Jumps that are so long that they need an EXTENDED_ARG, as does what they lead to.
LONG = "\n".join(f" y{number} = y{number + 1}.z{number}" for number in range(300))
CASES[f"a.acquire()\nwhile x:\n{LONG}\n b.z301.acquire()\n here()\n b.z301.release()\na.release()"] = ("a b.z301", "")
CASES[f"if x:\n{LONG}\n a.acquire()\nhere(); a.release()"] = ("", "")
TELL = """
import json, sys
for text in json.load(sys.stdin):
    space = {}
    lines = ["async " * ("await" in text) + "def f(self, a, b, x):", *text.split("\\n")]
    exec("\\n ".join(lines), space)
    code = space["f"].__code__
    told = [code.co_code, getattr(code, "co_exceptiontable", b"")]
    names = [code.co_names, code.co_varnames, code.co_cellvars]
    if sys.version_info >= (3, 11):
        names[1] += tuple(cell for cell in code.co_cellvars if cell not in code.co_varnames)
        names[2] = names[1]
    print(json.dumps([list(map(list, told)), names]))
print(json.dumps(sys.version_info[:2]))
"""


class Names(NamedTuple):
    of_code: list[str]
    of_variables: list[str]
    of_cells: list[str]

    def of_global(self, number):
        return self.of_code[number]

    def of_local(self, number, *, cell):
        return (self.of_cells if cell else self.of_variables)[number]


@functools.cache
def compiled(python):
    """Return the version of an interpreter, and each case as it compiles it."""
    told = subprocess.run(
        [python, "-c", TELL], input=json.dumps([*CASES, *UNCERTAIN]), capture_output=True, text=True, check=True
    )
    *rows, version = map(json.loads, told.stdout.splitlines())
    codes = [(bytes(code), bytes(table), Names(*names)) for (code, table), names in rows]
    return tuple(version), dict(zip([*CASES, *UNCERTAIN], codes, strict=True))


def at_here(minor, code, table, names):
    """Return what was passed at each call of `here`."""
    found = instructions(instruction_set(minor), code)
    acquired = Acquired(minor, found, Flow(found, blocks(table) if minor >= (3, 11) else None), names)
    calls = (place for place, each in enumerate(found) if each.name.startswith("CALL") and each.target is None)
    return [acquired.at(place) for place in calls if called(minor, found, place, names) == "here"]


def read(minor, *code):
    """Return what was taken and what may have been given back, at each call of `here`."""
    told = at_here(minor, *code)
    return {(" ".join(sorted(one.taken)), " ".join(sorted(name or "?" for name in one.given))) for one in told}


def awaits(minor, *code):
    return [one.awaited for one in at_here(minor, *code)]


@EACH
def test_what_was_taken_and_what_may_have_been_given_back(python):
    minor, cases = compiled(python)
    assert {text: read(minor, *cases[text]) for text in CASES} == {text: {told} for text, told in CASES.items()}
    for text, true in UNCERTAIN.items():
        assert read(minor, *cases[text]) <= {true, ("", "")}, text


@EACH
def test_what_was_awaited_is_told_from_what_was_only_begun(python):
    minor, cases = compiled(python)
    begun = {"await x(a.acquire(), here(), a.release())", "a.acquire()\ntry: return here()\nfinally: a.release()"}
    awaited = {text for text in cases if text.startswith("await ")} - begun
    assert all("a" in told for text in awaited if "a" in CASES[text][0] for told in awaits(minor, *cases[text]))
    assert all(not told for text in begun for told in awaits(minor, *cases[text]))


@EACH
def test_of_a_function_with_too_many_everything_may_have_been_given_back(python, monkeypatch):
    monkeypatch.setattr(module, "MAX_CALLS", 3)
    minor, cases = compiled(python)
    text = "a.acquire(); b.acquire(); here(); b.release(); a.release()"
    assert read(minor, *cases[text]) == {("", "?")}


class AnyNames:
    def of_global(self, number):
        return ("acquire", "release", "x")[number % 3]

    def of_local(self, number, *, cell):
        return "xy"[number % 2]


@pytest.mark.parametrize("minor", [(3, 8), (3, 10), (3, 11), (3, 13)])
def test_code_that_makes_no_sense_ends(minor):
    for seed in range(10):
        data = random.Random(seed).randbytes(4000)
        found = instructions(instruction_set(minor), data)
        flow = Flow(found, blocks(data) if minor >= (3, 11) else None)
        acquired = Acquired(minor, found, flow, AnyNames())
        assert all(acquired.at(place) is not None for place in range(0, len(found), 50))
