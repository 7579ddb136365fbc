"""Formats that are not read, each with the way out."""

from __future__ import annotations

from sparsetune.errors import DataError

from ..source import Source

_CONVERT = "convert it to CSV or Parquet, or give the frame that pandas makes of it"
_NO_CODE = "it can run code when it is opened, and is never read: write the runs as CSV or JSON"
_SIGNATURES = {
    b"\xff\xfe": ("UTF-16 text", "save it as UTF-8"),
    b"\xfe\xff": ("UTF-16 text", "save it as UTF-8"),
    b"\x80\x02": ("a pickle", _NO_CODE),
    b"\x80\x03": ("a pickle", _NO_CODE),
    b"\x80\x04": ("a pickle", _NO_CODE),
    b"\x80\x05": ("a pickle", _NO_CODE),
    b"\x89HDF": ("HDF5", _CONVERT),
    b"\x93NUMPY": ("a NumPy array", _CONVERT),
    b"ARROW1": ("Feather", "give the frame of `pandas.read_feather`"),
    b"BZh": ("bzip2", "unpack it first"),
    b"\xfd7zXZ": ("xz", "unpack it first"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unpack it first"),
    b"%PDF": ("a PDF", "write its table as CSV"),
    b"<!": ("HTML or XML", "save the table itself as CSV"),
    b"<html": ("HTML", "save the table itself as CSV"),
    b"<?xml": ("XML", "save the table itself as CSV"),
}
"""What a file with these first bytes is, and the way out."""


def refuse_known(source: Source) -> None:
    """Refuse a file of a format that is known and not read.

    Raises:
        DataError: naming the format and what to do instead.
    """
    for signature, (kind, advice) in _SIGNATURES.items():
        if source.head.startswith(signature):
            raise DataError(f"`{source.name}` must be a table of runs, got {kind}: {advice}")
