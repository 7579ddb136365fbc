from __future__ import annotations

import base64
import gzip
import html
import itertools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import analysis
from analysis.checks import checks
from analysis.curves.comparison import compare_arms
from analysis.exhibit import Exhibit, plain_columns
from analysis.lengths.summary import gain_verdict, summary
from analysis.measure import Measure
from analysis.page.figure_export import FigureExporter
from analysis.page.sections import SECTIONS
from analysis.page.writer import ReportWriter
from analysis.tables.foreign import load_table
from sparsetune.errors import SparsetuneError, StudyDirectoryError
from tests.ledger_records import rewrite_segment


@pytest.fixture(scope="module")
def reported(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished study, with its report."""
    directory = shutil.copytree(small, tmp_path_factory.mktemp("reported") / "small")
    assert analysis.report(directory) == directory.resolve() / "report" / "index.html"
    return directory


def page_of(directory: Path) -> str:
    """The page without its scripts."""
    text = (directory / "report" / "index.html").read_text()
    return re.sub(r"<script[^>]*>.*?</script>", "", text, flags=re.DOTALL)


def test_a_finished_study_has_one_page_that_needs_no_network(reported: Path) -> None:
    directory = reported
    text = page_of(reported)
    assert "not finished" not in text
    assert not re.search(r"(?:src|href)=\"(?!\.\./|#|data:)", text)
    assert "@import" not in text
    assert "default-src 'none'" in html.unescape(text)
    assert len(re.findall(r"'sha256-[^']{44}'", html.unescape(text))) == 2
    for link in re.findall(r"href=\"\.\./([^\"]+)\"", text):
        assert (directory / link).is_file(), link
    for name in (
        "test_accuracy-sparsity",
        "train_loss-epochs",
        "val_entropy-sparsity",
        "history-sparsity",
    ):
        for ending in ("png", "svg", "pdf", "csv"):
            assert (directory / "figures" / f"{name}.{ending}").stat().st_size > 200
    curve = analysis.sparsity_curve(analysis.load(directory)).frame()
    drawn = pd.read_csv(directory / "figures" / "test_accuracy-sparsity.csv")
    assert drawn["mean"].tolist() == pytest.approx(curve["mean"].tolist())
    assert len(pd.read_csv(directory / "tables" / "trials.csv")) == len(
        analysis.load(directory).trials()
    )


def test_an_unfinished_study_says_so_and_foreign_text_is_escaped(
    simulation: Any, studies: Any, tmp_path: Path
) -> None:
    study = studies["small"].with_changes(
        question="<script>alert(1)</script> $x_",
        arms={"$b<i>": studies["small"].arms["gmp"].given()},
    )
    outcome = {"search": "COMPLETE", "report": "COMPLETE", "twin": "COMPLETE", "control": "FAILED"}
    run = simulation(study, tmp_path / "s", outcome=lambda cell, role, seed: outcome[role])
    run.run(3)
    run.trial(study.cells()[3], "search", study.cells()[3].spec, 0, "base", 0)
    run.close()
    page = analysis.report(tmp_path / "s").read_text()
    text = page_of(tmp_path / "s")
    assert "not finished: 3 of 4 networks are" in text
    assert "<strong>Open.</strong>" in text
    assert "Finish the study: 1 of 4 networks are open." in text
    assert "<script>alert" not in page
    assert "</script>" not in text
    assert "&lt;script&gt;" in text
    assert "<i>" not in text
    assert "failed &lt;b&gt;here&lt;/b&gt;" in text


def test_a_study_without_trials_has_a_page(small: Path, tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text((small / "study.json").read_text())
    text = analysis.report(tmp_path).read_text()
    assert "<strong>Open.</strong>" in text
    assert "Finish the study: 4 of 4 networks are open." in text
    assert "<figure" not in text


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
    arms = {
        name: {"overrides": {"sparsity.method": name}}
        for name in ("gmp", "acdc", "one_shot", "static")
    }
    study = studies["small"].with_changes(
        search={}, arms=arms, sweep={"sparsity.target": [0, 0.9, 0.95]}
    )
    analysis.report(simulation(study, tmp_path / "s").run())
    text = page_of(tmp_path / "s")
    figures = tmp_path / "s" / "figures"
    drawn = pd.read_csv(figures / "comparison.csv")
    assert drawn["mean"].tolist() == pytest.approx(
        compare_arms(analysis.load(tmp_path / "s")).frame()["mean"].tolist()
    )
    assert not (figures / "test_accuracy-sparsity.csv").exists()  # the same numbers again
    text = text[text.index("comparison.svg") :]
    table = re.sub(r"\s*<[^>]+>\s*", "|", text[text.index("<table") : text.index("</table>")])
    assert [float(s) for s in re.findall(r"\|(0|90|95)\|", table)] == [0] + [90] * 4 + [95] * 4
    assert "|52.50|" in table  # training FLOPs at 95 %
    assert "Mask choice" not in table
    assert "Nothing was searched" in text
    assert "16,173" in text


def test_one_arm_is_not_compared(reported: Path) -> None:
    directory = reported
    text = page_of(reported)
    assert not (directory / "figures" / "comparison.csv").exists()
    assert "is a fraction of 17,024 prunable weights, of 17,226 parameters." in text
    assert "15,322" in text
    assert "Each network has a search of its own" in text


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.1, 0.2, "gains more"), (-0.2, -0.1, "gains less"), (-0.1, 0.1, "not settled with 2 seeds")],
)
def test_nothing_is_claimed_of_an_interval_with_zero(low: float, high: float, said: str) -> None:
    assert (
        gain_verdict(
            {"gain": (low + high) / 2, "gain_low": low, "gain_high": high, "gain_n": 2},
            Measure.by_name("test_accuracy"),
        )
        == said
    )


def test_peak_memory_is_shown_with_what_it_suggests(
    small: Path, reported: Path, tmp_path: Path
) -> None:
    assert "Peak memory" not in page_of(reported)  # recorded before it was measured
    directory = shutil.copytree(small, tmp_path / "small")
    numbers = itertools.count(1)

    def measured(record: dict[str, Any]) -> None:
        if record["type"] == "started":
            record |= {"device": "cuda", "device_memory": 80 << 30}
        elif record["type"] == "ended":
            record["peak_memory"] = 10 * 2**30 - next(numbers)

    rewrite_segment(directory / "ledger" / "000001.jsonl", measured)
    text = analysis.report(directory).read_text()
    table = re.sub(r"\s*<[^>]+>\s*", "|", text[text.index("Peak memory") :])
    assert "||mlp||64||cuda||" in table
    assert "||10 GiB||--gpus-per-trial 0.2||" in table
    peaks = analysis.load(directory).trials()["peak_memory"]
    assert peaks.dtype == "float64"
    assert peaks.max() < 10 * 2**30
    assert analysis.load(small).trials()["peak_memory"].isna().all()


def test_the_answer_comes_first_then_questions_then_exploration(reported: Path) -> None:
    text = page_of(reported)
    order = [
        "<h1>",
        'id="answer"',
        "How sure:",
        "<h2>Next</h2>",
        'id="answer" style',
        "<h2>Before you rely on this</h2>",
        'id="question-1"',
        '<details id="more">',
        "What was found",
        'id="checks"',
        'id="cells"',
        'id="origin"',
        'id="glossary"',
    ]
    assert [text.index(mark) for mark in order] == sorted(text.index(mark) for mark in order)
    findings = checks(analysis.load(reported))
    assert len(findings) > 0
    for row in findings.to_dict("records"):
        assert f"{row['severity'].capitalize()} {row['code']}" in text
    assert len(pd.read_csv(reported / "tables" / "findings.csv")) == len(findings)


def test_the_data_of_an_interactive_figure_are_those_of_its_csv(reported: Path) -> None:
    whole = (reported / "report" / "index.html").read_text()
    packed = whole[whole.index('id="panels">') :].partition(">")[2].partition("<")[0]
    panels = json.loads(gzip.decompress(base64.b64decode(packed)))["test_accuracy-sparsity"]
    drawn = pd.read_csv(reported / "figures" / "test_accuracy-sparsity.csv")
    # Marks of dense networks are drawn once more, in black, without a name in the legend.
    named = [trace for trace in panels[0]["data"] if trace["name"]]
    shown = [y for trace in named for y in trace["y"]]
    assert sorted(shown) == pytest.approx(sorted(100 * drawn["mean"]), rel=1e-5)
    said = [text for trace in named for text in trace["hovertext"]]
    row = drawn.iloc[0]
    assert (
        f"{100 * row['mean']:.4g} [{100 * row['low']:.4g}, {100 * row['high']:.4g}], n = 2"
        in said[0]
    )


def test_tables_are_for_a_manuscript_too(reported: Path) -> None:
    numbers = summary(analysis.load(reported))
    plain = (reported / "tables" / "summary.md").read_text().splitlines()
    tex = (reported / "tables" / "summary.tex").read_text()
    assert len(plain) == 2 + len(numbers)
    assert f"{100 * numbers['mean'].iloc[0]:.2f} \\[" in plain[2]
    assert tex.startswith("\\begin{tabular}{lr")
    assert "\\toprule" in tex
    assert tex.count(r" \\") == 1 + len(numbers)


def test_results_of_no_directory_need_a_folder(small: Path, tmp_path: Path) -> None:
    table = analysis.load(small).trials()
    names = {name: name for name in ("test_accuracy", "seed", "sparsity.target", "arm")}
    results = load_table(
        table[table["role"] == "report"],
        names,
        {"sparsity.target": "fraction", "test_accuracy": "fraction"},
    )
    with pytest.raises(SparsetuneError, match="give `out`"):
        analysis.report(results)
    page = analysis.report(results, tmp_path / "out")
    assert page == (tmp_path / "out" / "report" / "index.html").resolve()
    assert "study.json" not in page.read_text()


def test_the_page_of_a_table_says_how_each_column_was_read(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "s": [0, 90],
            "acc": [93.1, 92.4],
            "std": [0.2, 0.3],
            "runs": [3, 5],
            "sparsity.ramp.start": 0.1,
            "<note>": "x",
            "junk": 1,
        }
    )
    names = {
        "sparsity.target": "s",
        "test_accuracy": "acc",
        "test_accuracy_sd": "std",
        "n": "runs",
    }
    units = {"test_accuracy": "percent", "sparsity.target": "percent"}
    results = load_table(frame, names, units, label=["<note>"], ignore=["junk"], name="paper")
    page = analysis.report(results, tmp_path).read_text()
    more = page.partition('<details id="more">')[2]
    read = more.partition("How each column was read</h3>")[2].partition("</table>")[0]
    rows = [re.findall("<t[hd][^>]*>(.*?)</t[hd]>", line) for line in read.split("<tr")[2:]]
    assert [row[:4] for row in rows] == [
        ["s", "sparsity asked for", "sparsity", "percent"],
        ["acc", "test accuracy", "result", "percent"],
        ["std", "standard deviation of test accuracy", "says what a mean is over", "percent"],
        ["runs", "number of runs behind a mean", "says what a mean is over", ""],
        ["sparsity.ramp.start", "ramp start", "part of the recipe, one value", "fraction"],
        ["&lt;note&gt;", "&lt;note&gt;", "carried along", ""],
        ["junk", "", "left out on request", ""],
    ]
    assert rows[0][4:] == [
        "share that is left",
        "units={&#39;sparsity.target&#39;: &#39;density_percent&#39;}",
    ]
    assert pd.read_csv(tmp_path / "tables" / "reading.csv")["taken_as"][1] == "test_accuracy"


def test_the_page_of_a_study_has_no_columns_that_were_read(reported: Path) -> None:
    page = (reported / "report" / "index.html").read_text()
    assert "How each column was read" not in page and "reading.csv" not in page
    assert not (reported / "tables" / "reading.csv").exists()


def test_an_analysis_that_breaks_leaves_the_rest_of_the_page(small: Path, tmp_path: Path) -> None:
    def breaks(*_: Any) -> Any:
        raise ZeroDivisionError("by <zero>")

    def cannot_be_drawn(*_: Any) -> Any:
        yield Exhibit("broken", "A broken figure", pd.DataFrame({"n": [1]}), "", breaks)
        yield Exhibit(
            "sound",
            "A sound table",
            pd.DataFrame({"n": [1]}),
            "says something",
            columns=plain_columns({"n": "n"}),
        )

    sections = {**SECTIONS, "Faults": (breaks, cannot_be_drawn)}
    with (
        pytest.warns(RuntimeWarning, match="please report it") as warned,
        FigureExporter() as exporter,
    ):
        text = ReportWriter(analysis.load(small), tmp_path, exporter, sections).page_html()
    assert len(warned) == 2
    assert "Not shown for a fault of sparsetune, please report it: A broken figure" in text
    assert "(ZeroDivisionError: by &lt;zero&gt;)" in text
    assert "A sound table" in text and "What was found" in text
