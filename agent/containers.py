"""The container that a process is in: its id by the cgroup, its name and image where the runtime's own files say it.

No runtime is asked: what docker, podman, CRI-O and containerd keep on the disk is read where that is allowed, as root.
What is not told is None. The files are the host's: they are looked for below the root of process 1, which is the host's
also from a container with the host's PIDs.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from perfwatch.agent.model_container import Container
from perfwatch.agent.target import printable
from perfwatch.agent.trust import read_small
from perfwatch.probes import roots
from perfwatch.probes.errors import ProbeError
from perfwatch.probes.readers.cgroups import members, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES: Final = 8 << 20
MAX_CHARS: Final = 200
_BY_ID: Final = re.compile(r"(?:^|/)(?:([a-z-]+?)[-/])?([0-9a-f]{64})(?:\.scope)?(?=/|$)")
_BY_NAME: Final = re.compile(
    r"(?:^|/)(?:lxc\.payload\.|lxc/|machine\.slice/machine-|machine\.slice/systemd-nspawn@)"
    r"([^/]+?)(?:\.scope|\.service)?(?=/|$)"
)
_POD: Final = re.compile(r"(?:^|[/-])pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})(?:\.slice)?(?=/|$)")
_RUNTIMES: Final = {"cri-containerd": "containerd", "crio": "cri-o", "libpod": "podman", "docker": "docker"}
_DOCKER: Final = "var/lib/docker/containers/{id}/config.v2.json"
_STORAGE: Final = tuple(
    f"var/lib/containers/storage/{driver}-containers/containers.json" for driver in ("overlay", "vfs", "btrfs", "zfs")
)
_BUNDLES: Final = (
    "run/containerd/io.containerd.runtime.v2.task/k8s.io/{id}/config.json",
    "run/containers/storage/overlay-containers/{id}/userdata/config.json",
    "run/containers/storage/vfs-containers/{id}/userdata/config.json",
)
_NAMES: Final = ("io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name")
_IMAGES: Final = ("io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName", "io.kubernetes.cri-o.Image")
_PODS: Final = ("io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name")
_T = TypeVar("_T")
_SPACES: Final = ("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace")


class Seen(msgspec.Struct, frozen=True):
    """Where a process is."""

    cgroups: tuple[str, ...]
    """Paths of its cgroups, of all hierarchies, without repetition; none where that is not known."""
    container: Container | None


class _DockerConfig(msgspec.Struct):
    Image: str | None = None


class _Docker(msgspec.Struct):
    Name: str | None = None
    Config: _DockerConfig = msgspec.field(default_factory=_DockerConfig)


class _Stored(msgspec.Struct):
    id: str
    names: list[str] | None = None
    metadata: str = "{}"


class _Bundle(msgspec.Struct):
    annotations: dict[str, str] = {}


def seen(pid: int) -> Seen:
    """Return the cgroup and the container of a process, as far as they can be told."""
    try:
        (membership,) = members([pid])
    except (ProbeError, OSError, ValueError):
        return Seen((), None)
    paths = dict.fromkeys((*([] if membership.v2 is None else [membership.v2]), *(path for _, path in membership.v1)))
    cgroups = tuple(map(shown, paths))
    host = _host()
    found = (container_of(path, host) for path in cgroups)
    return Seen(cgroups, next(filter(None, found), None))


def container_of(cgroup: str, host: Path) -> Container | None:
    """Return the container of a cgroup, named by what lies below the host's root; None for what is in none."""
    found = list(_BY_ID.finditer(cgroup))
    if not found:
        named = _BY_NAME.search(cgroup)
        runtime = "lxc" if named and "lxc" in named[0] else "nspawn"
        return None if named is None else Container(printable(named[1])[:MAX_CHARS], runtime)
    word, number = found[-1].groups()
    pod = _POD.search(cgroup)
    told = next((one for one in _told(number, host) if one.name or one.image), Container(number))
    uid = None if pod is None else pod[1].replace("_", "-")
    return msgspec.structs.replace(told, runtime=told.runtime or _RUNTIMES.get(word), pod=told.pod or uid)


def _host() -> Path:
    """Return the root of process 1, and this process's own where that may not be looked into."""
    root = roots.PROC / "1" / "root"
    try:
        root.stat()
    except OSError:
        return Path("/")
    return root


def _told(number: str, host: Path) -> Iterator[Container]:
    """Yield what each runtime says of an id."""
    docker = _read(host / _DOCKER.format(id=number), _Docker)
    if docker is not None:
        yield Container(number, "docker", _clean((docker.Name or "").lstrip("/")), _clean(docker.Config.Image))
    for place in _BUNDLES:
        bundle = _read(host / place.format(id=number), _Bundle)
        if bundle is not None:
            yield _annotated(number, bundle.annotations)
    for place in _STORAGE:
        for stored in _read(host / place, list[_Stored]) or ():
            if stored.id == number:
                yield _stored(stored)


def _annotated(number: str, notes: dict[str, str]) -> Container:
    def first(keys: tuple[str, ...]) -> str | None:
        return next((_clean(notes[key]) for key in keys if key in notes), None)

    pod, space = first(_PODS), first(_SPACES)
    return Container(number, None, first(_NAMES), first(_IMAGES), f"{space}/{pod}" if space and pod else pod)


def _stored(stored: _Stored) -> Container:
    """Read what containers/storage keeps, for podman and CRI-O: names, and the image in a JSON text within the JSON."""
    try:
        notes = msgspec.json.decode(stored.metadata, type=dict[str, object])
    except (msgspec.MsgspecError, RecursionError):
        notes = {}
    image = notes.get("image-name")
    name = stored.names[0] if stored.names else notes.get("name")
    return Container(stored.id, None, _clean(name), _clean(image))


def _read(path: Path, kind: type[_T]) -> _T | None:
    """Read a small JSON file; None where it is not there, may not be read, or is none."""
    try:
        read = read_small(path, MAX_BYTES)
        return None if read is None else msgspec.json.decode(read[0], type=kind)
    except (OSError, msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def _clean(text: object) -> str | None:
    return printable(text)[:MAX_CHARS] if isinstance(text, str) and text else None
