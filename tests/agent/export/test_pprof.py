"""Profiles for pprof, as the real `go tool pprof` reads them."""

import re
import shutil
import subprocess

import exporting
import making as m
import pytest

GO = shutil.which("go")
needs_pprof = pytest.mark.skipif(GO is None, reason="needs go tool pprof (Debian: apt-get install golang-go)")
SAMPLE = re.compile(r"^ *(\d+) +(\d+) +(\d+): ([\d ]+)\n +endpoint:\[(.*)\] reason:\[(.*)\]$", re.MULTILINE)


@pytest.fixture
def profile(tmp_path):
    file = tmp_path / "shop.pb.gz"
    file.write_bytes(exporting.exported(exporting.recorded(tmp_path / "shop"), "pprof"))
    return file


def pprof(*arguments):
    ended = subprocess.run([GO, "tool", "pprof", *arguments], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@needs_pprof
def test_every_sample_arrives_to_the_nanosecond_with_its_labels(profile):
    raw = pprof("-raw", str(profile))
    assert "latency/nanoseconds[dflt] on_cpu/nanoseconds waited/nanoseconds" in raw
    assert "Time: 2026-09-21 14:13:20 +0000 UTC" in raw
    samples = [(*(int(part) // m.MS for part in one[:3]), *one[4:]) for one in SAMPLE.findall(raw)]
    assert samples == [
        (900, 0, 900, "POST /order/{}", "lock"),
        (850, 0, 850, "POST /order/{}", "lock"),
        (120, 120, 0, "POST /order/{}", "on_cpu"),
        (30, 0, 30, "POST /order/{}", "queue"),
    ]
    assert "Cache.get /srv/shop/cache.py:61" in raw
    assert r"</script>;\x1b[2J\u202e a\x0ab 7 /srv/" in raw


@needs_pprof
def test_it_says_which_functions_took_the_time(profile):
    top = pprof("-top", "-unit=ms", str(profile))
    assert "Showing nodes accounting for 1900ms, 100% of 1900ms total" in top
    assert re.search(r"^ +1750ms 92.11% .* 1750ms 92.11% +\[lock\]$", top, re.MULTILINE)
    assert re.search(r"^ +0 +0%.* 900ms 47.37% +Cache.get$", top, re.MULTILINE)
    assert "120ms, 100% of 120ms total" in pprof("-top", "-unit=ms", "-sample_index=on_cpu", str(profile))
    assert "850ms" in pprof("-top", "-unit=ms", "-focus=script", str(profile))
