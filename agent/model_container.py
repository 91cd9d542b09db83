"""The container that a target runs in, as a session says it."""

from __future__ import annotations

import msgspec


class Container(msgspec.Struct, frozen=True):
    """A container; all strings are untrusted, and printable."""

    id: str
    """64 hexadecimal digits; of LXC and systemd-nspawn its name."""
    runtime: str | None = None
    """`docker`, `containerd`, `cri-o`, `podman`, `lxc`."""
    name: str | None = None
    image: str | None = None
    pod: str | None = None
    """`namespace/name`; where only the cgroup tells of a pod, its UID."""

    @property
    def names(self) -> tuple[str, ...]:
        """All that one may call it."""
        return tuple(filter(None, (self.id, self.id[:12], self.name, self.image, self.pod)))

    @property
    def short(self) -> str:
        """Its name, or the beginning of its id."""
        return self.name or self.id[:12]

    @property
    def named(self) -> str:
        """`shop (shop:1.2)`, or the beginning of its id."""
        return f"{self.short} ({self.image})" if self.image else self.short
