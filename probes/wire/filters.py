"""The classic BPF programs that choose in the kernel which packets are worth a copy: assembled here, without libpcap.

They see a packet from its link-layer header on; Ethernet, the loopback and interfaces without such a header (tun,
WireGuard) are understood, others pass nothing. VLAN tags need no care: the kernel takes them off before. The loopback
shows every packet twice, once outgoing and once incoming: only the second counts. A program's return value is the
number of bytes to copy, 0 for none; a load beyond the packet's end returns 0 too.

Instructions and their codes: Documentation/networking/filter.rst, include/uapi/linux/filter.h. Cost: some 40
instructions, below 0.1 us a packet of the network namespace.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

MAX_PORTS: Final = 64
SHARES: Final = 64
"""A filter can follow a part of the connections: so many 64ths, chosen by a hash of their two ports."""
REQUEST_BYTES: Final = 512
"""Of a packet with payload: headers, and a request line or status line."""
HELLO_BYTES: Final = 1920
"""Of one that begins with a TLS handshake record: a ServerHello with post-quantum keys has 1.2 kB."""
HEADER_BYTES: Final = 192
FINISHED_RECORDS: Final = (53, 69)
"""Length of a record that holds a TLS 1.3 Finished alone: 4 + 32 or 48 (SHA-256, SHA-384) + 1 + 16."""

_INSTRUCTION: Final = struct.Struct("=HBBI")


class Instruction(NamedTuple):
    """One instruction; `yes` and `no` name labels, the empty one is the next instruction."""

    code: int
    k: int = 0
    yes: str = ""
    no: str = ""


Line: TypeAlias = Instruction | str
"""An instruction, or the label of the one that follows."""


def assemble(lines: Sequence[Line]) -> bytes:
    """Return an array of `struct sock_filter`; raises ValueError where a conditional jump is over 255 long."""
    places: dict[str, int] = {}
    instructions: list[Instruction] = []
    for line in lines:
        if isinstance(line, str):
            places[line] = len(instructions)
        else:
            instructions.append(line)
    return b"".join(_encoded(place, instruction, places) for place, instruction in enumerate(instructions))


def _encoded(place: int, instruction: Instruction, places: dict[str, int]) -> bytes:
    code, k, yes, no = instruction
    hops = [places[label] - place - 1 if label else 0 for label in (yes, no)]
    if code == _JUMP:
        return _INSTRUCTION.pack(code, 0, 0, hops[0])
    if not all(0 <= hop <= 255 for hop in hops):  # noqa: PLR2004 - they are bytes
        raise ValueError(f"a jump to {yes or no} is out of reach")
    return _INSTRUCTION.pack(code, hops[0], hops[1], k)


# Codes: class | size or operation | mode or source.
_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE = 0x20, 0x28, 0x30  # A = packet[k]
_LOAD_HALF_AT, _LOAD_BYTE_AT = 0x48, 0x50  # A = packet[X + k]
_LOAD_IMMEDIATE, _LOAD_SCRATCH, _STORE_SCRATCH, _LOAD_X_SCRATCH = 0x00, 0x60, 0x02, 0x61
_ADD, _ADD_X, _MULTIPLY, _AND, _SHIFT_LEFT, _SHIFT_RIGHT, _XOR_X = 0x04, 0x0C, 0x24, 0x54, 0x64, 0x74, 0xAC
_JUMP, _IF_EQUAL, _IF_GREATER_X, _IF_AT_LEAST, _IF_ANY_BIT = 0x05, 0x15, 0x2D, 0x35, 0x45
_A_TO_X, _RETURN = 0x07, 0x06

# Loads below these offsets ask for what is no packet byte, or count from the network header.
_ANCILLARY: Final = 0x1_0000_0000 - 0x1000
_PROTOCOL, _PACKET_TYPE, _HARDWARE_TYPE = _ANCILLARY, _ANCILLARY + 4, _ANCILLARY + 28
_NETWORK: Final = 0x1_0000_0000 - 0x10_0000

_ETHERNET, _LOOPBACK, _NO_HEADER = 1, 772, 65534
_TO_US, _OUTGOING = 0, 4
_IPV4, _IPV6, _TCP = 0x0800, 0x86DD, 6
_FIN_SYN_RST, _ACK = 0x07, 0x10
# Scratch memory: link header, IP length, IP header, which way, and two to compute with.
_LINK, _LENGTH, _HEADER, _WAY, _PORT, _TRANSPORT = range(6)
_ANY_WAY, _OUT, _IN = range(3)


def request_filter(ports: Collection[int], share: int = SHARES) -> bytes:
    """Pass what has payload, SYN, FIN or RST, on connections that were accepted on one of these ports (at most 64)."""
    return assemble(
        [
            *_link(),
            *_network(),
            *_sample(share),
            *_of_server(ports, otherwise="drop"),
            "accepted",
            *_flags(_FIN_SYN_RST, "pass"),
            *_no_payload("drop"),
            "pass",
            Instruction(_RETURN, REQUEST_BYTES),
            "drop",
            Instruction(_RETURN, 0),
        ]
    )


def connection_filter(ports: Collection[int], share: int = SHARES, *, acknowledgements: bool = True) -> bytes:
    """Pass SYN, FIN, RST of all connections, and of their segments those that begin with a record of a TLS handshake.

    In TLS 1.3 the Finished is disguised as application data: it is told by its length. With `acknowledgements` also
    those without payload that clients of these ports send: one of them ends the set-up of a connection.
    """
    return assemble(
        [
            *_link(),
            *_network(),
            *_sample(share),
            *_flags(_FIN_SYN_RST, "header"),
            *_no_payload("empty"),
            *_tls(),
            "empty",
            *(_of_server(ports, otherwise="drop") if acknowledgements else [Instruction(_RETURN, 0)]),
            "accepted",
            "header",
            Instruction(_RETURN, HEADER_BYTES),
            "hello",
            Instruction(_RETURN, HELLO_BYTES),
            "drop",
            Instruction(_RETURN, 0),
        ]
    )


def _link() -> Iterable[Line]:
    """Find the length of the link header and which way the packet goes."""
    yield from (Instruction(_LOAD_WORD, _HARDWARE_TYPE), Instruction(_IF_EQUAL, _LOOPBACK, "loopback"))
    yield from (Instruction(_IF_EQUAL, _ETHERNET, "ethernet"), Instruction(_IF_EQUAL, _NO_HEADER, "", "drop"))
    yield from (*_store(_LINK, 0), Instruction(_JUMP, yes="way"))
    yield from ("ethernet", *_store(_LINK, 14))
    yield from ("way", Instruction(_LOAD_WORD, _PACKET_TYPE), Instruction(_IF_EQUAL, _OUTGOING, "outgoing"))
    yield from (Instruction(_IF_EQUAL, _TO_US, "", "drop"), *_store(_WAY, _IN), Instruction(_JUMP, yes="network"))
    yield from ("outgoing", *_store(_WAY, _OUT), Instruction(_JUMP, yes="network"))
    yield from ("loopback", Instruction(_LOAD_WORD, _PACKET_TYPE), Instruction(_IF_EQUAL, _OUTGOING, "drop"))
    yield from (*_store(_LINK, 14), *_store(_WAY, _ANY_WAY), "network")


def _network() -> Iterable[Line]:
    """Only TCP, only the first fragment; leave the offset of its header in X."""
    yield from (Instruction(_LOAD_WORD, _PROTOCOL), Instruction(_IF_EQUAL, _IPV4, "ipv4"))
    yield Instruction(_IF_EQUAL, _IPV6, "", "drop")
    yield from (Instruction(_LOAD_BYTE, _NETWORK + 6), Instruction(_IF_EQUAL, _TCP, "", "drop"))
    yield from (Instruction(_LOAD_HALF, _NETWORK + 4), Instruction(_IF_EQUAL, 0, "length"), Instruction(_ADD, 40))
    yield from ("length", Instruction(_STORE_SCRATCH, _LENGTH))
    yield from (Instruction(_LOAD_IMMEDIATE, 40), Instruction(_JUMP, yes="header length"))
    yield from ("ipv4", Instruction(_LOAD_BYTE, _NETWORK + 9), Instruction(_IF_EQUAL, _TCP, "", "drop"))
    yield from (Instruction(_LOAD_HALF, _NETWORK + 6), Instruction(_IF_ANY_BIT, 0x1FFF, "drop"))
    yield from (Instruction(_LOAD_HALF, _NETWORK + 2), Instruction(_STORE_SCRATCH, _LENGTH))
    yield from (Instruction(_LOAD_BYTE, _NETWORK), Instruction(_AND, 0xF), Instruction(_SHIFT_LEFT, 2))
    yield from ("header length", Instruction(_STORE_SCRATCH, _HEADER), Instruction(_LOAD_X_SCRATCH, _LINK))
    yield from (Instruction(_ADD_X), Instruction(_STORE_SCRATCH, _TRANSPORT), Instruction(_A_TO_X))


def _sample(share: int) -> Iterable[Line]:
    """Drop the connections that are not followed. Exclusive or makes the hash the same both ways.

    The low bits of a port are no sample (Linux gives even ones to clients first): hence the multiplication.
    """
    if share >= SHARES:
        return
    yield from (Instruction(_LOAD_HALF_AT, 0), Instruction(_STORE_SCRATCH, _PORT), Instruction(_LOAD_HALF_AT, 2))
    yield from (Instruction(_LOAD_X_SCRATCH, _PORT), Instruction(_XOR_X), Instruction(_MULTIPLY, 0x9E3779B1))
    yield from (Instruction(_SHIFT_RIGHT, 26), Instruction(_IF_AT_LEAST, share, "drop"))
    yield Instruction(_LOAD_X_SCRATCH, _TRANSPORT)


def _of_server(ports: Collection[int], otherwise: str) -> Iterable[Line]:
    """Go to `accepted` with what a client sends to one of these ports of this host, or the other way round.

    Not with what this host's own clients exchange with the same port of another host.
    """
    chosen = sorted(set(ports))[:MAX_PORTS]
    yield Instruction(_LOAD_HALF_AT, 2)
    yield from (Instruction(_IF_EQUAL, port, "to server") for port in chosen)
    yield Instruction(_LOAD_HALF_AT, 0)
    yield from (Instruction(_IF_EQUAL, port, "from server") for port in chosen)
    yield Instruction(_JUMP, yes=otherwise)
    yield from ("to server", Instruction(_LOAD_SCRATCH, _WAY), Instruction(_IF_EQUAL, _OUT, otherwise, "accepted"))
    yield from ("from server", Instruction(_LOAD_SCRATCH, _WAY), Instruction(_IF_EQUAL, _IN, otherwise, "accepted"))


def _flags(wanted: int, label: str) -> Iterable[Line]:
    yield from (Instruction(_LOAD_BYTE_AT, 13), Instruction(_IF_ANY_BIT, wanted, label))


def _no_payload(label: str) -> Iterable[Line]:
    """Go to a label with a segment that is all headers; the IP length tells, since short frames are padded.

    Length 0 stands for more than 64 KiB. X becomes the offset of the payload; with a jump it stays what it was.
    """
    yield from (Instruction(_LOAD_SCRATCH, _LENGTH), Instruction(_IF_EQUAL, 0, "payload"))
    yield from (*_headers(_HEADER), Instruction(_A_TO_X), Instruction(_LOAD_SCRATCH, _LENGTH))
    yield from (Instruction(_IF_GREATER_X, yes="payload"), Instruction(_LOAD_X_SCRATCH, _TRANSPORT))
    yield from (Instruction(_JUMP, yes=label), "payload", Instruction(_LOAD_X_SCRATCH, _TRANSPORT))
    yield from (*_headers(_TRANSPORT), Instruction(_A_TO_X))


def _headers(start: int) -> Iterable[Line]:
    """Load the length of the TCP header, at X, plus a scratch value."""
    yield from (Instruction(_LOAD_BYTE_AT, 12), Instruction(_AND, 0xF0), Instruction(_SHIFT_RIGHT, 2))
    yield from (Instruction(_LOAD_X_SCRATCH, start), Instruction(_ADD_X))


def _tls() -> Iterable[Line]:
    """Choose by content type and the major version: 22 handshake, 20 change_cipher_spec, 21 alert, 23 data."""
    yield from (Instruction(_LOAD_HALF_AT, 0), Instruction(_IF_EQUAL, 0x1603, "hello"))
    yield from (Instruction(_IF_EQUAL, 0x1403, "header"), Instruction(_IF_EQUAL, 0x1503, "header"))
    yield from (Instruction(_IF_EQUAL, 0x1703, "", "drop"), Instruction(_LOAD_HALF_AT, 3))
    yield from (Instruction(_IF_EQUAL, length, "header") for length in FINISHED_RECORDS)
    yield Instruction(_JUMP, yes="drop")


def _store(place: int, value: int) -> Iterable[Line]:
    yield from (Instruction(_LOAD_IMMEDIATE, value), Instruction(_STORE_SCRATCH, place))
