"""What would make requests cheaper, and is not why they are slow: opportunities, by endpoint.

A finder looks at one request and returns notes; `sums.py` adds them up, and takes back what a corrected request noted.
What the sums of calls and connections tell is made of those when it is asked for (`linking.py`).
"""
