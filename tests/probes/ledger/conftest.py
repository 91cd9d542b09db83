"""Servers with a certificate, for what is tested of them both where the clear text is seen and where it is not."""

import pytest
from cornering import SERVERS, TLS_VERSIONS, certificate, context_of, over_tls

OFTEN = ("gunicorn-gthread", "uvicorn-uvloop")
ALL = [pytest.param(name, marks=() if name in OFTEN else pytest.mark.slow) for name in sorted(SERVERS)]


OFTEN_TOGETHER = {("gunicorn-gthread", "1.2"), ("uvicorn-uvloop", "1.3")}
"""Of what is tested of each server by each version of TLS."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        given = item.callspec.params if hasattr(item, "callspec") else {}
        if {"server", "context"} <= given.keys() and (given["server"], given["context"]) not in OFTEN_TOGETHER:
            item.add_marker(pytest.mark.slow)


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
