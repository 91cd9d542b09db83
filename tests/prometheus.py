"""A real Prometheus, of Debian's package: run with a configuration and a directory of its own, asked by HTTP."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import urllib.parse
import urllib.request

import pytest
from waiting import until

from perfwatch.examples.starting import free_port

needed = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")), reason="needs prometheus: run tests/install-tools"
)
STARTED_S = 60
RESULT_S = 60
CONFIG = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
  - job_name: perfwatch
    static_configs: [{{targets: ["{target}"]}}]
"""


class Prometheus:
    """One that runs."""

    def __init__(self, port):
        self._base = f"http://127.0.0.1:{port}"

    def get(self, path, **query):
        with urllib.request.urlopen(f"{self._base}{path}?{urllib.parse.urlencode(query)}", timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression):
        """The values of an instant query, by their labels."""
        found = self.get("/api/v1/query", query=expression)["result"]
        return {
            tuple(value for name, value in sorted(one["metric"].items()) if not name.startswith("__")): float(
                one["value"][1]
            )
            for one in found
        }

    def await_result(self, expression, result):
        """Wait until an instant query gives this."""
        until(
            lambda: self.query(expression) == result,
            pause_s=0.1,
            patience_s=RESULT_S,
            told=lambda: f"{expression}: {self.query(expression)}, not {result}",
        )

    def is_up(self):
        with contextlib.suppress(OSError):
            return self.query("up") == {(self.target, "perfwatch"): 1}
        return False


@contextlib.contextmanager
def scraping(target, directory):
    """Run one that scrapes a target, from its first scrape on."""
    config, port = directory / "prometheus.yml", free_port()
    config.write_text(CONFIG.format(target=target))
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}"]
    log = directory / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}"], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        one = Prometheus(port)
        one.target = target
        until(one.is_up, pause_s=0.05, patience_s=STARTED_S, told=log.read_text)
        yield one
    finally:
        process.kill()
        process.wait()


def checked(text):
    """What promtool has to say of metrics: nothing, where all is well."""
    ended = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=60)
    return (ended.stdout + ended.stderr).decode()
