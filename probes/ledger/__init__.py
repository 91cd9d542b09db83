"""The exact ledger: where each request's time went, booked in the kernel as it passes.

ledger.bpf.c books and sends events; libbpf.py loads it; events.py reads its structs; assemble.py makes records of them;
probe.py runs it all.
"""
