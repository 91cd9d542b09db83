"""What a thread is in that has no frame, named by the call at which its innermost frame stands."""

import time

from pythons import EACH_AT_LENGTH, opened

from perfwatch.probes.cpython.codes import Codes
from perfwatch.probes.cpython.walk import Walker

# Each function makes one call into C again and again; its name says how that is written.
CALL_INTO_C = """
import hashlib, json, re, socket, sys, threading, time, zlib
numbers, text, lock = list(range(20000)), "a" * 18, threading.Lock()
pattern, value, data = re.compile("(a+)+b"), {str(number): [number] for number in range(5000)}, bytes(200000)
one, other = socket.socketpair()
lock.acquire()
def regex():
    while True:
        pattern.match(text)
def sort():
    while True:
        sorted(numbers)
def reverse_sort():
    while True:
        sorted(numbers, reverse=len(numbers) > 0)
def derive():
    while True:
        hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 20000)
encode_text = json.encoder.encode_basestring_ascii
def encode():
    while True:
        encode_text(text * 20000)
def compress():
    while True:
        zlib.compress(data, 9)
def method():
    while True:
        [0] * 3, numbers.copy().count(7)
def inside():
    while True:
        len(text) + max(numbers) + len(text)
def of_result():
    while True:
        re.compile("(a+)+b").match(text)
def sleep():
    time.sleep(60)
def receive():
    one.recv(1)
def acquire():
    lock.acquire()
def enter():
    with lock:
        pass
def spread(*arguments, **named):
    while True:
        sorted(*arguments, **named)
calls = [regex, sort, reverse_sort, derive, encode, compress, method, inside, of_result, sleep, receive, acquire, enter]
for call in calls:
    threading.Thread(target=call, daemon=True).start()
threading.Thread(target=spread, args=(numbers,), kwargs={"reverse": True}, daemon=True).start()
print("up")
sys.stdin.read()
"""
EXPECTED = {
    "regex": {"pattern.match"},
    "sort": {"sorted"},
    "reverse_sort": {"sorted", "len"},
    "derive": {"hashlib.pbkdf2_hmac"},
    "encode": {"encode_text"},
    "compress": {"zlib.compress"},
    "method": {"numbers.copy", ".count"},
    "inside": {"len", "max"},
    "of_result": {"re.compile", ".match"},
    "sleep": {"time.sleep"},
    "receive": {"one.recv"},
    "acquire": {"lock.acquire"},
    "enter": {"lock.__enter__"},
    "spread": {"sorted"},
}
LONGEST = {name: names - {"len", "re.compile", "numbers.copy"} for name, names in EXPECTED.items()}


@EACH_AT_LENGTH
def test_calls_into_c_are_named_as_they_are_written(python):
    with opened(CALL_INTO_C, python=python) as (read, _, _):
        walker, codes = Walker(read), Codes(read)
        found = {name: set() for name in EXPECTED}
        end = time.monotonic() + 20
        while not all(LONGEST[name] <= found[name] for name in found):
            assert time.monotonic() < end, {name: LONGEST[name] - found[name] for name in found}
            for _, stack in walker.read().threads:
                innermost = codes.frame(*stack[0]) if stack else None
                if innermost and innermost.function in found:
                    name = codes.native_call(*stack[0])
                    found[innermost.function] |= {name} if name else set()
            time.sleep(0.005)
    assert all(names <= EXPECTED[name] for name, names in found.items()), found
