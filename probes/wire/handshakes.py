"""How long a TLS handshake took and what came of it, from the segments that carry its records: pure.

It begins with the ClientHello. In TLS 1.3 it ends with the client's Finished, which comes encrypted, behind a
ChangeCipherSpec that is there for old middleboxes' sake, or alone and told by its length. Before, it ends with the
server's last flight (the client's, where a session is resumed): the peers' flights take turns, so that the begin of
each is enough. An alert ends it without a result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from perfwatch.probes.wire.filters import FINISHED_RECORDS
from perfwatch.probes.wire.tls import (
    ALERT,
    CHANGE_CIPHER_SPEC,
    DATA,
    ENCRYPTED_ALERT_BYTES,
    HANDSHAKE,
    Hello,
    parse_hello,
    parse_records,
)

if TYPE_CHECKING:
    from perfwatch.probes.wire.tls import TlsRecord


@dataclass(slots=True)
class TlsHandshake:
    """The handshake of one connection."""

    began_ns: int | None = None
    ended_ns: int | None = None
    """None while it is under way, and where it failed."""
    version: str | None = None
    resumed: bool | None = None
    _stage: Literal["none", "greeted", "chosen", "answered", "over"] = "none"
    """`greeted`: after the ClientHello; `chosen`: after the ServerHello; `answered`: after the client's flight."""
    _session_id: bytes = b""

    def take(self, payload: bytes, at_ns: int, *, from_client: bool) -> bool:
        """Follow the begin of one segment, in order; whether anything changed."""
        records = list(parse_records(payload))
        if self._stage == "over" or not records:
            return False
        if self._stage in {"none", "greeted"}:
            return self._greet(records, at_ns, from_client=from_client)
        if any(_is_alert(record) for record in records):
            self._stage, self.ended_ns = "over", None
            return True
        if self.version == "TLSv1.3":
            return from_client and self._finish_13(records, at_ns)
        return self._finish_12(records, at_ns, from_client=from_client)

    def _greet(self, records: list[TlsRecord], at_ns: int, *, from_client: bool) -> bool:
        """Take the hellos; a ChangeCipherSpec may stand before a second ClientHello."""
        if self._stage == "greeted" and records[0].type == ALERT:
            self._stage = "over"
            return True
        handshakes = [record.content for record in records if record.type == HANDSHAKE]
        hello = parse_hello(handshakes[0]) if handshakes else None
        if hello is None:
            return False
        if from_client and hello.kind == "client":
            self.began_ns = at_ns if self.began_ns is None else self.began_ns
            self._session_id, self._stage = hello.session_id, "greeted"
            return True
        if from_client or hello.kind != "server" or self._stage != "greeted":
            return False
        self.version, self.resumed, self._stage = hello.version, self._is_resumed(hello), "chosen"
        return True

    def _is_resumed(self, hello: Hello) -> bool | None:
        """Before TLS 1.3 the server echoes the session id of a session that it resumes; in 1.3 it echoes any."""
        if hello.version is None or hello.version == "TLSv1.3":
            return hello.uses_key
        return bool(self._session_id) and hello.session_id == self._session_id

    def _finish_13(self, records: list[TlsRecord], at_ns: int) -> bool:
        """End with the client's Finished; with its ChangeCipherSpec where the rest follows in another segment."""
        finished = any(record.type == DATA and record.length in FINISHED_RECORDS for record in records)
        if records[0].type == CHANGE_CIPHER_SPEC or finished:
            self.ended_ns = at_ns
            self._stage = "over" if finished or len(records) > 1 else "chosen"
            return True
        return False

    def _finish_12(self, records: list[TlsRecord], at_ns: int, *, from_client: bool) -> bool:
        if records[0].type not in {HANDSHAKE, CHANGE_CIPHER_SPEC}:
            return False
        if self._stage == "chosen" and from_client:
            self._stage = "over" if self.resumed else "answered"
        elif self._stage == "answered" and not from_client:
            self._stage = "over"
        else:
            return False
        self.ended_ns = at_ns if self._stage == "over" else None
        return True


def _is_alert(record: TlsRecord) -> bool:
    return record.type == ALERT or (record.type == DATA and record.length == ENCRYPTED_ALERT_BYTES)
