"""Call trees: the time of a request, an endpoint or a window by code and reason, as a pyinstrument session.

`session.py` makes the session of `StackTime` values, no profiler runs; `branches.py` (for the screen), `text.py`
and `formats.py` show it. Imported where a tree is wanted: pyinstrument takes 50 ms.
"""
