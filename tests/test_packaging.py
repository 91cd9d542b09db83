"""What is installed is what is in the tree: an editable install hides a forgotten package, a wheel does not."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("agent", "examples", "probes", "tui")
DATA = {".css", ".js", ".json", ".o", ".py", ".tcss"}


@pytest.fixture(name="wheel", scope="module")
def build_wheel(tmp_path_factory):
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(directory), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=150)
    (wheel,) = directory.glob("*.whl")
    return wheel


def test_the_wheel_holds_the_tree(wheel):
    expected = {
        f"perfwatch/{path.relative_to(ROOT)}"
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in DATA and "__pycache__" not in path.parts
    }
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == expected


def test_the_wheel_runs_where_no_source_is(wheel, tmp_path):
    subprocess.run(
        [sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", tmp_path / "venv"], check=True
    )
    python = tmp_path / "venv" / "bin" / "python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    zipfile.ZipFile(wheel).extractall(site)
    dependencies = next(path for path in sys.path if path.endswith("site-packages"))
    script = (
        "import sys; sys.path.append(sys.argv.pop(1)); import perfwatch.agent.cli as cli;"
        f"assert cli.__file__.startswith({site!r}), cli.__file__; cli.main()"
    )
    ended = subprocess.run(
        [python, "-P", "-c", script, dependencies, "--version"], capture_output=True, text=True, cwd=tmp_path
    )
    assert ended.stdout.startswith("perfwatch, version "), ended
