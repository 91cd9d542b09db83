"""One real recording for all that reads it in Python: a server of which one page sleeps."""

import pytest
import serving
from recording import recording

from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, Load

LOAD = [Endpoint(Call("/sleep/{n}"), clients=2, pause_s=0.01), Endpoint(Call("/fast/{n}"), clients=2, pause_s=0.005)]


@pytest.fixture(name="recorded", scope="session")
def record_server(tmp_path_factory):
    """A session file of some seconds; exact where this machine allows, else sampled."""
    file = tmp_path_factory.mktemp("recorded") / "slow.perfwatch"
    with serving.http_server() as server, Load(server.address, LOAD) as load:
        load.wait(0.2)
        with recording(server.pid, slow_ms=50) as recorder:
            load.wait(4)
            recorder.stop()
            file.write_bytes(recorder.file.read_bytes())
    return file
