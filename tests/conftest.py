"""What holds for all tests: where the exact ledger cannot be had, its tests are skipped, with the reason."""

import ctypes
import os
from pathlib import Path

import pytest


def missing():
    """Return what the ledger lacks here, or None."""
    if os.geteuid() != 0:
        return "the exact ledger needs root"
    if not Path("/sys/kernel/btf/vmlinux").exists():
        return "the exact ledger needs a kernel with BTF"
    try:
        ctypes.CDLL("libbpf.so.1")
    except OSError:
        return "the exact ledger needs libbpf.so.1"
    return None


def pytest_collection_modifyitems(items):
    reason = missing()
    for item in items:
        if reason and item.get_closest_marker("ledger"):
            item.add_marker(pytest.mark.skip(reason=reason))
