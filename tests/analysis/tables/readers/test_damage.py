"""Files that were damaged anywhere end in results or in a sentence, never in a traceback."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages.journal import JournalFileBackend, JournalStorage

from analysis.tables.readers import read_path
from sparsetune.errors import SparsetuneError
from tests.analysis.tables.readers.artefacts import (
    RUNS,
    SPARSEML_LOG,
    optuna_study,
    ray_experiment,
    syne_tune_results,
    trainer_state,
    wandb_log,
    wandb_records,
    workbook,
)

MUTATIONS = 25


def event_file(folder: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(folder) as writer:
        writer.add_scalar("val/acc", 0.5, 1)
        writer.add_hparams({"lr": 0.25}, {"final": 0.5}, run_name=".")


ARTEFACTS: dict[str, Callable[[Path], Any]] = {
    "CSV": lambda folder: RUNS.to_csv(folder / "runs.csv", index=False),
    "Parquet": lambda folder: RUNS.to_parquet(folder / "runs.parquet"),
    "JSON": lambda folder: RUNS.to_json(folder / "runs.json"),
    "workbook": lambda folder: workbook(
        folder / "runs.xlsx", {"a": [list(RUNS), *RUNS.astype(object).to_numpy().tolist()]}
    ),
    "SQLite": lambda folder: optuna_study(f"sqlite:///{folder / 'o.db'}"),
    "journal": lambda folder: optuna_study(
        JournalStorage(JournalFileBackend(str(folder / "o.log")))
    ),
    "Weights & Biases": lambda folder: wandb_log(folder / "run-a.wandb", wandb_records("a", 30)),
    "Ray Tune": lambda folder: ray_experiment(folder),
    "Syne Tune": lambda folder: syne_tune_results(folder),
    "trainer": lambda folder: trainer_state(folder, 3),
    "TensorBoard": event_file,
    "SparseML": lambda folder: (folder / "a.log").write_text(SPARSEML_LOG),
}


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    """The bytes cut, with some changed, or with a part doubled."""
    place = int(random.integers(len(data)))
    match int(random.integers(3)):
        case 0:
            return data[:place]
        case 1:
            changed = bytearray(data)
            for spot in random.integers(len(data), size=8):
                changed[spot] = int(random.integers(256))
            return bytes(changed)
        case _:
            return data[:place] + data[place // 2 :]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ARTEFACTS)
def test_damage_anywhere_is_no_traceback(kind: str, tmp_path: Path) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    ARTEFACTS[kind](tmp_path)
    files = [path for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    files = [path for path in files if path.suffix not in (".pkl", ".dill")]
    files = [path for path in files if path.stat().st_size]
    random = np.random.default_rng(0)
    whole = {path: path.read_bytes() for path in files}
    refused = 0
    for _ in range(MUTATIONS):
        path = files[int(random.integers(len(files)))]
        path.write_bytes(damaged(whole[path], random))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for source in (tmp_path, path):
                try:
                    reading = read_path(source)
                    assert reading.recognised and len(reading.frame.columns)
                except SparsetuneError as error:
                    assert "\n" not in str(error)
                    refused += 1
        path.write_bytes(whole[path])
    assert refused > 0
    assert {path for path in tmp_path.rglob("*") if path.is_file()} >= set(files)
