"""Sentences of perfwatch's own that stand in a recording: why a probe is not there, what was lost.

Their words stay; whatever else was put into them (a path, an address, a name) is left out.
"""

from __future__ import annotations

import re
from typing import Final

_LEFT_OUT: Final = "…"
_PLAIN: Final = re.compile(
    r"[(\"'`]*(?:(?:[a-z]{1,20}|[A-Z][a-z]{1,19})(?:[-'][a-z]{1,20})*|\d{1,7}(?:\.\d{1,3})*%?|I/O|/|[+=&-]|CAP_[A-Z_]+|"
    r"BPF|BTF|TLS|TCP|CPUs?|GIL|PIDs?|OOM|IDs?|GB|MB|kB|HTTP|DWARF|ELF|Errno|OpenSSL|CPython|PSI|HZ|Hz|SIG[A-Z]{2,6}|"
    r"/proc|/sys|--[a-z-]{2,20}|kernel\.[a-z_.]+(?:=\d+)?|py-spy|libbpf\d?|libbpf\.so\.1)[)\"'`]*[.,;:]?[)\"'`]*"
)
"""A word, a number, or a name that belongs to Linux, Python or perfwatch."""


def plain(text: str) -> str:
    """Return a sentence with all left out that is neither a word nor a number."""
    return " ".join(word if _PLAIN.fullmatch(word) else _LEFT_OUT for word in text.split(" "))
