"""Numbers and checksums of the lines of a growing file: the ledger's and the launches'.

A sealed line is a JSON object whose last two keys are its number, from 1, and a checksum: the
CRC-32 of every byte before it, from the file's first line on. So the last checksum of a file is
that of all its lines, and one pass proves them. Older versions wrote lines without these keys.

Checksums find accidents: a disk that fails, a copy that was cut, an editor. They are no proof
against a sender, who can compute them too.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from sparsetune.errors import StudyDirectoryError

SEAL_PATTERN = re.compile(rb',"line":([1-9]\d{0,11}),"checksum":"([0-9a-f]{8})"}\Z')
CHECKSUM_BYTES = len(b'01234567"}')
"""Bytes of a sealed line that its checksum does not cover: the digits, and what closes the line."""
SEAL_KEYS = ("line", "checksum")
"""Keys of a sealed line that are none of its record's."""


class DamageError(StudyDirectoryError):
    """A line that is not as it was written.

    Args:
        number: Number of the line, from 1, counted over all files that it belongs to.
        where: File and line, for messages.
        reason: What is wrong, a clause.
    """

    def __init__(self, number: int, where: str, reason: str) -> None:
        self.number = number
        self.where = where
        self.reason = reason
        super().__init__(f"{where} is damaged: {reason}")


@dataclass(frozen=True)
class Chain:
    """Lines so far: what the next line continues.

    Args:
        lines: Their number.
        checksum: CRC-32 of their bytes, line feeds included.
    """

    lines: int = 0
    checksum: int = 0

    def followed_by(self, data: bytes, lines: int) -> Chain:
        """The chain after whole lines, as they are."""
        return Chain(self.lines + lines, zlib.crc32(data, self.checksum))

    @property
    def digits(self) -> str:
        """The checksum as eight hexadecimal digits."""
        return f"{self.checksum:08x}"


def seal_lines(lines: Sequence[bytes], chain: Chain) -> tuple[bytes, Chain]:
    """Sealed lines as one text, and the chain after them.

    Args:
        lines: JSON objects with at least one key, each in one line with its line feed.
        chain: The lines before them.
    """
    sealed = []
    for line in lines:
        head = line[:-2] + b',"line":%d,"checksum":"' % (chain.lines + 1)
        checksum = zlib.crc32(head, chain.checksum)
        whole = head + b'%08x"}\n' % checksum
        sealed.append(whole)
        chain = Chain(chain.lines + 1, zlib.crc32(whole[len(head) :], checksum))
    return b"".join(sealed), chain


def unsealed(line: bytes) -> bytes:
    """The line, without its line feed, as it was before it was sealed."""
    return SEAL_PATTERN.sub(b"}", line)


def looks_sealed(data: bytes) -> bool:
    """True if any line of a text has, or seems to have had, a number or a checksum."""
    return b'"checksum":' in data or b',"line":' in data


def find_damage(data: bytes, chain: Chain, after: Chain) -> tuple[int, str] | None:
    """The first sealed line that is not as it was written; None where all are.

    Args:
        data: Whole lines with their line feeds, all of them sealed.
        chain: The lines before them.
        after: ``chain`` followed by them as they are.

    Returns:
        Index of the line in ``data``, from 0, and what is wrong, a clause.
    """
    last_start = data.rfind(b"\n", 0, -1) + 1
    last = SEAL_PATTERN.search(data[last_start:-1])
    if last and int(last[1]) == after.lines:
        # A checksum continues the ones before it: the last one proves all lines.
        end = data[-CHECKSUM_BYTES - 1 :]
        if zlib.crc32(end, int(last[2], 16)) == after.checksum:
            return None
    return _first_damage(data.split(b"\n")[:-1], chain)


def _first_damage(lines: Sequence[bytes], chain: Chain) -> tuple[int, str] | None:
    for index, line in enumerate(lines):
        reason = _line_damage(line, chain)
        if reason:
            return index, reason
        chain = chain.followed_by(line + b"\n", 1)
    return None


def _line_damage(line: bytes, chain: Chain) -> str | None:
    """What is wrong with one sealed line, a clause; None where nothing is."""
    seal = SEAL_PATTERN.search(line)
    if seal is None:
        return "it must end with its number and its checksum, and does not"
    if int(seal[1]) != chain.lines + 1:
        found = f"it is numbered {int(seal[1])}, where {chain.lines + 1} must follow"
        return f"{found}: lines are missing, doubled or in another order"
    if zlib.crc32(line[:-CHECKSUM_BYTES], chain.checksum) != int(seal[2], 16):
        return "its checksum does not fit its text and the lines before it"
    return None
