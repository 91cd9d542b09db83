"""What is said within TLS, where the kernel has read it in the clear: the protocol inside, and its words."""

from perfwatch.probes.protocols.speech import Speech
from perfwatch.probes.protocols.turn import Turn

HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"r" * 60
FINISHED = b"\x17\x03\x03\x00\x45" + b"f" * 69
ASKED = b"GET /items/7 HTTP/1.1\r\nHost: a\r\n\r\n"


def record(first, content):
    """Return the head of a step: the record's length is that of the ciphertext."""
    return bytes((first, 3, 3)) + (len(content) + 17).to_bytes(2, "big") + content


def shaken(port=8443):
    speech = Speech(port)
    assert speech.sent(HELLO, len(HELLO)).phase == "opening"
    assert speech.sent(FINISHED, len(FINISHED)).phase == "opening"
    return speech


def test_a_turn_that_is_known_is_told_as_what_it_is():
    speech = shaken()
    assert speech.sent(record(0x97, ASKED), 57) == Turn("http/1", "GET /items/{}")
    assert speech.is_encrypted


def test_one_that_is_not_is_of_the_protocol_that_was_seen_before():
    speech = shaken()
    assert speech.sent(record(0x17, b"\xd1" * 40), 62) == Turn("tls")
    speech.sent(record(0x97, ASKED), 57)
    assert speech.sent(record(0x17, b"\xd1" * 40), 62) == Turn("http/1")


def test_the_port_says_what_is_likely_inside_but_for_that_of_tls():
    query = b"Q\0\0\0\x0dSELECT 1\0"
    speech = shaken(5432)
    assert speech.sent(record(0x97, query), 36) == Turn("postgresql", "SELECT ?")


def test_random_clear_text_stays_unknown_and_encrypted():
    assert shaken().sent(record(0x97, b"\xfe\xdc\xba" * 9), 49) == Turn("tls")
