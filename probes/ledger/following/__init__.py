"""A request's way through event loops and worker threads, made of the kernel's steps: pure, no I/O.

`flow.py` finds out whose each step is (of one that does not say: `owners.py`, by `habits.py`), `lanes.py` keeps what a
loop's thread did and when, `ways.py` books a request's time, `workers.py` and `jobs.py` what a worker did for one.
"""
