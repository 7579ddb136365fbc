"""Storages of Optuna, SQLite and journal files, through Optuna itself and for reading only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pandas as pd

from sparsetune.errors import DataError

from ....catalogue import write
from ..reading import Reader, Reading
from ..source import Source
from ..sqlite import SIGNATURE, open_read_only, table_names

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import StudySummary

_TABLES = {"studies", "trials", "trial_params"}
_COLUMNS = {"trial_id": "trial", "status": "state", "seconds": "seconds"}


def is_journal(source: Source) -> bool:
    """True for a journal file, each line of which is an operation."""
    first = source.head.split(b"\n", 1)[0]
    return first.startswith(b"{") and b'"op_code"' in first and b'"worker_id"' in first


def is_storage(source: Source) -> bool:
    """True for a journal file or a database with Optuna's tables."""
    if source.head.startswith(SIGNATURE):
        return set(table_names(source.path)) >= _TABLES
    return is_journal(source)


def read_storage(source: Source) -> Reading:
    """Trials of every study, as `trials_dataframe` gives them.

    Raises:
        DataError: if the storage has no study, or was written by another version of Optuna.
    """
    import optuna

    with _open_storage(source) as storage:
        summaries = optuna.get_all_study_summaries(storage)
        frames: list[pd.DataFrame] = []
        for summary in summaries:
            study = optuna.load_study(study_name=summary.study_name, storage=storage)
            frame = study.trials_dataframe().assign(study_name=summary.study_name)
            frames.append(frame.assign(reports=[len(t.intermediate_values) for t in study.trials]))
    if not frames:
        raise DataError(f"`{source.name}` must hold at least one study of Optuna, got none")
    trials = pd.concat([frame for frame in frames if len(frame)] or frames, ignore_index=True)
    notes = []
    if trials["reports"].any():
        notes.append(str(write("reading_reports")))
    kind = "journal" if is_journal(source) else "SQLite"
    recognised = f"an Optuna storage ({kind}) with {_described(summaries)}"
    frame = _with_columns(trials.drop(columns="reports"), len(frames))
    return Reading(frame, source.stem, recognised, _COLUMNS, tuple(notes))


@contextmanager
def _open_storage(source: Source) -> Iterator[BaseStorage]:
    import optuna
    from sqlalchemy.pool import StaticPool

    if is_journal(source):
        from optuna.storages.journal import JournalFileBackend, JournalStorage

        # Its backend locks the file only to write.
        yield JournalStorage(JournalFileBackend(str(source.path)))
        return
    with open_read_only(source.path) as connection:
        # Neither tables are made nor is the schema brought up to date.
        storage = optuna.storages.RDBStorage(
            "sqlite://",
            engine_kwargs={"creator": lambda: connection, "poolclass": StaticPool},
            skip_compatibility_check=True,
            skip_table_creation=True,
        )
        try:
            yield storage
        except Exception as error:
            raise DataError(
                f"`{source.name}` is damaged, or was written by another version of Optuna: run"
                " `optuna storage upgrade` on a copy and give that"
            ) from error
        finally:
            storage.remove_session()
            storage.engine.dispose()


def _described(summaries: list[StudySummary]) -> str:
    """Studies in words: their names, and what each one optimises."""
    parts: list[str] = []
    for summary in summaries[:3]:
        directions = " and ".join(one.name.lower() for one in summary.directions)
        goal = "value" if len(summary.directions) == 1 else "values"
        trials = f"{summary.n_trials} trial{'' if summary.n_trials == 1 else 's'}"
        parts.append(f"`{summary.study_name}` ({trials}, {goal} to {directions})")
    more = f" and {len(summaries) - 3} more" if len(summaries) > 3 else ""
    return f"{', '.join(parts)}{more}"


def _with_columns(frame: pd.DataFrame, n_studies: int) -> pd.DataFrame:
    """Trials with ``trial``, their id among all studies, and ``seconds``."""
    number = frame["number"].astype("str") if len(frame) else pd.Series(dtype="str")
    if n_studies > 1:
        number = frame["study_name"] + "/" + number
    frame = frame.assign(trial=number)
    if "duration" in frame:
        duration = pd.to_timedelta(frame["duration"])
        frame = frame.assign(seconds=duration.dt.total_seconds())
    return frame


OPTUNA = Reader("an Optuna storage", is_storage, read_storage)
