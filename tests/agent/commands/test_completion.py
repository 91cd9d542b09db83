"""Completion in real shells, in a real terminal: what a user gets who presses Tab."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from recording import PERFWATCH, SPARE_S
from terminal import TMUX, terminal

from perfwatch.agent.cli import COMMANDS, cli
from perfwatch.agent.commands.completion import PROGRAM, SHELLS, VARIABLE

PATH = f"{PERFWATCH.parent}:{os.environ['PATH']}"
START = {
    "bash": ["bash", "--norc", "--noprofile"],
    "zsh": ["zsh", "-f"],
}
BEGIN = {
    "bash": 'PS1="> "; eval "$(perfwatch completion bash)"; clear',
    "zsh": 'PS1="> "; autoload -Uz compinit && compinit -u -D; eval "$(perfwatch completion zsh)"; clear',
}


def answers(*words):
    """What a shell is told whose last word is to be completed."""
    *before, last = words
    return [item.value for item in ShellComplete(cli, {}, PROGRAM, VARIABLE).get_completions(before, last)]


def test_the_first_word_is_a_command_or_what_attach_takes():
    assert answers("") == list(COMMANDS)
    assert answers("rep") == ["report", "replay"]
    assert {"--pid", "--fidelity", "--version"} <= {*answers("--")}


def test_values_are_known():
    assert answers("record", "--fidelity", "") == ["auto", "exact", "sampled"]
    assert answers("record", "--without", "st") == ["stacks"]
    assert "cleartext" in answers("record", "--without", "")
    assert answers("record", "--rate", "sta") == ["stacks="]
    assert answers("session", "red") == ["redact"]
    assert answers("report", "x", "--re") == ["--request", "--redact"]


def test_pids_of_python_processes_are_known():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        known = [answers(*words, str(process.pid)[:-1]) for words in ((), ("stacks",), ("record", "--pid"))]
        process.communicate(b"\n")
    assert all(str(process.pid) in one for one in known), known


@pytest.mark.skipif(TMUX is None, reason="needs tmux")
@pytest.mark.parametrize("shell", START)
def test_tab_in_a_real_shell(shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}: run tests/install-tools")
    (tmp_path / "slow.perfwatch").touch()
    command = ["env", "-C", tmp_path, f"PATH={PATH}", f"HOME={tmp_path}", *START[shell]]
    with terminal(*command) as window:
        window.type(BEGIN[shell])
        window.press("Enter")
        window.until(lambda text: re.match(r"> *\n", text))
        window.type("perfwatch doc")
        window.press("Tab")
        window.shows("perfwatch doctor")
        window.type("--js")
        window.press("Tab")
        window.shows("perfwatch doctor --json")
        window.press("C-u")
        window.type("perfwatch report slo")
        window.press("Tab")
        window.shows("perfwatch report slow.perfwatch")
        window.press("C-u")
        window.type("perfwatch record --fidelity ")
        window.press("Tab", "Tab")
        window.shows("auto", "exact", "sampled")


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish: run tests/install-tools")
def test_in_real_fish():
    script = "perfwatch completion fish | source; complete -C 'perfwatch rep'; complete -C 'perfwatch record --fid'"
    ended = subprocess.run(
        ["fish", "--no-config", "-c", script],
        env=os.environ | {"PATH": PATH},
        capture_output=True,
        text=True,
        timeout=SPARE_S,
        check=True,
    )
    told = [line.split("\t") for line in ended.stdout.splitlines()]
    assert {one[0] for one in told} == {"report", "replay", "--fidelity"}
    assert any(one[1].startswith("Say what a recording holds") for one in told)


def test_what_is_no_shell_is_a_wrong_usage():
    assert CliRunner().invoke(cli, ["completion", "tcsh"]).exit_code == 2
    for shell in SHELLS:
        assert VARIABLE in CliRunner().invoke(cli, ["completion", shell], catch_exceptions=False).stdout
