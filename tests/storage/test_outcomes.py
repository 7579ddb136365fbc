"""The file of a trial's outcomes: what it holds, its size, and files from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from sparsetune.errors import StorageError, StudyDirectoryError
from sparsetune.storage.trial_files import OUTCOMES_FILE, AttemptFiles, attempt, file_digests
from sparsetune.storage.trial_files.outcomes import (
    FACTS_KEY,
    Outcomes,
    decode_outcomes,
    encode_outcomes,
)

RIGHT = np.array([True, False, True, True, False, False, True, True, True])
FOUND = Outcomes(
    9,
    accuracy=RIGHT,
    score=np.linspace(-1, 2, 9, dtype=np.float32),
    predicted=np.array([5, 4]),
    labels=np.array([6, 3]),
    learned_nothing=False,
    chance_loss=0.6365,
)
FACTS = {"examples": 9, "score_is_accuracy": False, "learned_nothing": False, "chance_loss": 0.5}


def test_what_was_written_is_read() -> None:
    content = encode_outcomes(FOUND)
    assert load(content)["accuracy"].tolist() == [0b10110011, 0b10000000]
    read = decode_outcomes(content)
    assert read == FOUND
    assert read.accuracy is not None and read.accuracy.tolist() == RIGHT.tolist()
    assert read.majority_share == pytest.approx(2 / 3)
    assert read != Outcomes(9)


@pytest.mark.parametrize(("examples", "most"), [(360, 600), (872, 600), (10_000, 1_800)])
def test_a_file_is_small(examples: int, most: int) -> None:
    counts = np.full(10, examples // 10)
    right = np.arange(examples) % 3 > 0
    found = Outcomes(examples, accuracy=right, predicted=counts, labels=counts)
    assert len(encode_outcomes(found)) < most


def made(facts: Any, **tensors: Any) -> bytes:
    text = facts if isinstance(facts, str) else json.dumps(facts)
    return save(tensors, {FACTS_KEY: text})


BITS = np.packbits(RIGHT)
NUMBERS = np.zeros(9, dtype=np.float32)
HOSTILE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "no safetensors file"),
    "text": (b"not a file at all", "no safetensors file"),
    "pickle": (b"\x80\x04cos\nsystem\n(S'true'\ntR.", "no safetensors file"),
    "a header of 2^60 bytes": ((2**60).to_bytes(8, "little") + b"{}", "no safetensors file"),
    "cut": (encode_outcomes(FOUND)[:-1], "no safetensors file"),
    "no facts": (save({"accuracy": BITS}), "facts"),
    "facts that are a list": (made("[1]"), "facts"),
    "facts that nest": (made("[" * 5_000 + "]" * 5_000), "nested deeper"),
    "no examples": (made({**FACTS, "examples": 0}), "examples"),
    "half an example": (made({**FACTS, "examples": 8.5}), "examples"),
    "true examples": (made({**FACTS, "examples": True}), "examples"),
    "an infinite chance": (made({**FACTS, "chance_loss": "inf"}), "chance_loss"),
    "another truth": (made({**FACTS, "learned_nothing": 1}), "learned_nothing"),
    "too few bits": (made(FACTS, accuracy=BITS[:1]), "a bit for each of 9"),
    "bits for 2^62": (made({**FACTS, "examples": 2**62}, accuracy=BITS), "a bit for each"),
    "bits after the last": (made(FACTS, accuracy=BITS | np.uint8(1)), "after the last"),
    "fractions above 1": (made(FACTS, accuracy=NUMBERS + 2), "in \\[0, 1\\]"),
    "doubles": (made(FACTS, accuracy=NUMBERS.astype(float)), "32 bits"),
    "a table of losses": (made(FACTS, loss=NUMBERS.reshape(3, 3)), "`loss` must be 9 numbers"),
    "a NaN": (made(FACTS, loss=NUMBERS * np.nan), "finite"),
    "more values than examples": (made(FACTS, score=np.zeros(10, np.float32)), "`score`"),
    "counts below 0": (
        made(FACTS, predicted=np.array([-1, 10]), labels=np.array([4, 5])),
        "`predicted` must be a count",
    ),
    "counts of other classes": (
        made(FACTS, predicted=np.array([9]), labels=np.array([4, 5])),
        "the same classes",
    ),
    "counts without labels": (made(FACTS, predicted=np.array([9])), "the same classes"),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_other_files_are_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    content, reason = HOSTILE[name]
    with pytest.raises(ValueError, match=reason):
        decode_outcomes(content)
    (tmp_path / OUTCOMES_FILE).write_bytes(content)
    files = AttemptFiles(tmp_path)
    with pytest.raises(StudyDirectoryError, match=f"{OUTCOMES_FILE}` is damaged: .*{reason}"):
        files.outcomes()
    assert len(files.faults()) == 1


def test_a_file_must_be_the_one_that_was_recorded(tmp_path: Path) -> None:
    assert AttemptFiles(tmp_path).outcomes() is None
    (tmp_path / OUTCOMES_FILE).write_bytes(encode_outcomes(FOUND))
    digests = file_digests(tmp_path)
    assert AttemptFiles(tmp_path, digests).outcomes() == FOUND
    other = encode_outcomes(Outcomes(9, accuracy=~RIGHT))
    (tmp_path / OUTCOMES_FILE).write_bytes(other)
    with pytest.raises(StudyDirectoryError, match="its digest is another"):
        AttemptFiles(tmp_path, digests).outcomes()
    (tmp_path / OUTCOMES_FILE).unlink()
    (fault,) = AttemptFiles(tmp_path, digests).faults()
    assert "is missing" in fault


def test_links_and_large_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").write_bytes(encode_outcomes(FOUND))
    folder = tmp_path / "attempt-1"
    folder.mkdir()
    (folder / OUTCOMES_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError):
        AttemptFiles(folder).outcomes()
    monkeypatch.setattr(attempt, "MAX_OUTCOMES_BYTES", 10)
    (tmp_path / OUTCOMES_FILE).write_bytes(encode_outcomes(FOUND))
    with pytest.raises(StorageError, match="at most 10 bytes"):
        AttemptFiles(tmp_path).outcomes()
