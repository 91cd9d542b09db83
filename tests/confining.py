"""Prefixes of a command that take something away from it: rights, libraries, the sight of other processes."""

from __future__ import annotations

_MAY_READ = "-all,+dac_read_search"
NOBODY = (
    *("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"),
    *("--bounding-set", _MAY_READ, "--inh-caps", _MAY_READ, "--ambient-caps", _MAY_READ),
)
"""A user without any rights, but to read the interpreter, which may lie below a home that only its owner may enter."""
NO_BPF = ("setpriv", "--bounding-set", "-bpf,-perfmon,-sys_admin")
CONTAINER = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
HIDDEN_PROC = ("unshare", "--mount", "sh", "-c", 'mount -t proc -o hidepid=2 proc /proc && exec "$@"', "sh")
_HIDE_LIBBPF = (
    "for lib in /usr/lib/*/libbpf.so.1 /lib/*/libbpf.so.1; do [ -e $lib ] && mount --bind /dev/null $lib; done"
)
NO_LIBBPF = ("unshare", "--mount", "sh", "-c", f'{_HIDE_LIBBPF}; exec "$@"', "sh")
