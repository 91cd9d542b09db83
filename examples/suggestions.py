"""The shop's slow neighbour: a TCP service that thinks before it answers. One line in, one line out.

python -m perfwatch.examples.suggestions 9000
"""

from __future__ import annotations

import socketserver
import sys
import time
from typing import Final

from perfwatch.examples.leash import leash

PORT: Final = "PERFWATCH_DEMO_SUGGESTIONS"
"""Environment variable that tells the shop where this service listens."""
THINK_S: Final = 0.12


class _Answer(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            time.sleep(THINK_S)
            self.wfile.write(b"you may also like " + line)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def main() -> int:
    """Serve on the loopback port that is the only argument, until the end of the parent."""
    leash()
    with _Server(("127.0.0.1", int(sys.argv[1])), _Answer) as server:
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
