"""The socket's place, against everybody who may have been there before: as root and as others."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest
from confined import answer
from sampling import open_descriptors

from perfwatch.probes.errors import Unavailable, Vanished
from perfwatch.probes.readers.doors import VARIABLE, Door

ANOTHER = 65534
IMPORTS = """
import os, subprocess
from perfwatch.probes.errors import Unavailable
from perfwatch.probes.readers.doors import Door
subprocess.run(["sh", "-c", "mount -t tmpfs -o mode=1777 none /tmp; mount -t tmpfs none /run"], check=True)
"""
"""The interpreter may lie below /tmp, so that is covered when all is loaded."""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give things to other users")


@pytest.fixture(name="place", autouse=True)
def choose_place(tmp_path, monkeypatch):
    """A socket's path in a directory that is not there yet."""
    path = tmp_path / "perfwatch" / "spans.sock"
    monkeypatch.setenv(VARIABLE, str(path))
    return path


def connect(path):
    caller = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        return caller.connect_ex(str(path))
    finally:
        caller.close()


def refused(pid=None, uid=None):
    """Return why there is no door."""
    with pytest.raises(Unavailable) as raised:
        Door(pid or os.getpid(), os.geteuid() if uid is None else uid)
    assert VARIABLE in raised.value.remedy
    return raised.value.reason


def test_only_its_user_can_open_it_and_nothing_is_left(place):
    before = open_descriptors()
    door = Door(os.getpid(), os.geteuid())
    assert door.path == place
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert list(place.parent.iterdir()) == [place]
    assert connect(place) == 0
    door.close()
    assert not place.parent.exists()
    assert open_descriptors() == before


@as_root
def test_root_gives_it_to_the_user(place):
    door = Door(os.getpid(), ANOTHER)
    assert (place.stat().st_uid, place.parent.stat().st_uid) == (ANOTHER, ANOTHER)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert list(place.parent.iterdir()) == [place]
    door.close()
    assert not place.parent.exists()


def test_what_a_killed_perfwatch_left_is_replaced(place):
    Door(os.getpid(), os.geteuid())._stack.pop_all().close()  # its descriptors close, its names stay
    left = place.stat().st_ino
    assert connect(place) != 0
    door = Door(os.getpid(), os.geteuid())
    assert place.stat().st_ino != left
    assert connect(place) == 0
    door.close()
    assert not place.exists()


def test_another_perfwatch_is_not_disturbed(place):
    door = Door(os.getpid(), os.geteuid())
    assert "another perfwatch listens" in refused()
    assert connect(place) == 0
    door.close()


def test_it_removes_no_socket_but_its_own(place):
    door = Door(os.getpid(), os.geteuid())
    place.unlink()
    place.write_text("somebody's")
    door.close()
    assert place.read_text() == "somebody's"


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o777, 0o701])
def test_a_directory_that_others_may_enter_is_refused(place, mode):
    place.parent.mkdir()
    place.parent.chmod(mode)
    assert f"with mode {mode:o}" in refused()
    assert not list(place.parent.iterdir())


@as_root
def test_a_directory_of_another_user_is_refused(place):
    place.parent.mkdir(mode=0o700)
    os.chown(place.parent, ANOTHER, -1)
    assert f"belongs to user {ANOTHER}" in refused()
    assert "belongs to user 65534" in refused(uid=1000)
    assert place.parent.stat().st_uid == ANOTHER


@as_root
def test_root_gives_away_no_directory_that_holds_something(place):
    place.parent.mkdir(mode=0o700)
    (place.parent / "secret").write_text("root's")
    assert "belongs to user 0" in refused(uid=ANOTHER)
    assert place.parent.stat().st_uid == 0


def test_symbolic_links_are_not_followed(place, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    place.parent.symlink_to(tmp_path / "elsewhere")
    assert "symbolic link" in refused()
    monkeypatch.setenv(VARIABLE, str(place.parent / "perfwatch" / "spans.sock"))
    assert "symbolic link" in refused()
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("/etc/passwd")])
def test_something_else_in_its_place_is_left_alone(place, make):
    place.parent.mkdir(mode=0o700)
    make(place)
    before = place.lstat()
    assert "is no socket" in refused()
    assert place.lstat() == before


@pytest.mark.parametrize("chosen", ["spans.sock", "/spans.sock", "/tmp/../tmp/x/spans.sock", "relative/spans.sock"])
def test_a_place_that_is_no_full_path_is_refused(monkeypatch, chosen):
    monkeypatch.setenv(VARIABLE, chosen)
    assert "not the full path" in refused()


def test_a_place_that_no_program_can_call_is_refused(monkeypatch):
    monkeypatch.setenv(VARIABLE, f"/tmp/{'x' * 101}/s")
    assert "107 bytes" in refused()


def test_a_place_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setenv(VARIABLE, "/there/is/no/such/directory")
    assert "there is no directory" in refused()


def test_a_process_that_has_ended_has_no_door():
    with pytest.raises(Vanished):
        Door(1 << 22, os.geteuid())


@pytest.mark.parametrize(
    ("setup", "expected"),
    [
        ("", "/tmp/perfwatch-65534/spans.sock"),
        (
            "os.makedirs('/run/user/65534'); os.chown('/run/user/65534', 65534, -1)",
            "/run/user/65534/perfwatch/spans.sock",
        ),
    ],
)
def test_the_places_are_those_of_the_user(monkeypatch, setup, expected):
    """For root, and for the user himself, where he may."""
    monkeypatch.delenv(VARIABLE)
    body = "door = Door(os.getpid(), 65534); result = [str(door.path), os.stat(door.path).st_uid]; door.close()"
    for nobody in (False, True):
        assert answer(body, imports=IMPORTS + setup, nobody=nobody) == [expected, ANOTHER]


def test_a_user_may_make_none_for_another(monkeypatch):
    monkeypatch.delenv(VARIABLE)
    body = "try: Door(os.getpid(), 1000)\nexcept Unavailable as why: result = [why.reason, os.listdir('/tmp')]"
    reason, left = answer(body, imports=IMPORTS, nobody=True)
    assert "Operation not permitted" in reason
    assert left == []
