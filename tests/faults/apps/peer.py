"""The slow service that the faulty server calls: `80\n` is answered after 80 ms. TCP and Unix socket at once.

`python peer.py 9000 /run/peer.sock`
"""

from __future__ import annotations

import socketserver
import sys
import threading
import time


class Answer(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            time.sleep(int(line) / 1000)
            self.wfile.write(b"ok\n")


class TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


if __name__ == "__main__":
    unix = UnixServer(sys.argv[2], Answer)
    threading.Thread(target=unix.serve_forever, daemon=True).start()
    TcpServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
