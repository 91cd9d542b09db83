"""What is called at each call of real modules, against their source text as the interpreter's own parser reads it."""

import json
import re

from pythons import EACH, EACH_AT_LENGTH, opened

from perfwatch.probes.cpython.body import Body
from perfwatch.probes.cpython.codes import Codes
from perfwatch.probes.cpython.objects import Objects

# Prints for each code object its address and [offset of a call, names that it may have, whether it should have one].
# From 3.11 on a call is known by its place in the text, before that by its line. At the same place is the call of a
# generator expression that is its argument; a decorator may have no name.
TELL = """
import ast, dis, importlib.util, json, sys, types

def dotted(node):
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return (dotted(node.value) or "") + "." + node.attr
    return None

def place(node):
    return (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)

def names_of(tree):
    exact, by_line = {}, {}
    def add(node, lines, name, must):
        exact.setdefault(place(node), []).append((name, must))
        for line in lines:
            by_line.setdefault(line, set()).add(name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            add(node, range(node.lineno, node.end_lineno + 1), dotted(node.func), True)
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            entered = "__enter__" if isinstance(node, ast.With) else "__aenter__"
            for item in node.items:
                name = dotted(item.context_expr)
                name = name and name + "." + entered
                lines = range(node.lineno, item.context_expr.end_lineno + 1)
                add(item.context_expr, lines, name, False)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            for each in node.decorator_list:
                add(each, (each.lineno, node.lineno), dotted(each), False)
        elif isinstance(node, ast.Assert) and sys.version_info < (3, 9):
            add(node, range(node.lineno, node.end_lineno + 1), "AssertionError", False)
    return exact, by_line

CALLS = ("CALL_FUNCTION", "CALL_METHOD", "CALL_KW", "SETUP_WITH", "BEFORE_WITH", "SETUP_ASYNC", "BEFORE_ASYNC")

def walk(code, exact, by_line):
    rows, line, starts = [], None, dict(dis.findlinestarts(code))
    for each in dis.get_instructions(code):
        line = starts.get(each.offset, line)
        if not each.opname.startswith(CALLS) and each.opname not in ("CALL", "PRECALL"):
            continue
        if sys.version_info < (3, 11):
            rows.append((each.offset, list(by_line.get(line, ())), False))
            continue
        at = each.positions
        at = (at.lineno, at.col_offset, at.end_lineno, at.end_col_offset)
        # The place of a method's call begins at the method.
        within = [key for key in exact if key[:2] <= at[:2] and key[2:] == at[2:]]
        found = exact.get(at) or [name for key in within for name in exact[key]]
        must = len(found) == 1 and found[0][0] is not None and found[0][1]
        rows.append((each.offset, [name for name, _ in found], must))
    kept.append(code)
    print(json.dumps([id(code), rows]))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            walk(constant, exact, by_line)

kept = []
for name in sys.argv[1:]:
    with open(importlib.util.find_spec(name).origin, encoding="utf-8") as file:
        text = file.read()
    walk(compile(text, name, "exec"), *names_of(ast.parse(text)))
print("end")
sys.stdin.read()
"""
MODULES = ("argparse", "asyncio.tasks", "dataclasses", "threading", "tarfile", "http.server")
MANGLED = re.compile(r"\b_[A-Z][A-Za-z0-9]*?(?=__\w)")


@EACH_AT_LENGTH
def test_no_call_has_a_wrong_name_and_most_have_one(python):
    with opened(TELL, python=python, arguments=MODULES) as (read, process, told):
        codes, start = Codes(read), read.layout.get("co.code_adaptive")
        calls = named = missing = 0
        for line in (told, *iter(process.stdout.readline, "end\n")):
            code, rows = json.loads(line)
            for offset, names, must in rows:
                at = offset // (2 if read.layout.minor == (3, 10) else 1) if start is None else code + start + offset
                found = codes.native_call(code, at)
                where = codes.frame(code, at)
                calls += 1
                if found is not None:
                    named += 1
                    # `with a: b()` is one place in the text for several instructions
                    assert MANGLED.sub("", found) in names or found.endswith("__enter__"), (where, found, names)
                missing += must and found is None
    assert calls > 2500
    assert named / calls > 0.7
    assert missing / calls < 0.02


BRANCHES = {
    "f(1 if x else 2)": "f",
    "f(x and y, not x or y)": "f",
    "f([z for z in y], {z: 1 for z in y})": "f",
    "[(f if x else g)(1), 2]": None,
    "[(f or g)(1), 2]": None,
    "f(x)(1)": None,
    "x[0](1)": None,
    "(lambda: 1)()": None,
    "f(*x, **y)": "f",
    "f(1, *x, z=2)": "f",
    "f(k=1, l=g(x))": "f",
    "x.y.z(1)": "x.y.z",
    "x().y.z(1)": ".y.z",
    "', '.join(x)": ".join",
    "f(x < y < 3)": "f",
    "f(g(x), x.y(1), z=x)": "f",
    "f(f'{x} {y!r:>{x}}')": "f",
    "f(x[1:y], -x, [1, *y], {**y})": "f",
    "f(z := 3)": "f",
    "x.a.b.c.d.e.f.g.h(1)": "x.a.b.c.d.e.f.g.h",
    "x.a.b.c.d.e.f.g.h.i(1)": ".a.b.c.d.e.f.g.h.i",
}

# The call in question is the last one of its function.
COMPILE = """
import dis, json, sys
kept = []
for text in json.loads(sys.argv[1]):
    space = {}
    exec("def outer(x, y):\\n def inner(f=1):\\n  return " + text + "\\n return inner", space)
    code = space["outer"](1, 2).__code__
    kept.append(code)
    calls = [i.offset for i in dis.get_instructions(code) if i.opname[:5] in ("CALL", "CALL_") and i.opname[5:6] != "I"]
    print(json.dumps([id(code), calls[-1]]))
sys.stdin.read()
"""


@EACH
def test_an_expression_that_branches_is_followed_and_one_whose_callable_does_has_no_name(python):
    with opened(COMPILE, python=python, arguments=[json.dumps(list(BRANCHES))]) as (read, process, told):
        codes, start = Codes(read), read.layout.get("co.code_adaptive")
        found = {}
        for text in BRANCHES:
            code, offset = json.loads(process.stdout.readline() if found else told)
            at = offset // (2 if read.layout.minor == (3, 10) else 1) if start is None else code + start + offset
            found[text] = codes.native_call(code, at)
    assert found == BRANCHES


@EACH
def test_instructions_of_garbage_name_nothing_and_end(python):
    with opened(COMPILE, python=python, arguments=[json.dumps(["f(1)"])]) as (read, _, told):
        code, _ = json.loads(told)
        for garbage in (b"", b"\0", b"\xff" * 65536, bytes(range(256)) * 256, bytes(65536)):
            body = Body(read, Objects(read.memory, read.layout), code)
            vars(body)["_code"] = garbage
            for at in (-2, 0, 2, 1 << 15, 65534, 1 << 40):
                name = body.called(at)
                assert name is None or len(name) < 1000
