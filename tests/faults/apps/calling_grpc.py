"""A gRPC server of raw bytes: `Fast`, `Nap`, `Stream`, `Fail`. Takes an address, a number of workers, a key."""

from __future__ import annotations

import sys
import time
from concurrent import futures
from pathlib import Path

import grpc

NAP_S = 0.03
PART_S = 0.01
PARTS = 3


def fast(request, _):
    return request


def nap(request, _):
    time.sleep(NAP_S)
    return request


def fail(_, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as planned")


def stream(request, _):
    for _ in range(PARTS):
        time.sleep(PART_S)
        yield request


class Handlers(grpc.GenericRpcHandler):
    def service(self, details):
        name = details.method.rpartition("/")[2]
        if name == "Stream":
            return grpc.unary_stream_rpc_method_handler(stream)
        known = {"Fast": fast, "Nap": nap, "Fail": fail}
        return grpc.unary_unary_rpc_method_handler(known[name]) if name in known else None


server = grpc.server(futures.ThreadPoolExecutor(int(sys.argv[2])))
server.add_generic_rpc_handlers((Handlers(),))
if sys.argv[3:]:
    both = Path(sys.argv[3]).read_bytes()
    server.add_secure_port(sys.argv[1], grpc.ssl_server_credentials([(both, both)]))
else:
    server.add_insecure_port(sys.argv[1])
server.start()
server.wait_for_termination()
