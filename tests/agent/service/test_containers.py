"""Containers are told by their cgroups, and named by what their runtimes keep on the disk."""

from __future__ import annotations

import json
from pathlib import Path

import cgroups
import pytest

from perfwatch.agent.containers import container_of, seen
from perfwatch.agent.model_container import Container
from perfwatch.agent.service.wanted import parse

ID = "2b5797470a543f1f296cf88aac15e851b369dfbfb7707f4b81c57a78f8ba84ff"
DOCKER_ID = "1d5be9fc05602b5ffb4112f3c8098e6467fdb8cd8890e8311cb94ae3fa02bb97"
OTHER = "756776074b9a87e907da89e1a11a9fe48cff753bcf37db72d3094d5dcdf2add9"
POD = "5d1e2f60-0a1b-4c2d-8e3f-001122334455"
FIXTURES = Path(__file__).parent / "fixtures"


@pytest.mark.parametrize(
    ("cgroup", "expected"),
    [
        (f"/docker/{ID}", Container(ID, "docker")),
        (f"/system.slice/docker-{ID}.scope", Container(ID, "docker")),
        (f"/docker/{OTHER}/docker/{ID}", Container(ID, "docker")),
        (f"/machine.slice/libpod-{ID}.scope/container", Container(ID, "podman")),
        (f"/../cri-containerd-{ID}.scope", Container(ID, "containerd")),
        (f"/kubepods/besteffort/pod{POD}/{ID}", Container(ID, pod=POD)),
        (f"/kubepods.slice/kubepods-pod{POD.replace('-', '_')}.slice/crio-{ID}.scope", Container(ID, "cri-o", pod=POD)),
        ("/lxc.payload.shop/system.slice/x.service", Container("shop", "lxc")),
        ("/machine.slice/machine-shop.scope/payload", Container("shop", "nspawn")),
        ("/lxc/evil\x1b[2J/x", Container("evil\\x1b[2J", "lxc")),
        *(
            (path, None)
            for path in ("", "/", "/system.slice/shop.service", f"/docker/{ID[:-1]}", f"/x{ID}", "/kubepods")
        ),
    ],
)
def test_a_cgroup_tells_the_container(tmp_path, cgroup, expected):
    assert container_of(cgroup, tmp_path) == expected


@pytest.fixture
def host(tmp_path):
    """A host's root with what Docker 20.10.24 and podman 4.3.1 wrote there."""
    (tmp_path / f"var/lib/docker/containers/{DOCKER_ID}").mkdir(parents=True)
    config = (FIXTURES / "docker-20.10.24-config.v2.json").read_bytes()
    (tmp_path / f"var/lib/docker/containers/{DOCKER_ID}/config.v2.json").write_bytes(config)
    place = tmp_path / "var/lib/containers/storage/vfs-containers"
    place.mkdir(parents=True)
    (place / "containers.json").write_bytes((FIXTURES / "podman-4.3.1-containers.json").read_bytes())
    return tmp_path


def test_docker_and_podman_tell_name_and_image(host):
    docker = Container(DOCKER_ID, "docker", "shop", "registry.example/shop:1.2")
    assert container_of(f"/docker/{DOCKER_ID}", host) == docker
    assert container_of(f"/docker/{OTHER}", host) == Container(OTHER, "docker")
    assert container_of(f"/libpod-{ID}.scope", host) == Container(ID, "podman", "svc-shop", "localhost/shop:1.2")
    assert container_of(f"/libpod-{OTHER}.scope", host) == Container(OTHER, "podman")


@pytest.mark.parametrize(
    "text", ["", "[", "[]", "{}", "null", '[{"id": 7}]', "[" * 100_000, "\xff", '{"Name": 7}'], ids=range(9)
)
def test_what_is_no_such_file_tells_nothing(tmp_path, text):
    for place in (
        "var/lib/containers/storage/overlay-containers/containers.json",
        f"var/lib/docker/containers/{ID}/config.v2.json",
        f"run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json",
    ):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text(text)
    assert container_of(f"/docker/{ID}", tmp_path) == Container(ID, "docker")


def test_a_link_and_a_pipe_are_not_read(tmp_path):
    place = tmp_path / f"var/lib/docker/containers/{ID}/config.v2.json"
    place.parent.mkdir(parents=True)
    (tmp_path / "x").write_text('{"Name": "/evil"}')
    place.symlink_to(tmp_path / "x")
    assert container_of(f"/docker/{ID}", tmp_path) == Container(ID, "docker")


def test_a_kubernetes_container_is_named_with_its_pod(tmp_path):
    notes = {
        "io.kubernetes.cri.container-name": "shop",
        "io.kubernetes.cri.image-name": "registry.example/shop:1.2",
        "io.kubernetes.cri.sandbox-name": "shop-5d9f\x1b[31m",
        "io.kubernetes.cri.sandbox-namespace": "live",
    }
    place = tmp_path / f"run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps({"ociVersion": "1.1.0", "process": {}, "annotations": notes}))
    expected = Container(ID, "containerd", "shop", "registry.example/shop:1.2", "live/shop-5d9f\\x1b[31m")
    found = container_of(f"/kubepods/besteffort/pod{POD}/cri-containerd-{ID}", tmp_path)
    assert found == expected
    assert found.named == "shop (registry.example/shop:1.2)"


@pytest.mark.parametrize("controller", ["cgroup2", "memory"])
def test_a_real_process_in_a_containers_cgroup_is_seen(controller):
    with (
        cgroups.cgroup(controller, name=f"docker-{ID}.scope") as directory,
        cgroups.process_in(directory) as process,
    ):
        found = seen(process.pid)
    assert found.container == Container(ID, "docker")
    assert f"/docker-{ID}.scope" in found.cgroups
    assert parse(f"container:{ID[:12]}").terms[0].pattern in found.container.names


def test_a_process_that_is_gone_is_nowhere():
    assert seen(2**22) == seen(-1)
    assert seen(2**22).container is None
