"""A recording for other programs: `formats.py` is the table of what can be written, a file here writes each of them.

A format gets an `Exported` (the recording, as far as it is meant) and the file to write into; see docs/exports.md.
"""
