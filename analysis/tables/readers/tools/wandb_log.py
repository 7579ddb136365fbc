"""Records of a ``.wandb`` file: the log of LevelDB around messages of protocol buffers.

Weights & Biases' own reader is internal, opens the file for writing, and is gone in version 0.30.
Both formats are short and published:

- https://github.com/google/leveldb/blob/main/doc/log_format.md, after a header of seven bytes,
  with the CRC-32 of zlib
- https://protobuf.dev/programming-guides/encoding/, by the field numbers of
  ``wandb/proto/wandb_internal.proto``
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from sparsetune.errors import DataError

HEADER = b":W&B" + struct.pack("<HB", 0xBEE1, 0)
"""First bytes of every such file."""
_BLOCK_BYTES = 32 * 1024
_RECORD = struct.Struct("<IHB")
"""Header of a part of a record: its checksum, number of bytes, and kind."""
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
Fields = dict[int, list[int | bytes]]
"""Values of a message by the number of their field."""


@dataclass
class LogReader:
    """Records of a file, in order.

    Args:
        data: The file's bytes, which begin with `HEADER`.

    Attributes:
        is_torn: True if the last record is cut off, as of a run that was killed.
    """

    data: bytes
    is_torn: bool = False

    def __iter__(self) -> Iterator[bytes]:
        record = b""
        for kind, part in self._parts():
            record = part if kind in (_FULL, _FIRST) else record + part
            if kind in (_FULL, _LAST):
                yield record

    def _parts(self) -> Iterator[tuple[int, bytes]]:
        place = len(HEADER)
        while place < len(self.data):
            left = _BLOCK_BYTES - place % _BLOCK_BYTES
            # A header never straddles two blocks: what is left of a block is filled with zeros.
            if left < _RECORD.size:
                place += left
                continue
            start = place + _RECORD.size
            if start > len(self.data):
                self.is_torn = True
                return
            checksum, length, kind = _RECORD.unpack_from(self.data, place)
            part = self.data[start : start + length]
            if len(part) < length:
                self.is_torn = True
                return
            if kind not in (_FULL, _FIRST, _MIDDLE, _LAST):
                raise DataError(f"a record at byte {place:,} is of an unknown kind, {kind}")
            if zlib.crc32(part, zlib.crc32(bytes([kind]))) != checksum:
                raise DataError(f"the record at byte {place:,} does not have its checksum")
            yield kind, part
            place = start + length


def parse_message(data: bytes) -> Fields:
    """Fields of a message, without knowing its type.

    Raises:
        DataError: if it is no message.
    """
    fields: Fields = {}
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, wire = tag >> 3, tag & 7
        value: int | bytes
        if wire == _VARINT:
            value, place = _varint(data, place)
        elif wire in (_BYTES, _FIXED64, _FIXED32):
            length = {_FIXED64: 8, _FIXED32: 4}.get(wire, 0)
            if wire == _BYTES:
                length, place = _varint(data, place)
            value = data[place : place + length]
            if len(value) < length:
                raise DataError("a message ends within a value")
            place += length
        else:
            raise DataError(f"a message has a value of an unknown kind, {wire}")
        fields.setdefault(number, []).append(value)
    return fields


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """Number of variable length at ``place``, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise DataError("a message ends within a number")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise DataError("a message has a number of more than ten bytes")


def messages(fields: Fields, number: int) -> Iterator[Fields]:
    """Messages in a field."""
    for value in fields.get(number, []):
        if isinstance(value, bytes):
            yield parse_message(value)


def texts(fields: Fields, number: int) -> list[str]:
    """Texts in a field."""
    values = fields.get(number, [])
    return [value.decode("utf-8", "replace") for value in values if isinstance(value, bytes)]


def text(fields: Fields, number: int) -> str:
    """Last text in a field; empty where there is none."""
    return (texts(fields, number) or [""])[-1]
