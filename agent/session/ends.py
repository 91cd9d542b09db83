"""The columns that format 3 adds: the processes at both ends of a call."""

from __future__ import annotations

from typing import Final

from perfwatch.agent.session.columns import AT, INTEGER, SEQ, TEXT, Column

MEMBERS: Final = (SEQ, AT, Column("pid", INTEGER), Column("target", INTEGER, "pid of the target, as it was named"))
PEER_PROCESSES: Final = (
    SEQ,
    AT,
    Column("seen_by", INTEGER, "pid of the process that called"),
    Column("address", TEXT, "what it called"),
    Column("pid", INTEGER, "of who listens there"),
    Column("name", TEXT),
    Column("is_target", INTEGER, "0, 1: it is watched too"),
)
