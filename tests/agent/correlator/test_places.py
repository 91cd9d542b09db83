"""Which frame of a stack tells most. The paths are those of real interpreters and servers."""

import json
import re
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfwatch.agent.correlator.places import called, kind_of, place_of, telling
from perfwatch.probes.frames import Frame

SITE = "/srv/venv/lib/python3.12/site-packages"
STDLIB = "/usr/local/lib/python3.12"


def frame(function, file, line=1):
    return Frame(function, file, line)


def native(function):
    return Frame(function, "", 0, is_native=True)


VIEW = frame("view", "/srv/shop/views.py", 41)
SERVER = (
    frame("Flask.dispatch_request", f"{SITE}/flask/app.py"),
    frame("ThreadWorker.handle", f"{SITE}/gunicorn/workers/gthread.py"),
    frame("_WorkItem.run", f"{STDLIB}/concurrent/futures/thread.py"),
    frame("Thread.run", f"{STDLIB}/threading.py"),
)
DUMPS = (
    frame("JSONEncoder.iterencode", f"{STDLIB}/json/encoder.py"),
    frame("JSONEncoder.encode", f"{STDLIB}/json/encoder.py"),
    frame("dumps", f"{STDLIB}/json/__init__.py"),
)


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("/srv/shop/views.py", "own"),
        ("views.py", "own"),
        ("<string>", "own"),
        ("/srv/flask/views.py", "own"),
        ("/srv/lib/python/views.py", "own"),
        ("/usr/local/bin/shop-server", "own"),
        ("/srv/venv/bin/gunicorn", "library"),
        (f"{SITE}/flask/app.py", "library"),
        ("/usr/lib/python3/dist-packages/requests/api.py", "library"),
        ("site-packages/requests/api.py", "library"),
        ("/usr/lib/python3.11/json/__init__.py", "stdlib"),
        ("/usr/lib64/python3.9/json/__init__.py", "stdlib"),
        ("/opt/python/lib/python3.13t/json/__init__.py", "stdlib"),
        ("<frozen importlib._bootstrap>", "stdlib"),
        ("/opt/app/python311.zip/json/__init__.py", "stdlib"),
    ],
)
def test_the_kind_of_a_frame_is_told_by_its_file(file, kind):
    assert kind_of(frame("f", file)) == kind


def test_native_code_is_native_wherever_it_comes_from():
    assert kind_of(Frame("sha256_update", f"{STDLIB}/lib-dynload/_hashlib.so", 0, is_native=True)) == "native"


def test_this_interpreters_own_modules_are_told():
    files = [json.__file__, re.__file__, threading.__file__]
    assert [kind_of(frame("f", file)) for file in files] == ["stdlib"] * 3
    assert kind_of(frame("f", pytest.__file__)) == "library"
    assert kind_of(frame("f", __file__)) == "own"
    frozen = sys.modules["importlib._bootstrap"]._find_and_load.__code__.co_filename
    assert kind_of(frame("f", frozen)) == "stdlib"


@pytest.mark.parametrize(
    ("frames", "told", "calling"),
    [
        pytest.param((VIEW, *SERVER), VIEW, None, id="own code does it itself"),
        pytest.param((*DUMPS, VIEW, *SERVER), VIEW, "json.dumps", id="what was called, not what that calls"),
        pytest.param(
            (native("hashlib.pbkdf2_hmac"), VIEW, *SERVER), VIEW, "hashlib.pbkdf2_hmac", id="a native call by its name"
        ),
        pytest.param(
            (native("match"), frame("match", f"{STDLIB}/re/__init__.py"), VIEW, *SERVER),
            VIEW,
            "re.match › match",
            id="the native call that a library made",
        ),
        pytest.param(
            (native("pthread_cond_wait"), native("acquire"), VIEW), VIEW, "acquire", id="the outermost native frame"
        ),
        pytest.param(
            (frame("Query.all", f"{SITE}/sqlalchemy/orm/query.py"), VIEW, frame("outer", "/srv/shop/app.py")),
            VIEW,
            "sqlalchemy.orm.query.Query.all",
            id="the innermost own code",
        ),
        pytest.param((frame("__init__", "<string>"), VIEW, *SERVER), VIEW, "__init__", id="a file before a string"),
        pytest.param(
            (*DUMPS, frame("f", "<string>"), *SERVER), frame("f", "<string>"), "json.dumps", id="a string before none"
        ),
        pytest.param(
            (DUMPS[0], frame("Serializer.data", f"{SITE}/rest/serializers.py"), *SERVER),
            frame("Serializer.data", f"{SITE}/rest/serializers.py"),
            "json.encoder.JSONEncoder.iterencode",
            id="without own code a library",
        ),
        pytest.param(SERVER[1:], SERVER[1], None, id="nothing but scaffolding"),
        pytest.param((native("epoll"), *SERVER[3:]), SERVER[3], "epoll", id="an idle worker"),
        pytest.param((native("a"), native("b")), native("a"), None, id="nothing but native code"),
        pytest.param((), None, None, id="no stack"),
    ],
)
def test_the_frame_that_tells_most_and_what_it_called(frames, told, calling):
    assert telling(frames) == told
    assert called(frames) == calling
    assert place_of(frames) == (None if told is None else (told, calling))


def test_the_script_that_starts_a_server_tells_nothing():
    library = frame("loads", f"{SITE}/yaml/__init__.py")
    script = frame("<module>", "/srv/venv/bin/gunicorn")
    assert telling((library, script)) == library


@given(st.lists(st.builds(Frame, st.text(), st.text(), st.integers(), st.booleans()), max_size=12))
def test_whatever_the_frames_one_of_them_is_told(frames):
    place = place_of(frames)
    assert (place is None) == (not frames)
    assert place is None or place.frame in frames
    assert {kind_of(one) for one in frames} <= {"own", "library", "stdlib", "native"}
