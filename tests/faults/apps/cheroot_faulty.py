"""The planted faults under CherryPy's cheroot: `python cheroot_faulty.py 8000`."""

from __future__ import annotations

import sys

from cheroot.wsgi import Server
from faulty import app

if __name__ == "__main__":
    server = Server(("127.0.0.1", int(sys.argv[1])), app, numthreads=8)
    try:
        server.safe_start()
    finally:
        server.stop()
