from __future__ import annotations

import io
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

import analysis
from analysis.diff import Diff, diff
from analysis.diff.text import as_json, show
from sparsetune.cli.main import main
from sparsetune.errors import SparsetuneError
from sparsetune.storage import StudyDirectory
from tests.ledger_records import rewrite_segment


@pytest.fixture(scope="module")
def write(simulation: Any, studies: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Writes a study without search, given the report accuracies of each cell by seed."""

    def written(values: dict[str, list[float]], first: int = 0, **changes: Any) -> Path:
        given = {
            "search": {},
            "report_seeds": max(map(len, values.values())),
            "seed": first,
            **changes,
        }
        study = studies["small"].with_changes(**given)
        names = {cell.spec.config_id(): cell.name for cell in study.cells()}

        class Given(simulation):  # type: ignore[misc]
            def attempt(self, spec: Any, status: str) -> Any:
                own = values.get(names.get(spec.config_id(), ""), [])
                self.accuracy = (
                    own[place] if 0 <= (place := spec.seed - 1000 - first) < len(own) else math.nan
                )
                return super().attempt(spec, status if not math.isnan(self.accuracy) else "WAITING")

            def rows(self, spec: Any) -> Any:
                for row in super().rows(spec):
                    yield row | {
                        "val_accuracy": self.accuracy + 0.002,
                        "val_error": 0.998 - self.accuracy,
                    }

        path: Path = Given(study, tmp_path_factory.mktemp("runs") / "small").run()
        return path

    return written


DENSE = "dense/epoch_multiplier=1"
LONG = "dense/epoch_multiplier=2"
SPARSE = "gmp/target=0.9/epoch_multiplier=1"


def row(found: Diff, cell: str = SPARSE) -> dict[str, Any]:
    arm, sparsity, epochs = {
        DENSE: ("dense", 0, 4),
        LONG: ("dense", 0, 8),
        SPARSE: ("gmp", 0.9, 4),
    }[cell]
    frame = found.conclusions()
    return dict(
        frame[
            (frame["arm"] == arm) & (frame["sparsity"] == sparsity) & (frame["epochs"] == epochs)
        ].iloc[0]
    )


def test_a_study_does_not_differ_from_itself(small: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "copy")
    found = diff(small, analysis.load(tmp_path / "copy"))
    assert found.declaration().empty
    assert found.findings().empty
    assert not found.code()["changed"].any()
    assert set(found.conclusions()["verdict"]) == {"no, equal on every seed"}
    assert len(found.conclusions()) == 4


def test_shared_seeds_are_paired(write: Any) -> None:
    before = [0.80, 0.84, 0.88]
    after = [0.811, 0.850, 0.889]  # apart by 1.1, 1.0, 0.9 points: sd 0.1
    found = row(diff(write({SPARSE: before}), write({SPARSE: after})))
    half = stats.t.ppf(0.975, 2) * 0.001 / math.sqrt(3)
    assert (found["paired"], found["n"], found["df"]) == (True, 3, 2)
    assert found["verdict"] == "yes, higher"
    assert [found[name] for name in ("difference", "low", "high")] == pytest.approx(
        [0.01, 0.01 - half, 0.01 + half]
    )
    assert (found["mean_before"], found["mean_after"]) == pytest.approx((0.84, 0.85))


def test_other_seeds_are_compared_by_welch(write: Any) -> None:
    before = [0.80, 0.84, 0.88]
    after = [0.811, 0.850, 0.889]
    found = row(diff(write({SPARSE: before}), write({SPARSE: after}, first=50)))
    expected = stats.ttest_ind(after, before, equal_var=False).confidence_interval(0.95)
    assert found["paired"] is np.False_ or not found["paired"]
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high))
    assert found["verdict"] == "not settled" and 1 < found["more_seeds"] < math.inf


def test_seeds_shared_in_part_are_not_paired(write: Any) -> None:
    before = [0.80, 0.84, 0.88]
    after = [0.811, 0.850, 0.889, 0.9]
    found = row(diff(write({SPARSE: before}), write({SPARSE: after})))
    expected = stats.ttest_ind(after, before, equal_var=False).confidence_interval(0.95)
    assert not found["paired"]
    assert (found["n_before"], found["n_after"]) == (3, 4)
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high))


def test_verdicts(write: Any) -> None:
    before = write(
        {DENSE: [0.90, 0.91, 0.92], LONG: [0.9, 0.9], SPARSE: [0.80, 0.81, 0.82]}, report_seeds=3
    )
    after = write({DENSE: [0.80, 0.811, 0.82], SPARSE: [0.82, 0.80, 0.81]})
    found = diff(before, after)
    assert row(found, DENSE)["verdict"] == "yes, lower"
    assert row(found)["verdict"] == "not settled"
    assert np.isnan(row(found, DENSE)["more_seeds"])
    assert row(found, LONG)["verdict"] == "no mean after"
    swapped = diff(after, before)
    assert row(swapped, DENSE)["verdict"] == "yes, higher"
    assert row(swapped, DENSE)["difference"] == -row(found, DENSE)["difference"]
    assert "one in 20 of 2 networks" in found.note()


def test_one_seed_has_no_interval(write: Any) -> None:
    found = row(diff(write({SPARSE: [0.8]}), write({SPARSE: [0.9]})))
    assert (found["verdict"], np.isnan(found["low"])) == ("no interval", True)


def test_cells_of_one_study_only(write: Any) -> None:
    values = {DENSE: [0.9, 0.91]}
    wider = write(
        values, sweep={"sparsity.target": [0, 0.9, 0.95], "schedule.epoch_multiplier": [1]}
    )
    found = (
        diff(write(values | {LONG: [0.9, 0.91]}), wider)
        .conclusions()
        .set_index(["sparsity", "epochs"])
    )
    assert found["verdict"].to_dict() == {
        (0, 4): "no, equal on every seed",
        (0, 8): "only before",
        (0.9, 4): "no mean before or after",
        (0.9, 8): "only before",
        (0.95, 4): "only after",
    }


def test_what_was_declared_otherwise(small: Path, write: Any) -> None:
    found = diff(small, write({DENSE: [0.9]}, report_seeds=1)).declaration().set_index("field")
    assert list(found.loc["report_seeds"]) == ["2", "1"]
    assert found.loc["search.optim.lr.high", "before"] == "1.0"
    assert found["after"].isna()["search.optim.lr.high"]
    assert "sweep.sparsity.target" not in found.index


def test_code_and_data(small: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "b")
    launch = {
        "time": 1,
        "packages": {"torch": "2.16"},
        "git": {"commit": "abcdef0123456789", "changed": True},
    }
    StudyDirectory(tmp_path / "b").record_launch(launch)

    def elsewhere(record: dict[str, Any]) -> None:
        if record["type"] == "started":
            record |= {"threads": 2, "data": "digits=0123"}

    rewrite_segment(tmp_path / "b" / "ledger" / "000001.jsonl", elsewhere)
    found = diff(small, tmp_path / "b").code().set_index("field")
    assert list(found.loc["torch"]) == ["2.15", "2.15, 2.16", True]
    assert list(found.loc["threads"]) == ["1", "2", True]
    assert list(found.loc["device"]) == ["cpu", "cpu", False]
    assert found.loc["commit", "after"] == "abcdef012345"
    assert found.loc["uncommitted changes", "after"] == "yes"
    assert found.loc["data digits", "after"] == "0123"
    assert found["changed"].isna()[["commit", "data digits"]].all()  # the first did not record them


def test_findings_are_what_the_summary_says_otherwise(write: Any) -> None:
    dense = {DENSE: [0.9, 0.9], LONG: [0.901, 0.901]}
    sparse = "gmp/target=0.9/epoch_multiplier=2"
    before = write(dense | {SPARSE: [0.80, 0.81], sparse: [0.83, 0.8402]})
    after = write(dense | {SPARSE: [0.83, 0.8402], sparse: [0.80, 0.81]})
    compared = diff(before, after)
    found = compared.findings()
    epochs = found[(found["field"] == "epochs") & (found["arm"] == "gmp")]
    assert epochs[["before", "after"]].to_numpy().tolist() == [["8", "4"]]
    console = Console(width=120, record=True, highlight=False, file=io.StringIO())
    show(compared, console)
    assert "GMP at 90 %: does longer training gain more than dense" in console.export_text()
    assert found[found["field"] == "verdict"][["before", "after"]].to_numpy().tolist() == [
        ["yes", "no, less"]
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"objective": {"kind": "minimize", "column": "val_loss"}},
            "`objective` is minimize val_error in the first",
        ),
        (
            {"objective": {"kind": "maximize", "column": "val_accuracy"}},
            "maximize val_accuracy in the second",
        ),
        (
            {"base": {"task": {"kind": "image"}}},
            "`task.dataset` is absent in the first, fashion_mnist in the second",
        ),
    ],
)
def test_unlike_studies_are_not_compared(write: Any, changes: dict[str, Any], reason: str) -> None:
    found = diff(write({DENSE: [0.9]}), write({DENSE: [0.8]}, **changes))
    assert found.conclusions().empty
    assert found.findings().empty
    assert reason in found.note()
    assert len(found.declaration())
    assert not as_json(found)["comparable"]


def test_an_unknown_measure_lists_the_known(small: Path) -> None:
    with pytest.raises(
        SparsetuneError, match=r"^the measure must be one of .*test_accuracy.*got `speed`"
    ):
        diff(small, small, "speed")


def test_it_is_named_in_one_line(small: Path, write: Any) -> None:
    assert repr(diff(small, small)) == "<Diff of small, small: test_accuracy, 4 cells>"
    task = write({DENSE: [0.8]}, base={"task": {"kind": "image"}})
    assert repr(diff(small, task)).endswith("not comparable>")


@pytest.mark.parametrize("width", [80, 120])
def test_values_of_fields_with_long_names_have_room(small: Path, write: Any, width: int) -> None:
    other = write({DENSE: [0.9]}, report_seeds=1)
    console = Console(width=width, record=True, highlight=False, file=io.StringIO())
    show(diff(small, other), console)
    text = console.export_text()
    assert max(map(len, text.splitlines()[2:])) <= width
    stacked = "search.sparsity.ramp.start.kind\n  before  uniform" in "\n".join(
        map(str.rstrip, text.splitlines())
    )
    assert stacked == (width == 80)  # 31 characters: more than a third of 80, less than one of 120


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_shows_all_and_escapes(write: Any, width: int) -> None:
    before = write(
        {DENSE: [0.90, 0.91, 0.92], SPARSE: [0.80, 0.81, 0.82]}, question="[bold]Why[/bold]?"
    )
    found = diff(
        before,
        write(
            {DENSE: [0.80, 0.811, 0.82]},
            sweep={"sparsity.target": [0], "schedule.epoch_multiplier": [1, 2]},
        ),
    )
    console = Console(width=width, record=True, highlight=False, file=open("/dev/null", "w"))  # noqa: SIM115
    show(found, console)
    text = console.export_text()
    console.file.close()
    assert max(map(len, text.splitlines()[2:])) <= width
    for part in (
        "[bold]Why[/bold]?",
        "-9.97 [-10.",
        "yes, lower",
        "Networks only before: 2 of GMP.",
        "one in 20 of 1 network",
    ):
        assert part in " ".join(text.split())
    assert ("91.00 [" in text) == (width == 120)


def test_the_command(small: Path, write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    other = str(write({DENSE: [0.9, 0.91]}))
    assert main(["diff", str(small), other, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["comparable"] and facts["measure"] == "test_accuracy"
    assert facts["conclusions"][0]["mean_after"] == pytest.approx(0.905)
    assert facts["conclusions"][1]["mean_after"] is None
    assert main(["diff", str(small), other, "--measure", "val_loss"]) == 0
    assert "Validation loss (nats): did it change?" in capsys.readouterr().out
    assert main(["diff", str(small), str(small.parent)]) == 2
    assert "not a study directory" in capsys.readouterr().err
