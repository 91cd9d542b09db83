"""Places in the code of real interpreters, as they name them themselves."""

import json

import pytest
from pythons import EACH, opened

from perfwatch.probes.cpython import codes as module
from perfwatch.probes.cpython.codes import Codes
from perfwatch.probes.errors import Vanished
from perfwatch.probes.frames import MAX_FRAME_CHARS

PLACES = """
import json, sys
class Shop:
    def order(self):
        def each(item):
            return [(lambda: sys._getframe())() for _ in (1,)][0]
        return each(1)
    here = sys._getframe()
async def wait():
    return sys._getframe()
def name_of(code):
    return getattr(code, "co_qualname", code.co_name)
def coroutine():
    try:
        wait().send(None)
    except StopIteration as end:
        return end.value
long = compile("import sys; def_ = lambda: sys._getframe()", "/" + "x" * 300, "exec")
strange = compile("f = lambda: __import__('sys')._getframe()", "/d\\u00e9p\\u00f4t/\\u6771\\U0001F40D", "exec")
exec(long); exec(strange)
frames = [Shop.here, coroutine(), def_(), f()]
frame = Shop().order()
while frame:
    frames.append(frame)
    frame = frame.f_back
def at(frame):
    return frame.f_lasti // 2 if sys.version_info[:2] == (3, 10) else frame.f_lasti
print(json.dumps([
    [id(f.f_code), at(f), name_of(f.f_code), f.f_code.co_filename, f.f_lineno, id(f)] for f in frames
]))
sys.stdin.read()
"""


def position(read, code, lasti):
    """Return what a frame of this version would hold."""
    start = read.layout.get("co.code_adaptive")
    return lasti if start is None else code + start + lasti


@EACH
def test_each_place_is_named_as_its_interpreter_names_it(python):
    with opened(PLACES, python=python) as (read, _, told):
        codes = Codes(read)
        found = []
        for code, lasti, name, file, line, _ in json.loads(told):
            frame = codes.frame(code, position(read, code, lasti))
            assert (frame.function, frame.file, frame.line) == (name, file[:MAX_FRAME_CHARS], line)
            assert codes.frame(code, position(read, code, lasti)) is frame
            found.append(frame.function.rpartition(".")[2])
        assert {"Shop", "wait", "order", "each", "<lambda>", "<module>"} <= set(found)


@EACH
def test_what_is_no_code_object_has_no_frame(python):
    with opened(PLACES, python=python) as (read, process, told):
        codes = Codes(read)
        code, lasti, *_, frame = json.loads(told)[0]
        for address in (0, 8, code + 8, frame, read.runtime, 1 << 47, (1 << 64) - 1):
            assert codes.frame(address, lasti) is None
        # also where a code object is known already
        assert codes.frame(code, position(read, code, lasti))
        assert codes.frame(frame, lasti) is None
        # a position that is nowhere in the code is no failure
        for at in (0, 1 << 31, (1 << 64) - 1):
            assert codes.frame(code, at).function == "Shop"
        process.kill()
        process.wait()
        with pytest.raises(Vanished):
            codes.frame(read.runtime, 0)


REUSE = """
import sys
def define(name, line):
    space = {}
    exec(compile(chr(10) * line + "def %s(): pass" % name, "file of " + name, "exec"), space)
    return space.pop(name)
first = define("first", 10)
place = id(first.__code__)
print(place)
while True:
    sys.stdin.readline()
    del first
    others = []
    for number in range(100000):
        others.append(define("other", 20))
        if id(others[-1].__code__) == place:
            break
    print(id(others[-1].__code__) == place)
    sys.stdin.readline()
    others.clear()
    print("freed")
    sys.stdin.readline()
"""


@EACH
def test_an_address_that_another_code_object_took_is_noticed(python, monkeypatch):
    monkeypatch.setattr(module, "CHECKED_FOR_NS", 0)
    with opened(REUSE, python=python) as (read, process, place):

        def go_on():
            process.stdin.write("\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        codes, code = Codes(read), int(place)
        before = codes.frame(code, position(read, code, 0))
        assert (before.function, before.file, before.line) == ("first", "file of first", 11)
        if go_on() != "True":
            pytest.skip("the allocator of this Python did not give the address again")
        after = codes.frame(code, position(read, code, 0))
        assert (after.function, after.file, after.line) == ("other", "file of other", 21)
        assert go_on() == "freed"
        assert codes.frame(code, position(read, code, 0)) is None


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 10_000)
    monkeypatch.setattr(module, "MAX_BODIES", 3)
    with opened(PLACES) as (read, _, told):
        codes = Codes(read)
        for _ in range(3):
            for code, lasti, *_ in json.loads(told):
                for further in range(20):
                    assert codes.frame(code, position(read, code, lasti + further))
                    codes.native_call(code, position(read, code, lasti + further))
                assert sum(len(known.frames) for known in codes._known.values()) <= 50
                assert len(codes._known) <= 6
                assert len(codes._bodies) <= 3
