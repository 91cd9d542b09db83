"""A service that accepts seldom: its queue is full; who comes then is let in by the kernel's next attempt, in a second.

`python slow_door.py 9000`
"""

from __future__ import annotations

import socket
import sys
import time

PAUSE_S = 0.25

if __name__ == "__main__":
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(sys.argv[1])))
    listener.listen(0)
    while True:
        connection, _ = listener.accept()
        if connection.recv(100):
            connection.sendall(b"ok\n")
        connection.close()
        time.sleep(PAUSE_S)
