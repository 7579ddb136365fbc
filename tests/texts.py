"""Small sets of sentences in GLUE's layout, whose labels follow a rule and can be learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sparsetune.spec.task import TextTask

GOOD = ("fine", "warm", "bright", "clever")
BAD = ("dull", "cold", "clumsy", "tired")
FILLERS = ("film", "plot", "cast", "scene", "music", "story", "ending", "joke", "line", "face")


def write_sst2(folder: Path, train: int = 240, dev: int = 60, seed: int = 0) -> Path:
    """Write ``train.tsv`` and ``dev.tsv``: sentences of 3 to 14 words, one for the label."""
    rng = np.random.RandomState(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("train", train), ("dev", dev)):
        lines = ["sentence\tlabel"]
        for _ in range(rows):
            label = rng.randint(2)
            words = [*rng.choice(FILLERS, rng.randint(2, 14)), rng.choice(GOOD if label else BAD)]
            rng.shuffle(words)
            lines.append(f"{' '.join(words)} \t{label}")
        (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    return folder


def text_task(folder: Path, **given: Any) -> TextTask:
    """Task on files of `write_sst2`, with the smallest encoder."""
    sizes: dict[str, Any] = {
        "train_examples": 160,
        "validation": 40,
        "batch_size": 16,
        "max_length": 16,
    }
    return TextTask(
        **{"dataset": "sst2", "folder": str(folder), "model": "bert_tiny", **sizes, **given}
    )
