"""The docs say what is so: the reference is the program's own, and everything that a user can name is in them."""

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from perfwatch.agent.cli import COMMANDS
from perfwatch.agent.model import BUCKETS, MECHANISMS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def load_generator(name="make_reference"):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["reference.md", "recording.md", "errors.md"])
def test_generated_pages_are_up_to_date(page):
    assert (ROOT / "docs" / page).read_text() == load_generator().PAGES[page](), "run: make reference"


def test_manual_pages_are_up_to_date():
    kept = {page.name: page.read_text() for page in (ROOT / "docs" / "man").glob("*.1")}
    assert kept == load_generator("make_man").pages(), "run: make reference"


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="needs mandoc: run tests/install-tools")
def test_manual_pages_are_sound_to_mandoc():
    pages = sorted((ROOT / "docs" / "man").glob("*.1"))
    ended = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", *pages], capture_output=True, text=True)
    told = [
        line for line in ended.stdout.splitlines() if "missing date" not in line
    ]  # they have none, to be the same always
    assert told == []


@pytest.mark.skipif(shutil.which("man") is None, reason="needs man: run tests/install-tools")
def test_manual_pages_are_sound_to_man_and_say_what_help_says():
    for page in sorted((ROOT / "docs" / "man").glob("*.1")):
        environment = os.environ | {"MANWIDTH": "100", "LC_ALL": "C.UTF-8"}
        command = ["man", "--warnings", "-l", page]
        ended = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert (ended.returncode, ended.stderr) == (0, ""), page.name
        assert "EXIT STATUS" in ended.stdout


def test_the_readme_names_every_bucket_mechanism_and_command():
    readme = (ROOT / "README.md").read_text()
    named = set(re.findall(r"`([a-z_-]+)`", readme))
    assert set(MECHANISMS) <= named
    assert set(BUCKETS) <= named
    assert all(f"perfwatch {command}" in readme for command in COMMANDS if command not in {"attach", "demo"})
    assert "make demo" in readme
    assert "make test" in readme


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


def test_every_file_that_the_walk_names_exists():
    walk = (ROOT / "docs" / "how-it-works.md").read_text()
    named = set(re.findall(r"`((?:agent|probes|tui)/[\w./]+)`", walk))
    assert len(named) >= 8
    assert all((ROOT / name).exists() for name in named), named


def test_the_make_targets_that_docs_name_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        assert (
            set(re.findall(r"`?make ([a-z]+)", page.read_text())) & {"demo", "test", "check", "faults", "soak"}
            <= targets
        )
