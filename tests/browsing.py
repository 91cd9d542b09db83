"""A page in a real browser, without a window: what its document looks like once its scripts have run."""

from __future__ import annotations

import shutil
import subprocess

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
]
_PATIENCE_S = 60
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)")


def document_of(page, directory, *more):
    """Return the document of a page (its file, or its address), as HTML."""
    profile = directory / "profile"
    command = [
        CHROMIUM,
        *OPTIONS,
        f"--user-data-dir={profile}",
        *(more or ["--virtual-time-budget=2000"]),
        "--dump-dom",
        page if isinstance(page, str) else page.as_uri(),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
