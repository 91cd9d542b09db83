"""Where the kernel's file systems are mounted: the only place that names them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
SYS: Final = Path("/sys")
KALLSYMS: Final = PROC / "kallsyms"
VMLINUX_BTF: Final = SYS / "kernel" / "btf" / "vmlinux"
