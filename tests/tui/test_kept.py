"""What is kept between two runs, and files that are not to be trusted."""

import json
import os
import stat

import pytest
from fakes import FakeSource, generate
from tui_driving import opened, scenario, shows, until

from perfwatch.agent.errors import PerfwatchError
from perfwatch.tui import config, kept, own_files
from perfwatch.tui.app import SCREENS
from perfwatch.tui.choices import Choices
from perfwatch.tui.habits import Habits
from perfwatch.tui.kept import Kept

KEPT = Kept("host", "light", Choices("took", reverse=True, filter="/order"))


@pytest.fixture
def home(tmp_path):
    return {"HOME": str(tmp_path)}


def state_file(home):
    return own_files.state_directory(home) / own_files.STATE


def test_what_is_kept_comes_back_and_only_its_owner_can_read_it(home):
    kept.save(KEPT, home)
    kept.save(KEPT, home)
    assert kept.load(home) == KEPT
    assert stat.S_IMODE(state_file(home).stat().st_mode) == 0o600
    assert stat.S_IMODE(state_file(home).parent.stat().st_mode) == 0o700
    assert [file.name for file in state_file(home).parent.iterdir()] == ["state.json"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"page": 7}',
        b'{"choices": {"filter": "' + b"x" * 2000 + b'"}}',
        b" " * 100_000,
        b"{" * 50_000,
    ],
)
def test_a_file_that_makes_no_sense_is_as_good_as_none(home, data):
    kept.save(KEPT, home)
    state_file(home).write_bytes(data)
    assert kept.load(home) == Kept()


def test_nothing_is_written_through_a_link(home, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("as it was")
    directory = own_files.state_directory(home)
    directory.mkdir(parents=True)
    (directory / own_files.STATE).symlink_to(elsewhere)
    assert kept.load(home) == Kept()
    kept.save(KEPT, home)
    assert elsewhere.read_text() == "as it was"
    assert json.loads(state_file(home).read_text())["theme"] == "light"
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    assert not own_files.write(tmp_path / "link", "file", b"data")
    assert list((tmp_path / "target").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a directory is given away")
def test_nothing_is_written_into_the_home_of_another(home, tmp_path):
    os.chown(tmp_path, 65534, 65534)
    kept.save(KEPT, home)
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_that_is_not_to_be_trusted_is_not_followed(home, tmp_path):
    directory = tmp_path / ".config/perfwatch"
    directory.mkdir(parents=True)
    file = directory / "config.toml"
    assert config.load(home) == config.Config()
    file.write_text('theme = "light"')
    assert config.load(home).theme == "light"
    file.chmod(0o666)
    with pytest.raises(PerfwatchError, match=r"others can write .*config.toml \(chmod go-w"):
        config.load(home)
    file.unlink()
    file.symlink_to("/etc/shadow")
    with pytest.raises(PerfwatchError, match=r"cannot read .*config.toml"):
        config.load(home)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(PerfwatchError, match="no regular file"):
        config.load(home)
    file.unlink()
    file.mkdir()
    with pytest.raises(PerfwatchError, match="no regular file"):
        config.load(home)


@pytest.mark.parametrize(("told", "directory"), [("/elsewhere", "/elsewhere"), ("relative", None), ("", None)])
def test_directories_are_those_of_the_specification(home, tmp_path, told, directory):
    there = own_files.state_directory({**home, "XDG_STATE_HOME": told})
    assert str(there) == f"{directory or tmp_path / '.local/state'}/perfwatch"


def test_page_and_theme_are_those_of_the_last_run(home, monkeypatch):
    monkeypatch.setenv("COLORTERM", "truecolor")

    @scenario
    async def first():
        async with opened(FakeSource(generate(5)), habits=Habits.of(home)) as pilot:
            await pilot.press("T", "9")
            await until(pilot, lambda: isinstance(pilot.app.screen, SCREENS["host"]))

    @scenario
    async def second():
        async with opened(FakeSource(generate(5)), habits=Habits.of(home)) as pilot:
            await until(pilot, lambda: isinstance(pilot.app.screen, SCREENS["host"]))
            assert pilot.app.theme == "light"

    first()
    second()


def test_a_copy_is_also_in_a_file(home):
    @scenario
    async def copies():
        async with opened(FakeSource(generate(5)), habits=Habits.of(home), size=(160, 40)) as pilot:
            await pilot.press("y")
            await shows(pilot, "copied to the clipboard")
            file = own_files.state_directory(home) / "copied.txt"
            assert pilot.app.clipboard == file.read_text()
            assert pilot.app.clipboard.startswith("GET /search   p50 126 ms, p95 174 ms, 0 of 21 slow\n   why E cpu")
            await pilot.press("enter")
            await shows(pilot, "mean ledger")
            await pilot.press("y")
            await until(pilot, lambda: "\n" in pilot.app.clipboard)
            assert pilot.app.clipboard.startswith("GET /search   ")
            assert "\n   why E cpu" in pilot.app.clipboard
            assert "\n    do " in pilot.app.clipboard

    copies()
