"""A journal's file, as bytes: finding its records and changing them."""
from __future__ import annotations

import os
import re
import struct

PAGE = 4096
OWN_KEY = bytes(13)  # job 0, part 0, number 0


def crc32c(*parts: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in b"".join(parts):
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def read(folder: str) -> bytes:
    with open(os.path.join(folder, "data.mdb"), "rb") as f:
        return f.read()


def write(folder: str, data: bytes) -> None:
    """A journal of that file alone: LMDB makes the file of its locks anew."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    with open(os.path.join(folder, "data.mdb"), "wb") as f:
        f.write(data)


def key_sizes(data: bytes) -> list[int]:
    """Where the sizes of keys stand, in front of the keys: of all jobs below 65,536."""
    return [m.start() for m in re.finditer(rb"\x0d\x00(?=\x00{6}..[\x00-\x08])", data, re.DOTALL)]


def of_version(data: bytes, version: int, in_head: bool) -> bytes:
    """The journal as a later program would have written it: its own record (the key of job 0) names that version; or the head of
    that record does, in front of its checksum."""
    changed, at = bytearray(data), -1
    found = 0
    while (at := data.find(OWN_KEY, at + 1)) >= 0 and (value := at + len(OWN_KEY)) + 80 < len(data):
        crc = struct.unpack_from("<I", data, value + 1)[0]
        for size in range(3, 64):  # the map's end is not marked
            map_of = data[value + 5 : value + 5 + size]
            if 0x81 <= map_of[0] <= 0x8F and map_of[1] == 1 and crc32c(OWN_KEY, map_of) == crc:
                found += 1
                if in_head:
                    changed[value] = version
                else:
                    changed[value + 7] = version
                    struct.pack_into("<I", changed, value + 1, crc32c(OWN_KEY, bytes(changed[value + 5 : value + 5 + size])))
    assert found, "the journal's own record was not found"
    return bytes(changed)
