"""Texts of a data set that the library `datasets` reads."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sparsetune.errors import DataError
from sparsetune.spec.task import DataSizes, TextTask
from sparsetune.tasks.data_roots import given_root
from sparsetune.tasks.hf.labels import read_classes
from sparsetune.tasks.hf.reading import HubSource, require_columns
from sparsetune.tasks.text.glue import Sentences


@dataclass(frozen=True)
class HubTexts:
    """Texts and classes that a task names.

    Args:
        source: Data set and splits.
        text: Column of the texts, or the two columns of pairs.
        label: Column of the classes.
    """

    source: HubSource
    text: tuple[str, ...]
    label: str

    @classmethod
    def of(cls, task: TextTask) -> HubTexts:
        """Texts of a task."""
        return cls(HubSource.of(task), task.text, task.label)

    def read(self, data_root: Path | None) -> dict[str, Sentences]:
        """Texts of ``train`` and ``test``.

        Raises:
            DataError: if they are missing, or a text or a label is.
        """
        return _read_texts(self, given_root(data_root))[0]

    def digest(self, data_root: Path | None) -> str:
        """Twelve hexadecimal digits that name every text and class."""
        return _texts_digest(self, given_root(data_root))

    def sizes(self, task: TextTask, data_root: Path | None) -> DataSizes:
        """Sizes of the texts.

        Raises:
            DataError: if they are missing, or a text or a label is.
        """
        sets, names = _read_texts(self, given_root(data_root))
        data, options = task.size_source()
        sizes: DataSizes = DataSizes(
            data=data,
            options=dict(options),
            train=len(sets["train"]),
            test=len(sets["test"]),
            n_outputs=len(names),
            classes=len(names),
            class_names=names,
            fingerprint=self.digest(data_root),
        )
        return sizes.checked()


def require_same_size(task: TextTask, rows: int) -> None:
    """Refuse another number of training texts than the study was launched with.

    Raises:
        DataError: saying both numbers.
    """
    known = task.sizes().train
    if rows != known:
        raise DataError(
            f"`{task.dataset}` must give the {known:,} training texts that the study was launched"
            f" with, got {rows:,}; put them back, or start another study (--name)"
        )


# One, since texts may take much memory, and tokens are kept instead.
@lru_cache(maxsize=1)
def _read_texts(
    texts: HubTexts, data_root: Path | None
) -> tuple[dict[str, Sentences], tuple[str, ...]]:
    """Texts and classes of ``train`` and ``test``, and names of the classes."""
    source = texts.source
    sets = source.open_splits(data_root)
    columns = [("task.text", name) for name in texts.text]
    for rows in sets.values():
        require_columns(source, rows, *columns, ("task.label", texts.label))
    classes = read_classes(source, sets, texts.label)
    read: dict[str, Sentences] = {}
    for split, rows in sets.items():
        columns_read = [_text_column(source, split, rows, name) for name in texts.text]
        second = columns_read[1] if len(columns_read) == 2 else None
        read[split] = Sentences(columns_read[0], second, classes.numbers[split])
    return read, classes.names


@lru_cache(maxsize=8)
def _texts_digest(texts: HubTexts, data_root: Path | None) -> str:
    digest = hashlib.sha256()
    sets: Mapping[str, Sentences] = texts.read(data_root)
    for split in ("train", "test"):
        sentences = sets[split]
        for text in (*sentences.first, *(sentences.second or ())):
            encoded = text.encode("utf-8", "surrogatepass")
            # With its length, so that no two lists of texts are the same bytes.
            digest.update(len(encoded).to_bytes(8, "little") + encoded)
        digest.update(sentences.labels.tobytes())
    return digest.hexdigest()[:12]


def forget_texts() -> None:
    """Free the memory of texts that were read."""
    _read_texts.cache_clear()
    _texts_digest.cache_clear()


def _text_column(source: HubSource, split: str, rows: Any, column: str) -> list[str]:
    """Texts of a column.

    Raises:
        DataError: naming the row of a text that is missing, or no string.
    """
    texts = list(rows[column])
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            got = "none" if text is None else repr(text)
            place = f"`{source.dataset}`, `{split}`, row {row}, `{column}`"
            raise DataError(f"{place}: a text must be a string, got {got}")
    return texts
