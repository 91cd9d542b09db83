"""What the benchmark of stacks watches: one thread in functions of under a microsecond, and others 17 frames deep.

    python stack_target.py THREADS

Each line on standard input is answered by how many rounds the first thread has made, and the CPU time that it took for
them, in nanoseconds. Which function may call which is in `CALLED_BY`: any other pair in a stack is impossible.
"""

from __future__ import annotations

import sys
import threading
import time

CALLED_BY = {
    "a4": {"a3"},
    "a3": {"a2"},
    "a2": {"a1"},
    "a1": {"spin"},
    "b4": {"b3"},
    "b3": {"b2"},
    "b2": {"b1"},
    "b1": {"spin"},
    "spin": {"tortured"},
}
DEPTH = 14
PAUSE_S = 0.02
done = [0, 0]


def a4() -> None:
    pass


def a3() -> None:
    a4()


def a2() -> None:
    a3()


def a1() -> None:
    a2()


def b4() -> None:
    pass


def b3() -> None:
    b4()


def b2() -> None:
    b3()


def b1() -> None:
    b2()


def spin() -> None:
    for _ in range(1000):
        a1()
        b1()


def tortured() -> None:
    while True:
        spin()
        done[0] += 1
        done[1] = time.thread_time_ns()


def deep(depth: int) -> None:
    if depth:
        deep(depth - 1)
        return
    while True:
        time.sleep(PAUSE_S)


def main() -> None:
    threading.Thread(target=tortured, daemon=True).start()
    for _ in range(int(sys.argv[1]) - 1):
        threading.Thread(target=deep, args=(DEPTH,), daemon=True).start()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(*done, flush=True)


if __name__ == "__main__":
    main()
