import stat
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from fakes import FakeSource, generate
from tui_driving import opened, scenario, shows

from perfwatch.agent.errors import PerfwatchError
from perfwatch.tui import picture


@scenario
async def test_a_picture_needs_no_network_and_is_sound_xml():
    async with opened(FakeSource(generate(5))) as pilot:
        svg = picture.offline_svg(pilot.app)
    assert ET.fromstring(svg).tag.endswith("svg")
    without_namespace = svg.replace("http://www.w3.org/2000/svg", "")
    for word in ("http", "url(&quot;", 'url("', "@font-face", "Fira", "cdn"):
        assert word not in without_namespace
    assert "monospace" in svg


def test_the_key_saves_picture_and_text_privately_and_never_over_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    @scenario
    async def press_twice():
        async with opened(FakeSource(generate(5)), size=(140, 30)) as pilot:
            await pilot.press("s")
            await shows(pilot, "saved")
            monkeypatch.setattr(picture.time, "strftime", lambda _: "20261005-101500")
            (tmp_path / "perfwatch-20261005-101500.txt").symlink_to(tmp_path / "elsewhere")
            svg, text = picture.save(pilot.app, tmp_path)
            assert (svg.name, text.name) == ("perfwatch-20261005-101500-1.svg", "perfwatch-20261005-101500-1.txt")
            assert text.read_text() == picture.plain_text(pilot.app)
            assert "POST /order/{}" in text.read_text()

    press_twice()
    files = [file for file in tmp_path.iterdir() if not file.is_symlink()]
    assert sorted(file.suffix for file in files) == [".svg", ".svg", ".txt", ".txt"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert not (tmp_path / "elsewhere").exists()


@scenario
async def test_a_directory_that_takes_no_file_is_told():
    async with opened(FakeSource(generate(1))) as pilot:
        with pytest.raises(PerfwatchError, match="cannot write /proc/nowhere"):
            picture.save(pilot.app, Path("/proc/nowhere"))
