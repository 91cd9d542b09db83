"""The exact ledger: where each request's time went, booked in the kernel as it passes.

ledger.bpf.c books and sends events; libbpf.py loads it; events.py reads its structs; open_requests.py keeps what has not
ended; probe.py makes records of both.
"""
