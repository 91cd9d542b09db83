"""What stands in deploy/ is what systemd, Kubernetes and perfwatch's own command line take."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from perfwatch.agent.cli import cli
from perfwatch.agent.commands.record import record
from perfwatch.agent.commands.service_options import ServiceChoice
from perfwatch.agent.export.audience import Audience

DEPLOY = Path(__file__).parents[3] / "deploy"
MANIFESTS = sorted(DEPLOY.glob("*.yaml"))
UNITS = sorted(DEPLOY.glob("*.service"))
KUBERNETES = ("1.30", "1.34")
"""The oldest with `appArmorProfile`, and a later one."""
INSTALLED = "/usr/local/bin/perfwatch"


def settings_of(arguments):
    """What the command line makes of the arguments of `perfwatch`."""
    assert arguments[:2] == ["record", "--service"]
    program = cli.make_context("perfwatch", [*arguments])
    given = record.make_context("record", arguments[1:], program).params
    choice = ServiceChoice(**{name: given[name] for name in ServiceChoice._fields})
    return choice.settings(given["slow_ms"], None, Audience())


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.name)
def test_kubernetes_takes_the_manifests(manifest, version):
    kinds = []
    for document in yaml.safe_load_all(manifest.read_text()):
        kubernetes_validate.validate(document, version, strict=True)
        kinds.append(document["kind"])
    assert kinds == {"daemonset.yaml": ["Namespace", "DaemonSet"], "sidecar.yaml": ["Pod"]}[manifest.name]


def test_the_validation_refuses_what_is_wrong():
    pod = yaml.safe_load((DEPLOY / "sidecar.yaml").read_text())
    pod["spec"]["shareProcessNamespaces"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod, KUBERNETES[0], strict=True)


def test_the_recorder_of_each_node_sees_the_host_and_writes_into_a_directory_of_its_own():
    _, daemonset = yaml.safe_load_all((DEPLOY / "daemonset.yaml").read_text())
    spec = daemonset["spec"]["template"]["spec"]
    settings = settings_of(spec["containers"][0]["args"])
    mounted = {mount["name"]: mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    assert spec["hostPID"] is True
    assert settings.directory.startswith(mounted["recordings"] + "/")
    assert (settings.retain_s, settings.total_bytes, settings.wanted) == (7 * 86_400, 2_000_000_000, ())


def test_the_recorder_in_a_pod_sees_its_processes_and_keeps_less_than_its_volume_holds():
    spec = yaml.safe_load((DEPLOY / "sidecar.yaml").read_text())["spec"]
    server, recorder = spec["containers"]
    settings = settings_of(recorder["args"])
    assert spec["shareProcessNamespace"] is True
    assert settings.wanted[0].terms[0].pattern == str(server["ports"][0]["containerPort"])
    assert (settings.retain_s, settings.segment_s) == (600, 150)
    assert settings.total_bytes < 250 << 20


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_takes_the_units(unit, tmp_path):
    here = tmp_path / unit.name
    here.write_text(unit.read_text().replace(INSTALLED, str(Path(sys.executable).parent / "perfwatch")))
    ended = subprocess.run(["systemd-analyze", "verify", here], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.replace("\n", "")) == (0, "")


def test_the_unit_starts_the_service_with_options_that_it_takes():
    (line,) = [
        line for line in (DEPLOY / "perfwatch.service").read_text().splitlines() if line.startswith("ExecStart=")
    ]
    (options,) = [
        line.partition("OPTIONS=")[2].rstrip('"')
        for line in (DEPLOY / "perfwatch.service").read_text().splitlines()
        if line.startswith('Environment="OPTIONS=')
    ]
    words = shlex.split(line.replace("$OPTIONS", options).replace("${STATE_DIRECTORY}", "/var/lib/perfwatch"))
    assert words[0] == f"ExecStart={INSTALLED}"
    settings = settings_of(words[1:])
    assert (settings.directory, settings.retain_s) == ("/var/lib/perfwatch", 7 * 86_400)
