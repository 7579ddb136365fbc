from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import analysis
from analysis.comparison import compare
from analysis.summary import summary, verdict
from sparsetune.errors import StudyDirectoryError


def test_a_finished_study_has_one_page_that_needs_no_network(small: Path, tmp_path: Path) -> None:
    directory = shutil.copytree(small, tmp_path / "small")
    page = analysis.report(directory)
    assert page == directory.resolve() / "report" / "index.html"
    text = page.read_text()
    assert "Unfinished" not in text
    assert not re.search(r"(?:src|href)=\"(?!\.\./|#)", text)
    assert "@import" not in text
    for link in re.findall(r"href=\"\.\./([^\"]+)\"", text):
        assert (directory / link).is_file(), link
    for name in ("test_accuracy-sparsity", "train_loss-epochs", "val_entropy-sparsity", "history-sparsity"):
        for ending in ("png", "svg", "csv"):
            assert (directory / "figures" / f"{name}.{ending}").stat().st_size > 200
    curve = analysis.sparsity_curve(analysis.load(directory)).frame()
    drawn = pd.read_csv(directory / "figures" / "test_accuracy-sparsity.csv")
    assert drawn["mean"].tolist() == pytest.approx(curve["mean"].tolist())
    assert len(pd.read_csv(directory / "tables" / "trials.csv")) == len(analysis.load(directory).trials())


def test_an_unfinished_study_says_so_and_foreign_text_is_escaped(simulation: Any, studies: Any, tmp_path: Path) -> None:
    study = studies["small"].with_changes(
        question="<script>alert(1)</script> $x_", arms={"$b<i>": studies["small"].arms["gmp"].given()}
    )
    outcome = {"search": "COMPLETE", "report": "COMPLETE", "twin": "COMPLETE", "control": "FAILED"}
    run = simulation(study, tmp_path / "s", outcome=lambda cell, role, seed: outcome[role])
    run.run(3)
    run.trial(study.cells()[3], "search", study.cells()[3].spec, 0, "base", 0)
    run.close()
    text = analysis.report(tmp_path / "s").read_text()
    assert "Unfinished" in text
    assert "3 of 4 cells are finished" in text
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "<i>" not in text
    assert "failed &lt;b&gt;here&lt;/b&gt;" in text


def test_a_study_without_trials_has_a_page(small: Path, tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text((small / "study.json").read_text())
    assert "No report trial has finished yet" in analysis.report(tmp_path).read_text()


def test_a_directory_that_is_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyDirectoryError):
        analysis.report(tmp_path)


def test_the_summary_chooses_a_length_by_validation(small: Path) -> None:
    results = analysis.load(small)
    numbers = summary(results)
    assert list(numbers["arm"]) == ["dense", "gmp"]
    error = analysis.length_curve(results, "val_error").frame()
    for row in numbers.to_dict("records"):
        line = error[error["sparsity.target"] == row["sparsity"]]
        assert row["epochs"] == line.loc[line["mean"].idxmin(), "epochs"]


def test_arms_are_compared_before_the_table(simulation: Any, studies: Any, tmp_path: Path) -> None:
    arms = {name: {"overrides": {"sparsity.method": name}} for name in ("gmp", "acdc", "one_shot", "static")}
    study = studies["small"].with_changes(search={}, arms=arms, sweep={"sparsity.target": [0, 0.9, 0.95]})
    text = analysis.report(simulation(study, tmp_path / "s").run()).read_text()
    figures = tmp_path / "s" / "figures"
    assert text.index("comparison.svg") < text.index("<table>")
    drawn = pd.read_csv(figures / "comparison.csv")
    assert drawn["mean"].tolist() == pytest.approx(compare(analysis.load(tmp_path / "s")).frame()["mean"].tolist())
    assert not (figures / "test_accuracy-sparsity.csv").exists()  # the same numbers again
    last = drawn[drawn["sparsity"] == 0.95].sort_values("mean", ascending=False)
    ranked = ", ".join(f"{arm} {100 * mean:.2f}" for arm, mean in zip(last["arm"], last["mean"], strict=True))
    assert f"At 95 % sparsity, test accuracy in percent: {ranked}. Where" in text
    table = re.sub(r"\s*<[^>]+>\s*", "|", text[text.index("<table>") : text.index("</table>")])
    assert [float(s) for s in re.findall(r"\|(0|90|95)\|", table)] == [0] + [90] * 4 + [95] * 4
    assert "|52.50|" in table  # training FLOPs at 95 %
    assert "Mask choice" not in table
    assert "Nothing was searched" in text
    assert "16,173" in text


def test_one_arm_is_not_compared(small: Path, tmp_path: Path) -> None:
    directory = shutil.copytree(small, tmp_path / "small")
    text = analysis.report(directory).read_text()
    assert not (directory / "figures" / "comparison.csv").exists()
    assert "Sparsity is a fraction of 17,024 prunable weights of 17,226 parameters (mlp)." in text
    assert "15,322" in text
    assert "Each cell has a search of its own" in text


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.1, 0.2, "gains more"), (-0.2, -0.1, "gains less"), (-0.1, 0.1, "not separated at n = 2")],
)
def test_nothing_is_claimed_of_an_interval_with_zero(low: float, high: float, said: str) -> None:
    assert verdict({"gain": (low + high) / 2, "gain_low": low, "gain_high": high, "gain_n": 2}) == said


def test_peak_memory_is_shown_with_what_it_suggests(small: Path, tmp_path: Path) -> None:
    directory = shutil.copytree(small, tmp_path / "small")
    assert "Peak memory" not in analysis.report(directory).read_text()  # recorded before it was measured
    for segment in (directory / "ledger").iterdir():
        records = [json.loads(line) for line in segment.read_text().splitlines()]
        for number, record in enumerate(records):
            if record["type"] == "started":
                record |= {"device": "cuda", "device_memory": 80 << 30}
            elif record["type"] == "ended":
                record["peak_memory"] = 10 * 2**30 - number
        segment.write_text("".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records))
    text = analysis.report(directory).read_text()
    table = re.sub(r"\s*<[^>]+>\s*", "|", text[text.index("Peak memory") :])
    assert "||mlp||64||cuda||" in table
    assert "||10 GiB||--gpus-per-trial 0.2||" in table
    peaks = analysis.load(directory).trials()["peak_memory"]
    assert peaks.dtype == "float64"
    assert peaks.max() < 10 * 2**30
    assert analysis.load(small).trials()["peak_memory"].isna().all()
