"""Attributes, dictionaries, sets and types of real interpreters, read from outside."""

import json

import pytest
from pythons import EACH, opened

from perfwatch.probes.cpython.attributes import Attributes
from perfwatch.probes.cpython.kinds import Kinds
from perfwatch.probes.cpython.objects import Objects

SOURCE = """
import abc, json, sys
class Plain:
    def __init__(self):
        self.one, self.two = "first", "second"
class Slots:
    __slots__ = ("x", "y")
class More(Slots):
    __slots__ = ("z",)
class Mixed(Slots):
    pass
class Meta(abc.ABCMeta):
    pass
class Made(metaclass=Meta):
    def __init__(self):
        self.made = "by a metaclass"
class Many:
    def __init__(self):
        for number in range(300):
            setattr(self, "at_%d" % number, str(number))
class Long(str):
    pass
plain, grown, shrunk, seen, more, mixed, made, many, long = (
    Plain(), Plain(), Plain(), Plain(), More(), Mixed(), Made(), Many(), Long("text")
)
grown.three = "third"
del shrunk.one
vars(seen)["put"] = "by its dictionary"
more.x, more.z = "of a base", "of its own"
mixed.y, mixed.free = "in a slot", "in a dictionary"
long.more = "of a string"
names = "plain grown shrunk seen more mixed made many long".split()
things = dict(zip(names, (plain, grown, shrunk, seen, more, mixed, made, many, long)))
texts = {"client": "found", 1: "one", "other": "also", (1, 2): "pair"}
numbers = {str(number): str(number) for number in range(500)}
del numbers["7"]
members = {"a", "b", "c"}
members.discard("b")
print(json.dumps({
    "things": {name: id(thing) for name, thing in things.items()},
    "texts": id(texts), "numbers": id(numbers), "members": id(members), "bytes": id(b"bytes"), "type": id(type),
    "int": id(7), "class": id(Made),
}))
sys.stdin.readline()
"""
WANTED = {
    ("plain", "one"): "first",
    ("plain", "two"): "second",
    ("plain", "three"): None,
    ("grown", "one"): "first",
    ("grown", "three"): "third",
    ("shrunk", "one"): None,
    ("shrunk", "two"): "second",
    ("seen", "two"): "second",
    ("seen", "put"): "by its dictionary",
    ("more", "x"): "of a base",
    ("more", "y"): None,
    ("more", "z"): "of its own",
    ("mixed", "y"): "in a slot",
    ("mixed", "free"): "in a dictionary",
    ("made", "made"): "by a metaclass",
    ("many", "at_0"): "0",
    ("many", "at_299"): "299",
    ("many", "at_300"): None,
}


@EACH
def test_attributes_are_found_wherever_a_version_keeps_them(python):
    with opened(SOURCE, python=python) as (read, _, line):
        said = json.loads(line)
        attributes, objects = Attributes(read), Objects(read.memory, read.layout)

        def text(found):
            if found is None:
                return None
            assert read.memory.word(found.place) == found.value
            return objects.texts([found.value])[0]

        things = said["things"]
        assert {each: text(attributes.of(things[each[0]], each[1])) for each in WANTED} == WANTED
        assert text(attributes.item(said["texts"], "client")) == "found"
        assert text(attributes.item(said["texts"], "other")) == "also"
        assert attributes.item(said["texts"], "one") is None
        assert text(attributes.item(said["numbers"], "499")) == "499"
        assert text(attributes.item(said["numbers"], "7")) is None
        entries = attributes.containers.entries(said["numbers"])
        assert sum(map(bool, entries.values)) == 499
        head = read.memory.read(said["members"], read.layout["sz.set"])
        members = attributes.containers.members(attributes.containers.table(head))
        assert sorted(objects.texts(members)) == ["a", "c"]


@EACH
def test_a_type_is_known_by_its_name_and_what_is_none_has_no_name(python):
    with opened(SOURCE, python=python) as (read, _, line):
        said, kinds = json.loads(line), Kinds(read)
        names = {name: kinds.name_of(address) for name, address in said["things"].items()}
        assert names["plain"] == names["grown"] == "Plain"
        assert (names["made"], names["long"]) == ("Made", "Long")
        assert (kinds.name_of(said["type"]), kinds.name_of(said["class"])) == ("type", "Meta")
        assert kinds.names_of([said["int"], said["bytes"], said["texts"], 0, 8]) == ["int", "bytes", "dict", "", ""]
        for address in (said["texts"], said["things"]["plain"], said["int"], 0, 1, 2**47 - 8, 2**64 - 8):
            assert kinds.name(address) == ""
            assert not kinds.is_task(address)


@pytest.mark.parametrize("address", [0, 1, 8, 2**47 - 8, 2**63, 2**64 - 8])
def test_where_nothing_is_nothing_is_found(address):
    with opened(SOURCE) as (read, _, _):
        attributes = Attributes(read)
        assert attributes.of(address, "one") is None
        assert attributes.item(address, "one") is None
        assert attributes.items(address) == ()
        assert attributes.containers.items(address) == []
        assert attributes.at(address) is None
