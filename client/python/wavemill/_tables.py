"""The message tables of libwavemill as Python sees them: a struct becomes a dict, a dict MessagePack.

The library exports each table (NAME_schema: names, types, offsets), so no layout is written down here twice."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from typing import Any

from ._library import check, library

UINT, INT, F64, BOOL, STR, BIN, LIST, UINTS, STRS = range(9)  # enum wire_type


class Slice(ctypes.Structure):
    """struct wire_slice"""

    _fields_ = [("data", ctypes.c_void_p), ("bytes", ctypes.c_uint32)]

    def value(self) -> bytes:
        """A copy of the bytes."""
        return ctypes.string_at(self.data, self.bytes) if self.bytes else b""


class List(ctypes.Structure):
    """struct wire_list"""

    _fields_ = [("data", ctypes.c_void_p), ("bytes", ctypes.c_uint32), ("count", ctypes.c_uint32)]


class Buffer(ctypes.Structure):
    """struct wire_buffer"""

    _fields_ = [("data", ctypes.c_void_p), ("bytes", ctypes.c_size_t), ("capacity", ctypes.c_size_t)]


class Field(ctypes.Structure):
    """struct wire_field"""

    _fields_ = [("key", ctypes.c_uint8), ("type", ctypes.c_uint8), ("required", ctypes.c_bool), ("offset", ctypes.c_uint16),
                ("max", ctypes.c_uint32), ("name", ctypes.c_char_p), ("element", ctypes.c_void_p)]


class Schema(ctypes.Structure):
    """struct wire_schema"""

    _fields_ = [("name", ctypes.c_char_p), ("fields", ctypes.POINTER(Field)), ("count", ctypes.c_size_t), ("bytes", ctypes.c_size_t)]


_pointer, _int = ctypes.c_void_p, ctypes.c_int
for _name, _result, _arguments in (
    ("wire_decode", _int, [_pointer, _pointer, ctypes.c_size_t, _pointer]),
    ("wire_encode", _int, [_pointer, _pointer, _pointer]),
    ("wire_next", ctypes.c_bool, [_pointer, _pointer, _pointer]),
    ("wire_next_uint", ctypes.c_bool, [_pointer, _pointer]),
    ("wire_next_str", ctypes.c_bool, [_pointer, _pointer]),
    ("wire_append_str", _int, [_pointer, ctypes.c_char_p]),
    ("wire_append_uint", _int, [_pointer, ctypes.c_uint64]),
    ("wire_free", None, [_pointer]),
):
    _function = getattr(library, _name)
    _function.restype = _result
    _function.argtypes = _arguments

_PLAIN = {UINT: ctypes.c_uint64, INT: ctypes.c_int64, F64: ctypes.c_double, BOOL: ctypes.c_bool}


def schema(name: str) -> Schema | None:
    """The table NAME_schema; None where the library has none of that name."""
    try:
        return Schema.in_dll(library, f"{name}_schema")
    except ValueError:
        return None


def _elements(items: List, convert: Callable[[List], Any | None]) -> list:
    walk, found = List(items.data, items.bytes, items.count), []
    while (element := convert(walk)) is not None:
        found.append(element)
    return found


def _number(walk: List) -> int | None:
    value = ctypes.c_uint64()
    return value.value if library.wire_next_uint(ctypes.byref(walk), ctypes.byref(value)) else None


def _text(walk: List) -> str | None:
    value = Slice()
    return value.value().decode() if library.wire_next_str(ctypes.byref(walk), ctypes.byref(value)) else None


def maps(items: List, element: Schema) -> list[dict]:
    """The maps of a list."""
    memory = ctypes.create_string_buffer(element.bytes)

    def convert(walk: List) -> dict | None:
        return struct(memory, element) if library.wire_next(ctypes.byref(walk), ctypes.byref(element), memory) else None

    return _elements(items, convert)


def struct(memory: ctypes.Array, table: Schema) -> dict:
    """A struct in memory, by its table. What is a NaN, which means unknown, is None."""
    out: dict[str, Any] = {}
    for i in range(table.count):
        field = table.fields[i]
        name = field.name.decode()
        if field.type in _PLAIN:
            value = _PLAIN[field.type].from_buffer(memory, field.offset).value
            out[name] = None if isinstance(value, float) and math.isnan(value) else value
        elif field.type in (STR, BIN):
            raw = Slice.from_buffer(memory, field.offset).value()
            out[name] = raw.decode() if field.type == STR else raw
        else:
            items = List.from_buffer(memory, field.offset)
            out[name] = (maps(items, Schema.from_address(field.element)) if field.type == LIST
                         else _elements(items, _number if field.type == UINTS else _text))
    return out


def decode(table: Schema, data: bytes) -> dict:
    """MessagePack as a dict with the table's names. Raises WavemillError for bytes that break the table."""
    memory = ctypes.create_string_buffer(table.bytes)
    keep = ctypes.create_string_buffer(data, len(data))
    check(library.wire_decode(ctypes.byref(table), keep, len(data), memory))
    return struct(memory, table)


def encode(table: Schema, values: dict[str, Any]) -> bytes:
    """A dict with the table's names as MessagePack. Raises ValueError for names that the table has not."""
    memory = ctypes.create_string_buffer(table.bytes)
    fields = {table.fields[i].name.decode(): table.fields[i] for i in range(table.count)}
    unknown = set(values) - set(fields)
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))}: not among {', '.join(fields)}")
    kept: list[Any] = []
    lists: list[Buffer] = []
    try:
        for name, field in fields.items():
            if field.type == F64:
                ctypes.c_double.from_buffer(memory, field.offset).value = float(values.get(name, math.nan))
            elif name in values:
                _set(memory, field, values[name], kept, lists)
        out = Buffer()
        lists.append(out)
        check(library.wire_encode(ctypes.byref(table), memory, ctypes.byref(out)))
        return ctypes.string_at(out.data, out.bytes) if out.bytes else b""
    finally:
        for buffer in lists:
            library.wire_free(ctypes.byref(buffer))


def _set(memory: ctypes.Array, field: Field, value: Any, kept: list[Any], lists: list[Buffer]) -> None:
    if field.type in _PLAIN:
        _PLAIN[field.type].from_buffer(memory, field.offset).value = value
    elif field.type in (STR, BIN):
        raw = value.encode() if isinstance(value, str) else bytes(value)
        kept.append(ctypes.create_string_buffer(raw, len(raw)))
        place = Slice.from_buffer(memory, field.offset)
        place.data, place.bytes = ctypes.addressof(kept[-1]), len(raw)
    elif field.type in (STRS, UINTS):
        lists.append(Buffer())
        for element in value:
            check(library.wire_append_str(ctypes.byref(lists[-1]), element.encode()) if field.type == STRS
                  else library.wire_append_uint(ctypes.byref(lists[-1]), element))
        place = List.from_buffer(memory, field.offset)
        place.data, place.bytes, place.count = lists[-1].data, lists[-1].bytes, len(value)
    else:
        raise ValueError(f"{field.name.decode()}: lists of maps are not written here")
