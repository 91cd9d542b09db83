"""Where OpenSSL is called: found in real libraries, cross-checked with readelf and objdump; no file is trusted."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from perfwatch.probes.errors import Malformed
from perfwatch.probes.readers.openssl import find_openssl, sites

PROC = Path("/proc")
SYSTEM = next(iter(Path("/usr/lib").glob("*/libssl.so.3")), None)
BUNDLED = sorted(Path(sys.prefix).glob("lib/python3*/site-packages/*.libs/libssl-*.so*"))
STATIC = """
int SSL_read(void *s, void *b, int n) { return n; }
int SSL_write(void *s, const void *b, int n) { return n; }
int main(void) { return SSL_read(0, 0, 0) + SSL_write(0, 0, 0); }
"""
needs_system = pytest.mark.skipif(SYSTEM is None, reason="there is no system libssl.so.3")


def of(path, machine=None):
    fd = os.open(path, os.O_RDONLY)
    try:
        return sites(fd, machine)
    finally:
        os.close(fd)


def functions(path):
    """Return the addresses of the functions by name, as readelf has them."""
    lines = subprocess.run(["readelf", "-Ws", path], capture_output=True, text=True, check=True).stdout.splitlines()
    words = [line.split() for line in lines if " FUNC " in line]
    return {word[7].partition("@")[0]: int(word[1], 16) for word in words if len(word) > 7}


@needs_system
def test_the_systems_own_library_is_probed_where_its_functions_lead():
    read, write, shake = of(SYSTEM)
    assert [each.kind for each in (read, write, shake)] == ["read_ex", "write", "shake"]
    assert shake.offset == functions(SYSTEM)["SSL_do_handshake"]
    for name, site in (("SSL_read", read), ("SSL_read_ex", read), ("SSL_write", write), ("SSL_write_ex", write)):
        start = functions(SYSTEM)[name]
        span = [f"--start-address={start}", f"--stop-address={start + 80}"]
        code = subprocess.run(["objdump", "-d", *span, SYSTEM], capture_output=True, text=True, check=True).stdout
        assert f"{site.offset:x}" in re.findall(r"(?:call|jmp) +([0-9a-f]+)", code), name
    assert not any(each.is_stepped for each in (read, write, shake))


@needs_system
def test_on_another_machine_each_function_is_probed_itself():
    found = {each.offset: each.kind for each in of(SYSTEM, "aarch64")}
    known = functions(SYSTEM)
    assert found[known["SSL_read"]] == "read"
    assert found[known["SSL_read_ex"]] == "read_ex"
    assert {found[known["SSL_write"]], found[known["SSL_write_ex"]]} == {"write"}


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.parent.name)
def test_a_library_that_a_wheel_brought(path):
    assert {each.kind for each in of(path)} >= {"write", "shake"}


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("is_stripped", [False, True])
def test_a_program_that_it_is_a_part_of(tmp_path, is_stripped):
    source, program = tmp_path / "a.c", tmp_path / "python-like"
    source.write_text(STATIC)
    subprocess.run(["cc", "-O0", "-o", program, source, *(["-s"] if is_stripped else [])], check=True)
    assert [each.kind for each in of(program)] == ([] if is_stripped else ["read", "write"])


@needs_system
@pytest.mark.parametrize("length", [0, 10, 64, 1000, 100_000, 300_000])
def test_a_damaged_file_is_malformed_or_has_none(tmp_path, length):
    cut = tmp_path / "libssl.so"
    cut.write_bytes(SYSTEM.read_bytes()[:length])
    try:
        assert all(each.offset < length for each in of(cut))
    except Malformed as error:
        assert str(error)  # noqa: PT017 - either is right


def test_this_process_has_it_and_says_where():
    assert ssl.OPENSSL_VERSION
    found = find_openssl(PROC, os.getpid())
    assert any({"write", "shake"} <= {site.kind for site in library.sites} for library in found)
    assert find_openssl(PROC, 0) == []
