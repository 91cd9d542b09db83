"""Blocks of headers, compressed by HPACK (RFC 7541) against all that went the same way before: what requests need.

A connection that was joined later has an unknown table. Its entries are stood for by empty ones, which are the oldest,
so that each index means what it means to the peers: what refers to one of them is left out, and all else is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpack import Decoder, HPACKError

if TYPE_CHECKING:
    from hpack.table import HeaderTable

MOST_TABLE_BYTES: Final = 1 << 16
"""Of a table: what browsers ask for. A server that allows more has its headers not read."""
MOST_LIST_BYTES: Final = 1 << 18
"""Of all headers in one block, decompressed."""
MOST_KNOWN: Final = 32
"""Blocks whose meaning is remembered while the table stays as it is: most say the same over and over."""
WANTED: Final = {b":method", b":path", b":protocol", b":status", b"content-type", b"grpc-status"}
_ENTRY_BYTES: Final = 32
_FIRST_TABLE_BYTES: Final = 4096
_EMPTY: Final = (b"", b"")


class Headers:
    """What goes one way of one connection."""

    def __init__(self, *, is_joined: bool) -> None:
        self._decoder = Decoder(MOST_LIST_BYTES)
        self._decoder.max_allowed_table_size = MOST_TABLE_BYTES
        self._known: dict[bytes, dict[bytes, bytes]] = {}
        self._is_lost = False
        if is_joined:
            for _ in range(_FIRST_TABLE_BYTES // _ENTRY_BYTES):
                self._decoder.header_table.add(*_EMPTY)

    def read(self, block: bytes) -> dict[bytes, bytes]:
        """Return those headers that are wanted; after one that could not be decoded, none are known any more."""
        if self._is_lost:
            return {}
        known = self._known.get(block)
        if known is not None:
            return known
        table = self._decoder.header_table
        newest, size = _newest(table), table.maxsize  # an entry that is added stands in front of it
        try:
            decoded = self._decoder.decode(block, raw=True)
        except HPACKError:
            self.lose()
            return {}
        found = {bytes(name): bytes(value) for name, value in decoded if name in WANTED}
        self._remember(block, found, is_stable=_newest(table) is newest and table.maxsize == size)
        return found

    def lose(self) -> None:
        """Take in that a block is missing."""
        self._is_lost = True
        self._decoder = Decoder()
        self._known.clear()

    def _remember(self, block: bytes, found: dict[bytes, bytes], *, is_stable: bool) -> None:
        if not is_stable:
            self._known.clear()
        elif len(self._known) < MOST_KNOWN:
            self._known[block] = found


def _newest(table: HeaderTable) -> tuple[bytes, bytes] | None:
    return table.dynamic_entries[0] if table.dynamic_entries else None
