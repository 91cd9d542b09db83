"""The messages of pprof's profile.proto (github.com/google/pprof/proto), as far as they are written here.

Declared at run time: generated code is bound to versions of the library, and asks for a compiler to be made anew.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

Message: TypeAlias = Any
"""Its fields are known to the library only at run time."""
_PACKAGE: Final = "perftools.profiles"
_INT64, _UINT64, _BOOL, _STRING = (
    FieldDescriptorProto.TYPE_INT64,
    FieldDescriptorProto.TYPE_UINT64,
    FieldDescriptorProto.TYPE_BOOL,
    FieldDescriptorProto.TYPE_STRING,
)
_ONE, _MANY = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.LABEL_REPEATED
_MESSAGES: Final[dict[str, tuple[tuple[int, str, int | str, int], ...]]] = {
    "Profile": (
        (1, "sample_type", "ValueType", _MANY),
        (2, "sample", "Sample", _MANY),
        (3, "mapping", "Mapping", _MANY),
        (4, "location", "Location", _MANY),
        (5, "function", "Function", _MANY),
        (6, "string_table", _STRING, _MANY),
        (9, "time_nanos", _INT64, _ONE),
        (13, "comment", _INT64, _MANY),
        (14, "default_sample_type", _INT64, _ONE),
    ),
    "ValueType": ((1, "type", _INT64, _ONE), (2, "unit", _INT64, _ONE)),
    "Sample": ((1, "location_id", _UINT64, _MANY), (2, "value", _INT64, _MANY), (3, "label", "Label", _MANY)),
    "Label": ((1, "key", _INT64, _ONE), (2, "str", _INT64, _ONE)),
    "Mapping": (
        (1, "id", _UINT64, _ONE),
        (5, "filename", _INT64, _ONE),
        (7, "has_functions", _BOOL, _ONE),
        (8, "has_filenames", _BOOL, _ONE),
        (9, "has_line_numbers", _BOOL, _ONE),
    ),
    "Location": ((1, "id", _UINT64, _ONE), (2, "mapping_id", _UINT64, _ONE), (4, "line", "Line", _MANY)),
    "Line": ((1, "function_id", _UINT64, _ONE), (2, "line", _INT64, _ONE)),
    "Function": ((1, "id", _UINT64, _ONE), (2, "name", _INT64, _ONE), (4, "filename", _INT64, _ONE)),
}
"""Number, name, type and label of each field. Strings are places in `string_table`, the first of which is empty."""


def new_profile() -> Message:
    """Return an empty `Profile`."""
    pool = DescriptorPool()
    file = FileDescriptorProto(name="profile.proto", package=_PACKAGE, syntax="proto3")
    for message, fields in _MESSAGES.items():
        declared = file.message_type.add(name=message)
        for number, name, kind, label in fields:
            field = declared.field.add(name=name, number=number, label=label)
            if isinstance(kind, str):
                field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                field.type = kind  # type: ignore[assignment]
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Profile"))()
