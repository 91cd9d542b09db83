"""Addresses, hosts, files, cgroups, and the names of processes and threads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from perfwatch.agent.redact.vocabulary import CGROUPS, PROGRAMS, THREAD, unnumbered

if TYPE_CHECKING:
    from perfwatch.agent.redact.names import Names

_HERE: Final = re.compile(r"127\.[\d.]+|0\.0\.0\.0|\*|\[?(?:::1|::|::ffff:127\.[\d.]+)\]?")
"""Loopback, and any: the same on every machine."""
_PORT: Final = re.compile(r"(?P<host>.*):(?P<port>\d{1,5}|\?)", re.DOTALL)
_DEVICE: Final = re.compile(
    r"(?:[svx]d|xvd|vd|hd|nvme|dm-|md|loop|zram|sr|mmcblk|nbd|ram)[a-z0-9]{0,12}|\d+:\d+|tmpfs|overlay|none"
)
_PYTHON: Final = re.compile(r"\w{1,60}\.(?:py|pyx|pyi|pyc)")
_LIBRARY: Final = re.compile(r"(?:.*/)?([\w.+-]{1,60}\.so(?:\.\d+)*)", re.DOTALL)
_INSTALLED: Final = re.compile(r".*(?:^|/)((?:site|dist)-packages/[\w./+-]*\.(?:py|pyx|pyi|so))", re.DOTALL)
_STANDARD: Final = re.compile(r"(?:.*/)?(lib(?:64)?/python3(?:\.\d+t?)?/[\w./+-]*|python3\d*\.zip/[\w./-]*)", re.DOTALL)
_FROZEN: Final = re.compile(r"<frozen [\w.]+>|<(?:string|stdin|template|unknown|eval|lambda|generated)>|\?*")
_SCRIPT: Final = re.compile(r"(?:.*/)?s?bin/([\w-]+)", re.DOTALL)
_FUNCTION: Final = re.compile(r"[\w.<>\[\]$@?~:*&, ()-]{0,256}")


class Places:
    """Hides where things are and what they are called."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def address(self, address: str) -> str:
        """Return an address without its host: `peer-1:5432`; ports say which service it is, and stay."""
        if address.startswith("unix:"):
            return (
                address if address in {"unix:", "unix:?"} else self._names.of("socket", address, "unix:socket-{number}")
            )
        found = _PORT.fullmatch(address)
        host, port = (found["host"], f":{found['port']}") if found else (address, "")
        if not host or _HERE.fullmatch(host):
            return address
        return self._names.of("peer", host) + port

    def host(self, name: str) -> str:
        """Return a pseudonym of a machine's name."""
        return self._names.of("host", name)

    def source(self, file: str) -> str:
        """Return a file of source code: that of a library from its package on, else the module's name alone."""
        for known in (_INSTALLED, _STANDARD):
            if found := known.fullmatch(file):
                return found[1]
        if not file or _FROZEN.fullmatch(file):
            return file
        if file.startswith("<"):
            return self._names.of("code", file, "<code-{number}>")
        script = _SCRIPT.fullmatch(file)
        if script and script[1] in PROGRAMS:
            return f"bin/{script[1]}"
        folder, slash, base = file.rpartition("/")
        if not _PYTHON.fullmatch(base):
            base = self._names.of("file", base)
        return f"{self._names.of('dir', folder)}/{base}" if slash else base

    def native(self, file: str) -> str:
        """Return the name of a shared library without its folder; any other file as source."""
        found = _LIBRARY.fullmatch(file)
        return found[1] if found else self.source(file)

    def function(self, name: str) -> str:
        """Return a function's name: it is code, and stays, as long as it looks like one."""
        return name if _FUNCTION.fullmatch(name) else self._names.of("function", name)

    def file(self, path: str) -> str:
        """Return a pseudonym of a file of data, or a folder."""
        return path if path == "/" else self._names.of("file", path)

    def device(self, name: str) -> str:
        """Return a block device's name, if it is one of the kernel's own."""
        return name if _DEVICE.fullmatch(name) else self._names.of("device", name)

    def cgroup(self, path: str) -> str:
        """Return a cgroup's path with the ids of containers, pods and services hidden."""
        if path == "host":
            return path
        return "/".join(
            one if not one or CGROUPS.fullmatch(one) else self._names.of("cgroup", one) for one in path.split("/")
        )

    def process(self, name: str) -> str:
        """Return the name of a well-known program, or of an unnamed pool of threads; else a pseudonym."""
        bare = unnumbered(name)
        if not name or bare in PROGRAMS or THREAD.fullmatch(name) or THREAD.fullmatch(bare):
            return name
        return self._names.of("name", name)
