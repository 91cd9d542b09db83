"""Servers with a certificate, for what is tested of them both where the clear text is seen and where it is not."""

import pytest
from cornering import SERVERS, TLS_VERSIONS, certificate, context_of, over_tls

OFTEN = ("gunicorn-gthread", "uvicorn-uvloop")
ALL = [pytest.param(name, marks=() if name in OFTEN else pytest.mark.slow) for name in sorted(SERVERS)]


@pytest.fixture(name="both", scope="session")
def make_certificate():
    with certificate() as both:
        yield both


@pytest.fixture(name="server", params=ALL, scope="module")
def start_server(request, both):
    with over_tls(request.param, both) as server:
        yield request.param, server.pid, server.address


@pytest.fixture(name="context", params=sorted(TLS_VERSIONS))
def make_context(request):
    return context_of(request.param)
