"""Runs Python where less is allowed or other things are mounted: as nobody, with `hidepid`, in own namespaces."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

NOBODY = """
import ctypes, os
os.setgroups([]); os.setgid(65534); os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # dumpable: /proc/self belongs to nobody, as after an exec
"""
HIDE = "mount -t proc -o hidepid=2 proc /proc"


def answer(body, *arguments, setup="", nobody=False, unshare=("--mount",), imports=""):
    """Run `body`, which sets `result`, in new namespaces after the shell commands `setup`; return that result.

    `imports` come before the change to nobody, who may not read the interpreter's files.
    """
    if os.geteuid() != 0:
        pytest.skip("needs root to make namespaces")
    source = f"import json, sys\n{imports}\n{NOBODY if nobody else ''}\n{body}\nprint(json.dumps(result))"
    shell = f'set -e\n{setup}\nexec "$@"'
    command = ["unshare", *unshare, "sh", "-c", shell, "sh", sys.executable, "-c", source, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return json.loads(done.stdout)
