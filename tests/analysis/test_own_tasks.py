"""Studies of a user's own task: values have the task's units, and what it has not is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import analysis
from analysis.estimates.means import absent_quantities
from analysis.lengths.exhibits import extension_exhibits, needed_exhibits, verdict_exhibits
from analysis.measure import MarginError
from analysis.page.network_names import NetworkNames
from analysis.page.study_tables import main_table_columns, trials_table
from sparsetune.errors import SparsetuneError
from sparsetune.spec import TrialSpec
from sparsetune.spec.task import CustomTask, DataSizes, MetricSpec
from sparsetune.study import Arm, Study
from sparsetune.study.space import LogUniform
from tests.analysis.simulation import Simulation

SIZES: DataSizes = DataSizes(data="lab.data:load", train=1_000, test=200, n_outputs=1)
FALLING = MetricSpec("lab.data:miles", higher_is_better=False)


def study_of(name: str, loss: str, *metrics: str | MetricSpec, **changes: Any) -> Study:
    """A study of an own task, at two sparsities and two lengths, with a small search."""
    task = CustomTask(
        data="lab.data:load",
        model="lab.nets:build",
        loss=loss,
        metrics=metrics,
        resolved=(SIZES,),
    )
    given: dict[str, Any] = {
        "sweep": {"sparsity.target": [0, 0.9], "schedule.epochs": [4, 8]},
        "search": {"optim.lr": LogUniform(0.01, 1.0)},
        "configurations_per_cell": 2,
        "report_seeds": 3,
    }
    given["arms"] = {"gmp": Arm({"sparsity.method": "gmp"})}
    return Study(name=name, base=TrialSpec(task=task), **(given | changes))


class OwnTask(Simulation):
    """Writes a study whose metrics grow with the length of training; targets are no classes."""

    def rows(self, spec: TrialSpec) -> Iterator[Mapping[str, Any]]:
        """The rows of a simulation, measured by the task's own metrics."""
        metrics = spec.task.measured().metrics
        rises = metrics[0].higher_is_better
        for row in super().rows(spec):
            value = row["val_accuracy"]
            own = {f"val_{metric.column}": value for metric in metrics}
            own |= {"val_score": value if rises else -value}
            own |= {"val_error": 1 - value if rises else value}
            absent = dict.fromkeys(("val_accuracy", "val_entropy", "train_entropy"), nan)
            yield {**row, **own, **absent}


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of a regression, by squared error and R²."""
    path = tmp_path_factory.mktemp("own") / "regression"
    return OwnTask(study_of("regression", "mse", "r2", "MeanAbsoluteError"), path).run()


@pytest.fixture(scope="module")
def results(regression: Path) -> analysis.StudyResults:
    """Its results."""
    return analysis.load(regression)


def own_results(tmp_path: Path, loss: str, *metrics: str | MetricSpec) -> analysis.StudyResults:
    """Results of a study of one length without a search."""
    changes = {"sweep": {"sparsity.target": [0, 0.9]}, "search": {}, "configurations_per_cell": 1}
    return analysis.load(OwnTask(study_of("own", loss, *metrics, **changes), tmp_path / "s").run())


@pytest.mark.parametrize(
    ("loss", "label"),
    [
        ("cross_entropy", "Validation loss (nats)"),
        ("bce_with_logits", "Validation loss (nats)"),
        ("mse", "Validation loss (squared error)"),
        ("l1", "Validation loss (absolute error)"),
        ("huber", "Validation loss (Huber)"),
        ("lab.data:loss", "Validation loss"),
    ],
)
def test_a_loss_has_the_unit_of_the_task(tmp_path: Path, loss: str, label: str) -> None:
    found = own_results(tmp_path, loss, "accuracy").measure("val_loss")
    assert (found.label, found.factor, found.direction) == (label, 1, -1)
    assert found.difference_unit == found.unit


@pytest.mark.parametrize(
    ("metric", "score", "error"),
    [
        ("accuracy", "Test score (%)", "Validation error (%)"),
        ("iou", "Test score (%)", "Validation error (%)"),
        ("MultilabelF1Score", "Test score (%)", "Validation error (%)"),
        (
            MetricSpec("lab.data:hits", higher_is_better=True, fraction=True),
            "Test score (%)",
            "Validation error (%)",
        ),
        ("r2", "Test score (R²)", "Validation error (1 - R²)"),
        (MetricSpec("iou", fraction=False), "Test score (IoU)", "Validation error (1 - IoU)"),
        (
            "MeanAbsoluteError",
            "Test score (minus mean absolute error)",
            "Validation error (mean absolute error)",
        ),
        (FALLING, "Test score (minus miles)", "Validation error (miles)"),
        # What is not declared is read from the evaluations.
        ("lab.data:miles", "Test score (minus miles)", "Validation error (miles)"),
    ],
)
def test_a_score_is_in_percent_only_if_it_is_a_fraction(
    tmp_path: Path, metric: str | MetricSpec, score: str, error: str
) -> None:
    found = own_results(tmp_path, "cross_entropy", metric)
    of_score = found.measure("test_score")
    of_error = found.measure("val_error")
    assert (of_score.label, of_error.label) == (score, error)
    assert (of_score.direction, of_error.direction) == (1, -1)
    in_percent = score.endswith("(%)")
    assert of_score.factor == of_error.factor == (100 if in_percent else 1)
    assert of_score.range == of_error.range == ((0, 1) if in_percent else None)
    assert of_score.difference_unit == ("points" if in_percent else "")


def test_a_metric_is_a_measure_of_its_own(results: analysis.StudyResults) -> None:
    absolute = results.measure("test_mean_absolute_error")
    assert (absolute.label, absolute.direction) == ("Test mean absolute error", -1)
    curve = analysis.sparsity_curve(results, "val_r2", "schedule.epochs")
    assert curve.plot().axes[0].get_ylabel() == "Validation R²"
    with pytest.raises(SparsetuneError, match=r"one of .*val_r2.* got `val_r3`"):
        analysis.sparsity_curve(results, "val_r3")
    with pytest.raises(SparsetuneError, match="no finished run has `test_accuracy`; measured were"):
        analysis.sparsity_curve(results)


def test_a_direction_that_nobody_declared_is_asked_for(tmp_path: Path) -> None:
    found = own_results(tmp_path, "mse", "r2", "lab.data:spread")
    assert found.measure("val_spread").higher_is_better is None
    with pytest.raises(SparsetuneError, match=r"more of `val_spread` is better: declare its"):
        analysis.undertraining(found, "val_spread", epsilon=0.1)


def test_figures_and_notes_have_the_unit(results: analysis.StudyResults) -> None:
    loss = analysis.length_curve(results, "train_loss")
    assert loss.plot().axes[0].get_ylabel() == "Training loss (squared error)"
    gap = analysis.sparsity_curve(results, "test_score", "schedule.epochs", gap="twin")
    label = gap.plot().axes[0].get_ylabel()
    assert label == "Test score minus dense network\nof same recipe and seed\n(R²)"
    drawn = analysis.sparsity_curve(results, "test_score", "schedule.epochs").plot()
    heights = np.concatenate([line.get_ydata() for line in drawn.axes[0].lines])
    assert np.nanmax(np.abs(heights)) < 1  # no percent
    luck = analysis.optimism(results)
    assert luck.note().startswith("Shown is the validation error (1 - R²) of each winner.")
    assert "points" not in luck.note()
    points = analysis.references("ResNet50/ImageNet", "STR")
    with pytest.raises(SparsetuneError, match=r"accuracy or score, got `test_score`, R²"):
        analysis.overlay(
            analysis.sparsity_curve(results, "test_score", None, where={"schedule.epochs": 8}),
            points,
        )


def test_a_gain_that_counts_is_asked_for_where_no_size_is_usual(
    results: analysis.StudyResults,
) -> None:
    for judge in (analysis.undertraining, analysis.epochs_needed):
        with pytest.raises(MarginError, match=r"validation score \(R²\).*give `epsilon`"):
            judge(results)
    with pytest.raises(MarginError, match="give `tolerance`"):
        analysis.extension_gain(results, "test_score")
    found = analysis.undertraining(results, epsilon=0.01)
    assert "improves validation score (R²) by more than 0.01 and" in found.note()
    assert "the gain, paired by seed" in found.note()
    reason = found.frame()["reason"][0]
    assert re.match(r"[+-][\d.e-]+ \[[^]]+\] by 8 epochs, 3 seeds", reason)
    assert (
        "of the best validation score (R²)" in analysis.epochs_needed(results, epsilon=0.1).note()
    )
    assert len(analysis.extension_gain(results, "test_score", tolerance=0.1)) == 1


def test_losses_in_nats_are_judged_as_before(tmp_path: Path) -> None:
    found = own_results(tmp_path, "cross_entropy", "accuracy")
    assert analysis.undertraining(found, "val_loss").epsilon == 0.002
    assert "0.002 nats" in found.measure("val_loss").margin_text(0.002)


def test_arms_that_lose_otherwise_have_no_common_unit(tmp_path: Path) -> None:
    arms = {loss: Arm({"task.loss": loss, "sparsity.method": "gmp"}) for loss in ("mse", "l1")}
    study = study_of("mixed", "mse", "r2", arms=arms, search={}, configurations_per_cell=1)
    found = analysis.load(OwnTask(study, tmp_path / "s").run(1))
    assert found.measure("val_loss").label == "Validation loss"
    assert found.measure("val_score").label == "Validation score (R²)"


def test_what_the_page_says_of_a_regression(results: analysis.StudyResults) -> None:
    lines = analysis.answers(results).sentences()
    assert any(re.search(r"reaches a test score \(R²\) of 0\.\d+ after", line) for line in lines)
    # The only percentages are sparsities.
    text = re.sub(r" at [\d.]+ %", "", " ".join(lines))
    assert not re.search(r"points|\d %", text)
    columns = main_table_columns(results.measure("test_score"), has_one_length=False)
    headings = [column.heading for column in columns]
    assert "Test score (R²)\n[95 % interval]" in headings
    assert "Minus dense\ntwin (R²)" in headings
    trials = trials_table(results, NetworkNames(results))
    assert trials is not None
    assert "Validation\nscore (R²)" in [column.heading for column in trials.columns]
    assert absent_quantities(results) == ["accuracy", "entropy"]
    with pytest.raises(SparsetuneError, match="whether training was long enough: nothing says how"):
        list(verdict_exhibits(results))
    assert list(needed_exhibits(results)) == []
    assert list(extension_exhibits(results, "test_score")) == []


def test_a_classifier_lacks_nothing(small: Path) -> None:
    assert absent_quantities(analysis.load(small)) == []


@pytest.mark.slow
def test_a_report_of_a_regression_speaks_of_no_class(
    results: analysis.StudyResults, tmp_path: Path
) -> None:
    page = analysis.report(results, tmp_path).read_text()
    text = re.sub(r"<(script|style|svg)[^>]*>.*?</\1>", "", page, flags=re.DOTALL)
    assert "nats" not in text
    assert "points" not in text
    assert not re.search(r"(score|error|loss|gain|luck)[^<]{0,30}\(%\)", text, re.IGNORECASE)
    assert not re.search(r"\d\.\d\d %", text)
    assert re.search(r"reaches a test score \(R²\) of 0\.\d+", text)
    assert text.count("This task has no accuracy and no entropy, so nothing shows them.") == 1
    assert text.count("Not shown is whether training was long enough") == 1
    assert not list((tmp_path / "figures").glob("*accuracy*"))
    assert not list((tmp_path / "figures").glob("*entropy*"))


def test_studies_of_other_units_are_not_compared(
    results: analysis.StudyResults, tmp_path: Path
) -> None:
    other = OwnTask(study_of("other", "l1", "r2"), tmp_path / "other").run()
    told = analysis.diff(results, other, "val_loss")
    assert told.unlike == (
        "`val_loss` is Validation loss (squared error) in the first, Validation loss (absolute"
        " error) in the second.",
    )
    assert analysis.diff(results, other, "val_score").unlike == ()


def test_a_table_keeps_the_rules_of_names() -> None:
    from tests.analysis.runs import runs_table

    table = analysis.load_table(runs_table(), name="t")
    assert table.measure("val_loss").label == "Validation loss (nats)"
    assert table.measure("test_score").label == "Test score (%)"
    assert analysis.undertraining(table).epsilon == 0.002
