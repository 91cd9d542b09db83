"""A recording without what names people, machines and data: records go through here before anything is made of them.

`rules.py` decides for each text of each record what becomes of it, and a text without a decision is hidden. Reports,
exports and sessions are made of what comes out, so none of them can say more; docs/sharing.md is the promise.
"""
