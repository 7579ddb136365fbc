"""Small files that an attempt of a trial leaves, with their digests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sparsetune.errors import SparsetuneError, StudyDirectoryError
from sparsetune.paths import Place, list_names, read_content
from sparsetune.storage.checks import MAX_JSON_BYTES, is_count, is_number, parse_json
from sparsetune.storage.directory import StudyDirectory
from sparsetune.storage.trial_files.outcomes import MAX_OUTCOMES_BYTES, Outcomes, decode_outcomes
from sparsetune.storage.trial_state import TrialState

MODEL_FILE = "model.safetensors"
MASKS_FILE = "masks.safetensors"
CERTIFICATE_FILE = "certificate.json"
STRUCTURE_FILE = "structure.json"
OUTCOMES_FILE = "outcomes.safetensors"
RECORDED_FILES = (MODEL_FILE, MASKS_FILE, CERTIFICATE_FILE, STRUCTURE_FILE, OUTCOMES_FILE)
"""Files of an attempt whose digests stand in the end of its trial."""
MAX_TENSOR_FILE_BYTES = 64 * 2**30
"""Largest model or mask file that is read; it is held in memory twice."""


def file_digests(folder: Place) -> dict[str, str]:
    """SHA-256 of each of `RECORDED_FILES` that an attempt left, by name, in hexadecimal digits.

    Raises:
        StorageError: if one cannot be read.
    """
    contents = {name: read_content(folder / name) for name in RECORDED_FILES}
    return {
        name: hashlib.sha256(content).hexdigest()
        for name, content in contents.items()
        if content is not None
    }


@dataclass(frozen=True)
class AttemptFiles:
    """Files that an attempt left in its folder, read only as its trial recorded them.

    Args:
        folder: The attempt's folder.
        digests: Digests of the files by name, as `file_digests` returns them; empty where an older
            version recorded none.
    """

    folder: Place
    digests: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, home: StudyDirectory, trial_id: str, state: TrialState) -> AttemptFiles:
        """Files of a trial's last attempt."""
        ended = state.ended
        attempt = ended.attempt if ended else state.attempts
        return cls(home.attempt(trial_id, attempt), ended.files if ended else {})

    def read(self, name: str, limit: int = MAX_TENSOR_FILE_BYTES) -> bytes | None:
        """Content of a file; None where there is none.

        Raises:
            StudyDirectoryError: if it is not the one that the trial recorded.
            StorageError: if it cannot be read, or is larger than ``limit`` bytes.
        """
        content = read_content(self.folder / name, limit)
        recorded = self.digests.get(name)
        if content is None or recorded is None:
            return content
        if hashlib.sha256(content).hexdigest() != recorded:
            raise StudyDirectoryError(
                f"`{self.folder / name}` is not the file that its trial recorded: its digest is"
                " another; copy it again"
            )
        return content

    def certificate(self) -> dict[str, Any] | None:
        """The certificate, with ``name weights kept zeros`` of each of its layers; None without.

        Raises:
            StudyDirectoryError: if it is damaged.
            StorageError: if it cannot be read.
        """
        values = self._read_json(CERTIFICATE_FILE)
        if values is None or values == {}:
            return None
        layers = values.get("layers") if isinstance(values, dict) else None
        if not isinstance(layers, list) or not all(map(_is_layer, layers)):
            raise self._damage(CERTIFICATE_FILE, "it must have `layers` with their counts")
        account = values.get("account", [])
        if not isinstance(account, list) or not all(map(_is_account_row, account)):
            raise self._damage(CERTIFICATE_FILE, "its `account` must list parameters with a status")
        certificate: dict[str, Any] = values
        return certificate

    def structure(self) -> list[dict[str, Any]] | None:
        """Records of the trial's masks, oldest first; None where there are none.

        Raises:
            StudyDirectoryError: if they are damaged.
            StorageError: if they cannot be read.
        """
        values = self._read_json(STRUCTURE_FILE)
        if values is None:
            return None
        if not isinstance(values, list) or not all(map(_is_mask_row, values)):
            raise self._damage(STRUCTURE_FILE, "it must be a list of masks with their measures")
        return values

    def outcomes(self) -> Outcomes | None:
        """Outcomes of the trial on each test example; None where there are none.

        Raises:
            StudyDirectoryError: if they are damaged.
            StorageError: if they cannot be read.
        """
        content = self.read(OUTCOMES_FILE, MAX_OUTCOMES_BYTES)
        try:
            return None if content is None else decode_outcomes(content)
        except ValueError as error:
            raise self._damage(OUTCOMES_FILE, str(error)) from error

    def faults(self) -> list[str]:
        """What is wrong with the files that a report reads, a sentence each; empty if all is well.

        A model is large, and only an export reads it whole.
        """
        present = set(list_names(self.folder)) if self.digests else set()
        # A model may have been deleted: `clean` does, and says what that costs.
        expected = [name for name in self.digests if name != MODEL_FILE]
        found = [
            f"`{self.folder / name}` is missing: its trial left it"
            for name in expected
            if name not in present
        ]
        readers: list[Callable[[], object]] = [
            self.certificate,
            self.structure,
            self.outcomes,
            lambda: self.read(MASKS_FILE),
        ]
        for read in readers:
            try:
                read()
            except SparsetuneError as error:
                found.append(str(error))
        return found

    def _read_json(self, name: str) -> Any:
        text = self.read(name, MAX_JSON_BYTES)
        try:
            return None if text is None else parse_json(text)
        except ValueError as error:
            raise self._damage(name, str(error)) from error

    def _damage(self, name: str, reason: str) -> StudyDirectoryError:
        return StudyDirectoryError(f"`{self.folder / name}` is damaged: {reason}")


Content = TypeVar("Content")


def if_whole(read: Callable[[], Content | None]) -> Content | None:
    """What a reading of one file gives; None where the file cannot be read or is damaged.

    For readers that can go without: a check of the report names such files.
    """
    with suppress(SparsetuneError):
        return read()
    return None


def _is_layer(layer: Any) -> bool:
    if not isinstance(layer, dict) or not isinstance(layer.get("name"), str):
        return False
    weights = layer.get("weights")
    counts = [layer.get("kept"), layer.get("zeros", 0)]
    return is_count(weights) and weights > 0 and all(is_count(n) and n <= weights for n in counts)


def _is_account_row(row: Any) -> bool:
    if not isinstance(row, dict) or not isinstance(row.get("shape"), list):
        return False
    words = [row.get(name) for name in ("name", "status", "reason")]
    return all(isinstance(word, str) for word in words) and all(map(is_count, row["shape"]))


def _is_mask_row(row: Any) -> bool:
    if not isinstance(row, dict) or not is_count(row.get("step")):
        return False
    overlaps = [row.get(name) for name in ("iou_previous", "iou_final")]
    shares = [row.get("sparsity"), *(value for value in overlaps if value is not None)]
    return isinstance(row.get("phase"), str) and all(
        is_number(value) and 0 <= value <= 1 for value in shares
    )
