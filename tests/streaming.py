"""HTTP/2 for tests: a client that has several streams under way on one connection, and clocks each; see `serving`."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from dataclasses import dataclass

from faults.following import run_delay_ns
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived, StreamEnded, StreamReset
from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame

WAIT_S = 20
QUIET_S = 0.04
PAD = 7


@dataclass
class Exchange:
    """One stream, by the client's clock."""

    path: str
    start_ns: int
    delay_ns: int
    """The client's thread has waited so long for a CPU: until the request was sent, then until the answer was read."""
    status: int | None = None
    end_ns: int | None = None

    @property
    def taken_ns(self):
        return self.end_ns - self.start_ns


class StreamingClient:
    """One connection; to be closed."""

    def __init__(self, address, context=None):
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), WAIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            self.socket = context.wrap_socket(self.socket, server_hostname=host)
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.flush()
        self.exchanges = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def flush(self):
        """Send what there is to be sent."""
        self.socket.sendall(self.h2.data_to_send())

    def headers(self, path, *more):
        fixed = [(":method", "GET"), (":path", path), (":scheme", "http"), (":authority", "here")]
        return [*fixed, *more]

    def ask(self, *paths, more=()):
        """Begin a stream for each, all in one piece: the clock starts when that is sent."""
        streams = [self.h2.get_next_available_stream_id() + 2 * number for number in range(len(paths))]
        for stream, path in zip(streams, paths, strict=True):
            self.h2.send_headers(stream, self.headers(path, *more), end_stream=True)
        start_ns, delay_ns = time.monotonic_ns(), run_delay_ns()
        self.exchanges |= {
            stream: Exchange(path, start_ns, delay_ns) for stream, path in zip(streams, paths, strict=True)
        }
        self.flush()

    def ask_in_frames(self, path, *, cut, padded=False, pause_s=0.0, more=()):
        """Begin a stream by a block that is cut in two frames, sent in pieces of `cut` bytes."""
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, self.headers(path, *more), end_stream=True)
        block = self.h2.data_to_send()[9:]
        first = HeadersFrame(stream, block[:5], flags=["END_STREAM"])
        if padded:
            first.flags.add("PADDED")
            first.flags.add("PRIORITY")
            first.pad_length = PAD
        data = first.serialize() + ContinuationFrame(stream, block[5:], flags=["END_HEADERS"]).serialize()
        self.exchanges[stream] = Exchange(path, time.monotonic_ns(), run_delay_ns())
        for at in range(0, len(data), cut):
            self.socket.sendall(data[at : at + cut])
            time.sleep(pause_s)
        return stream

    def upload(self, path, parts, pause_s):
        """Begin a stream with a body in parts."""
        stream = self.h2.get_next_available_stream_id()
        headers = [("content-length", str(sum(map(len, parts))))]
        self.h2.send_headers(stream, [(":method", "POST"), *self.headers(path, *headers)[1:]])
        self.exchanges[stream] = Exchange(path, time.monotonic_ns(), run_delay_ns())
        self.flush()
        for part in parts:
            time.sleep(pause_s)
            self.h2.send_data(stream, part, pad_length=PAD)
            self.flush()
        self.h2.end_stream(stream)
        self.flush()

    def finish(self):
        """Wait until all streams have ended; returns their exchanges."""
        while any(exchange.end_ns is None for exchange in self.exchanges.values()):
            self.receive()
        done, self.exchanges = list(self.exchanges.values()), {}
        return done

    def receive(self):
        """Read until nothing comes for a while; what it means is looked at afterwards, for that takes time."""
        read = [self._read()]
        while self._has_more():
            read.append(self._read())
        for data, now_ns, delay_ns in read:
            self._take(data, now_ns, delay_ns)
        with contextlib.suppress(OSError):
            self.flush()

    def _read(self):
        data = self.socket.recv(1 << 16)
        assert data, "the server has hung up"
        return data, time.monotonic_ns(), run_delay_ns()

    def _has_more(self):
        buffered = isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()
        return buffered or bool(select.select([self.socket], [], [], QUIET_S)[0])

    def _take(self, data, now_ns, delay_ns):
        for event in self.h2.receive_data(data):
            exchange = self.exchanges.get(getattr(event, "stream_id", None))
            if exchange and isinstance(event, ResponseReceived):
                exchange.status = int(dict(event.headers)[":status"])
            elif exchange and isinstance(event, StreamEnded | StreamReset):
                exchange.end_ns, exchange.delay_ns = now_ns, delay_ns - exchange.delay_ns


def frame_of_data(stream, data):
    """Return a frame that ends a stream."""
    return DataFrame(stream, data, flags=["END_STREAM"]).serialize()
