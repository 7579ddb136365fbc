"""A sparse training as a plain trainable of Ray Tune, for any of its schedulers and searchers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsetune.errors import SparsetuneError
from sparsetune.integrations.configured import (
    TableRow,
    configured,
    distinct_rows,
    field_columns,
)
from sparsetune.integrations.lineage import LINEAGE_METRIC, Lineage, read_lineage, under_recipe
from sparsetune.spec import TrialSpec
from sparsetune.spec.columns import MEASURED_COLUMNS, PROGRESS_COLUMNS

if TYPE_CHECKING:
    from sparsetune.train.checkpoint import Checkpoint, Row

MEASURED_NAMES = tuple(column.name for column in (*PROGRESS_COLUMNS, *MEASURED_COLUMNS))
"""Columns of an evaluation; those of a user's own metrics begin with ``val_``."""


@dataclass(frozen=True)
class _Settings:
    """Arguments of `ray_trainable`."""

    device: str
    threads: int
    read_test: bool
    data_root: Path | None


def ray_trainable(
    base: TrialSpec,
    *,
    device: str = "cpu",
    threads: int = 1,
    read_test: bool = False,
    data_root: Path | None = None,
) -> Callable[[dict[str, Any]], None]:
    """Trainable for `ray.tune.Tuner` that trains the base with the values of Tune's configuration.

    It reports the row of every evaluation (`sparsetune.spec.columns`: ``val_error``, ``epoch``,
    ``at_target`` …), each with a checkpoint. A trial that Tune restores continues exactly. One that
    gets another trial's checkpoint, as in population-based training, continues that network under
    its own recipe from that step on; `sparsetune.integrations.lineage.CHANGEABLE_FIELDS` may
    differ. After the last evaluation, the result also has ``status``, ``certified`` and, if asked
    for, the test columns.

    Args:
        base: The declaration that configurations vary. A configuration maps dotted fields to
            values: ``{"optim.lr": tune.loguniform(0.01, 1)}``.
        device: As torch names it: ``cuda`` where `ray.tune.with_resources` gives each trial a GPU.
        threads: CPU threads of torch in a worker. Numbers are equal for equal threads only.
        read_test: Measure the test split at the end of each training.
        data_root: Folder that data sets lie in; it must be there on every node.

    Raises:
        DeclarationError: if the base cannot run.
    """
    base = base.checked()
    settings = _Settings(device, threads, read_test, data_root)

    def sparse_training(config: dict[str, Any]) -> None:
        _train_in_tune(configured(base, config), settings)

    return sparse_training


def _train_in_tune(spec: TrialSpec, settings: _Settings) -> None:
    """Train or continue the trial of the Tune worker that this runs in.

    Raises:
        SparsetuneError: if the final weights do not have the sparsity asked for.
    """
    import torch

    from sparsetune.integrations.tune_checkpoints import TuneCheckpoints
    from sparsetune.train import train

    torch.set_num_threads(settings.threads)
    lineage, checkpoint = _restored(spec, settings.data_root)
    checkpoints = TuneCheckpoints(lineage, checkpoint)
    final = train(
        lineage.spec,
        report=checkpoints.add_row,
        resume_from=checkpoint,
        read_test=settings.read_test,
        checkpoints=checkpoints,
        data_root=settings.data_root,
        device=settings.device,
    )
    if final.status == "INVALID":
        rule = "the final weights must have the sparsity asked for"
        raise SparsetuneError(f"{rule}, got: {final.error}")
    checkpoints.send({"status": final.status, "certified": final.certified, **final.test})


def _restored(spec: TrialSpec, data_root: Path | None) -> tuple[Lineage, Checkpoint | None]:
    """The training so far, and the checkpoint that Tune gives to continue it; None for none."""
    from ray import tune

    given = tune.get_checkpoint()
    if given is None:
        return Lineage.of(spec), None
    with given.as_directory() as folder:
        before, checkpoint = read_lineage(Path(folder))
    # A recipe that comes after the last step trains nothing, and is no part of the lineage.
    has_ended = checkpoint.reports[-1]["progress"] == 1
    lineage = before if has_ended else before.continued(spec, checkpoint.step)
    return lineage, under_recipe(checkpoint, before.spec, lineage.spec, data_root)


def tune_rows(results: Iterable[Any]) -> list[TableRow]:
    """Rows of a Ray Tune experiment over `ray_trainable`: one per trial and evaluation.

    ``load_table(pandas.DataFrame(tune_rows(grid)))`` reads them. The history is that of a trial's
    last network: where population-based training took another trial's network over, it begins with
    that trial's evaluations, the dotted fields are those of the last recipe, and
    ``recipe_changes`` says what changed when; it has no ``seed``, since a recipe and a seed do not
    tell how it came about. A trial that reported nothing has no row, and of trainings that are
    equal one stays.

    Args:
        results: The `ray.tune.ResultGrid`, or some of its results.
    """
    reported = [result for result in results if LINEAGE_METRIC in (result.metrics or {})]
    return distinct_rows(_named_rows(result) for result in reported)


def _named_rows(result: Any) -> tuple[str, list[TableRow]]:
    """Name of a trial's lineage, and a row for each evaluation of its last network."""
    metrics = result.metrics
    lineage = Lineage.from_json(metrics[LINEAGE_METRIC])
    reports: list[Row] = []
    ended = True
    if result.checkpoint:
        with result.checkpoint.as_directory() as folder:
            newest, checkpoint = read_lineage(Path(folder))
        # A trial may end between taking another's network over and its first evaluation of it.
        ended = newest.digest() == lineage.digest()
        lineage = newest
        reports = checkpoint.reports
    if ended and (not reports or metrics["step"] > reports[-1]["step"]):
        # The evaluation at which a training diverges has no checkpoint.
        reports = [*reports, _evaluation(metrics)]
    ending = _ending(metrics) if ended else {}
    status = ending.pop("status", "PRUNED")
    shared: TableRow = {
        **field_columns(lineage.spec),
        "trial_id": metrics["trial_id"],
        "status": "FAILED" if result.error else status,
        "recipe_changes": lineage.changes(),
    }
    if len(lineage.segments) > 1:
        shared["seed"] = None
    rows: list[TableRow] = [{**shared, **row} for row in reports]
    rows[-1] |= ending
    return lineage.digest(), rows


def _evaluation(metrics: Mapping[str, Any]) -> Row:
    """Columns of the evaluation that a result of Tune reports."""
    return {
        name: value
        for name, value in metrics.items()
        if name in MEASURED_NAMES or name.startswith("val_")
    }


def _ending(metrics: Mapping[str, Any]) -> TableRow:
    """Columns that only the end of a training gives; empty before it."""
    return {
        name: value
        for name, value in metrics.items()
        if name in ("status", "certified") or name.startswith("test_")
    }
