"""A refusal names its remedy. What other failures mean is tested on the real thing: test_pyspy.py."""

import os

import pytest

from perfwatch.probes.stacks import pyspy_failure


@pytest.mark.parametrize(
    ("owner", "scope", "remedy"),
    [
        (0, "0\n", "--cap-add SYS_PTRACE"),
        (0, "1\n", "kernel.yama.ptrace_scope=0"),
        (0, None, "--cap-add SYS_PTRACE"),
        (1, "1\n", "as its user, or as root"),
    ],
)
def test_a_refusal_names_its_remedy(tmp_path, monkeypatch, owner, scope, remedy):
    (tmp_path / "7").mkdir()
    yama = tmp_path / "sys" / "kernel" / "yama"
    yama.mkdir(parents=True)
    if scope is not None:
        (yama / "ptrace_scope").write_text(scope)
    monkeypatch.setattr(pyspy_failure.roots, "PROC", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: (tmp_path / "7").stat().st_uid + owner)
    assert remedy in pyspy_failure.refused(7).remedy
