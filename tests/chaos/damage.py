"""Ways of damage to a study's directory, as disks, copies and editors do it; each by its seed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# One function for each way of damage: new bytes of a file from its own.


def flip(data: bytes, luck: random.Random) -> bytes:
    """One bit is another."""
    if not data:
        return b"\x01"
    changed = bytearray(data)
    changed[luck.randrange(len(data))] ^= 1 << luck.randrange(8)
    return bytes(changed)


def cut(data: bytes, luck: random.Random) -> bytes:
    """The end is missing."""
    return data[: luck.randrange(len(data))] if data else data


def hole(data: bytes, luck: random.Random) -> bytes:
    """A block is zero, as a disk that lost power leaves it."""
    start = luck.randrange(max(1, len(data)))
    size = min(len(data) - start, luck.randrange(1, 513))
    return data[:start] + bytes(size) + data[start + size :]


def drop(data: bytes, luck: random.Random) -> bytes:
    """A line is missing."""
    lines = data.splitlines(keepends=True)
    if lines:
        del lines[luck.randrange(len(lines))]
    return b"".join(lines)


def swap(data: bytes, luck: random.Random) -> bytes:
    """Two lines are in each other's place."""
    lines = data.splitlines(keepends=True)
    if len(lines) > 1:
        a, b = luck.sample(range(len(lines)), 2)
        lines[a], lines[b] = lines[b], lines[a]
    return b"".join(lines)


def double(data: bytes, luck: random.Random) -> bytes:
    """A line is there twice."""
    lines = data.splitlines(keepends=True)
    if lines:
        lines.insert(luck.randrange(len(lines) + 1), luck.choice(lines))
    return b"".join(lines)


WRONG_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 7.5, 1e400, 10**30, "0.99", "", "\ud800", "../x", [], {}, [[]]),
    *(float("nan"), "GREAT", {"a": {"b": []}}),
)


def retype(data: bytes, luck: random.Random) -> bytes:
    """A value of a JSON object in it is of another type or out of its range."""
    lines = data.splitlines(keepends=True)
    for _ in range(8):
        number = luck.randrange(max(1, len(lines)))
        text = data if luck.random() < 0.3 or not lines else lines[number]
        try:
            values = json.loads(text)
        except ValueError:
            continue
        if isinstance(values, dict) and values:
            values[luck.choice(list(values))] = luck.choice(WRONG_VALUES)
            made = json.dumps(values, separators=(",", ":")).encode() + b"\n"
            if text is data:
                return made
            lines[number] = made
            return b"".join(lines)
    return flip(data, luck)


def nest(data: bytes, luck: random.Random) -> bytes:
    """A line of thousands of brackets, open or closed, alone or within an object."""
    depth = luck.choice((50, 3_000, 100_000))
    inner = b"[" * depth + b"]" * (depth * luck.randrange(2))
    line = luck.choice((b"%s", b'{"type":"report","a":%s}', b'{"type":"note","a":%s}')) % inner
    lines = data.splitlines(keepends=True)
    lines.insert(luck.randrange(len(lines) + 1), line + b"\n")
    return b"".join(lines)


def pad(data: bytes, luck: random.Random) -> bytes:
    """Something stands before or after it: a byte order mark, spaces, line ends, other bytes."""
    extra = luck.choice((b"\xef\xbb\xbf", b" ", b"\n", b"\r\n", b"\x00" * 64, b"\xff\xfe", b"{}\n"))
    return extra + data if luck.random() < 0.5 else data + extra


def empty(data: bytes, luck: random.Random) -> bytes:
    """Nothing is left."""
    return b""


WAYS: Sequence[Callable[[bytes, random.Random], bytes]] = (
    *(flip, flip, flip, flip, cut, cut, hole, drop, swap, double, retype, retype, nest, pad, empty),
)
"""Ways of damage; those that are frequent in life are there more than once."""


def damage(path: Path, seed: int) -> str:
    """Damage one file of a study in one way; returns which and how."""
    luck = random.Random(seed)
    files = sorted(one for one in path.rglob("*") if one.is_file())
    # Half of all damage is in the ledger and the declaration, which have the numbers.
    core = [one for one in files if one.parent == path or one.parent.name == "ledger"]
    file = luck.choice(core if luck.random() < 0.6 else files)
    name = str(file.relative_to(path))
    if luck.random() < 0.03:
        file.unlink()
        return f"{name}: gone"
    way = luck.choice(WAYS)
    before = file.read_bytes()
    after = way(before, luck)
    file.write_bytes(after)
    return f"{name}: {way.__name__}" + (" (unchanged)" if after == before else "")
