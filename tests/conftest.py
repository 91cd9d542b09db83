"""What holds for all tests: those that need the exact ledger, and those of any input."""

import ctypes
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes is no finding: the host may take the CPU away, or the collector run.
settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("patient")


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
    """Skip what cannot run; what measures a live server gets a second chance, which the summary counts.

    On a shared virtual machine the host takes CPUs away for 10 ms at a time: then two clocks differ in good faith.
    """
    reason = missing()
    for item in items:
        if item.get_closest_marker("ledger"):
            item.add_marker(pytest.mark.skip(reason=reason) if reason else pytest.mark.flaky(reruns=1))
