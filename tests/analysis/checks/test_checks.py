"""Every check fires on a built example of its fault and stays silent on the innocent twin."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import analysis
from analysis.checks import CHECKS, SEVERITIES, checks
from analysis.checks.seeds import trend_p_value
from analysis.checks.suspicions.designs import falling_p_value
from analysis.estimates.means import MEASURE_COLUMNS
from analysis.tables.foreign import load_table
from analysis.tables.results import Results
from analysis.testing import MadeResults
from sparsetune.errors import SparsetuneError
from sparsetune.study import Study
from sparsetune.study.space import Choice, LogUniform, Uniform
from tests.analysis.checks.slips import PUBLISHED, SLIPS, outcomes, runs
from tests.analysis.simulation import SMALL, Simulation

PAGE = Path(__file__).parents[3] / "docs" / "checks.md"
STUDY = SMALL.with_changes(
    name="checked",
    sweep={"sparsity.target": [0, 0.9, 0.95]},
    search={"optim.lr": LogUniform(0.01, 1.0), "sparsity.ramp.start": Uniform(0.0, 0.3)},
    configurations_per_cell=12,
    report_seeds=3,
)
PLAIN = STUDY.with_changes(search={})
"""The same without a search: every report trial is the base."""
SPARSE = "gmp/target=0.9"


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished study with three report seeds."""
    return Simulation(STUDY, tmp_path_factory.mktemp("checked") / "study").run()


@pytest.fixture(scope="module")
def directories(searched: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A directory by what is wrong with it; made when first asked for."""
    made: dict[str, Path] = {"none": searched}

    def directory(fault: str) -> Path:
        if fault not in made:
            made[fault] = FAULTY[fault](tmp_path_factory.mktemp("checked") / "study")
        return made[fault]

    return directory


# Faults of whole directories


def with_certificates(kept: int) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        Simulation(PLAIN, path).run()
        results = analysis.load(path)
        for row in results.trials().to_dict("records"):
            folder = path / "trials" / row["trial_id"] / "attempt-1"
            folder.mkdir(parents=True)
            counts = {"1.weight": 5, "3.weight": kept}
            layers = [{"name": n, "weights": 10, "kept": k} for n, k in counts.items()]
            (folder / "certificate.json").write_text(json.dumps({"layers": layers}))
        return path

    return make


def on_machines(devices: tuple[str, str]) -> Callable[[Path], Path]:
    """Dense trials run on the first device, sparse ones on the second."""

    def make(path: Path) -> Path:
        class Machines(Simulation):
            def close(self) -> Path:
                sparse = {
                    r["trial_id"] for r in self.records if r["type"] == "proposed" and r["twin_id"]
                }
                self.records = [
                    {**r, "device": devices[r["trial_id"] in sparse]}
                    if r["type"] == "started"
                    else r
                    for r in self.records
                ]
                return super().close()

        return Machines(PLAIN, path).run()

    return make


def with_cut_certificates(path: Path) -> Path:
    with_certificates(1)(path)
    for file in path.glob("trials/*/attempt-1/certificate.json"):
        file.write_bytes(file.read_bytes()[:-20])
    return path


def without_its_last_line(path: Path) -> Path:
    segment = Simulation(PLAIN, path).run() / "ledger" / "000001.jsonl"
    segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:-1]))
    return path


FAULTY: dict[str, Callable[[Path], Path]] = {
    "cut certificate": with_cut_certificates,
    "not closed": without_its_last_line,
    "plain": lambda path: Simulation(PLAIN, path).run(),
    "empty layer": with_certificates(0),
    "full layers": with_certificates(1),
    "two devices": on_machines(("cpu", "cuda:0")),
    "two GPUs": on_machines(("cuda:0", "cuda:1")),
    "one arm unlike": lambda path: Simulation(two_arms({"optim.lr": 0.001}), path).run(),
}


def two_arms(overrides: dict[str, Any]) -> Study:
    gmp = {"sparsity.method": "gmp"}
    arms = {"gmp": {"overrides": gmp}, "other": {"overrides": gmp | overrides}}
    return PLAIN.with_changes(arms=arms)


# Faults of tables


def sparse(trials: pd.DataFrame) -> Any:
    return trials["sparsity.target"] > 0


def dense(trials: pd.DataFrame) -> Any:
    return trials["sparsity.target"] == 0


def in_cell(name: str, *roles: str) -> Callable[[pd.DataFrame], Any]:
    return lambda trials: (
        (trials["cell"] == name) & trials["role"].isin(roles or ["search", "report", "control"])
    )


def some(count: int, where: Callable[[pd.DataFrame], Any]) -> Callable[[pd.DataFrame], Any]:
    return lambda trials: where(trials) & (where(trials).to_numpy(dtype=bool).cumsum() <= count)


def seeds(count: int) -> Callable[[MadeResults], MadeResults]:
    """Only so many report seeds, and gaps to the twin that are many times their spread."""

    def change(frames: MadeResults) -> MadeResults:
        uses = frames.uses()
        kept = uses[(uses["role"] != "report") | (uses["seed"] < 1000 + count)]
        clear = frames.with_values(
            "trials", "test_accuracy", lambda rows: 0.8 + rows["seed"] % 7 * 1e-5, where=sparse
        )
        return clear.replace(uses=kept)

    return change


def winner_at(place: float, path: str = "optim.lr") -> Callable[[MadeResults], MadeResults]:
    """The better, the nearer to a place of the axis's range; the winner is the nearest."""

    def change(frames: MadeResults) -> MadeResults:
        trials = frames.trials()
        search = in_cell(SPARSE, "search")
        mine = search(frames.trials())
        spaced = (
            np.geomspace(0.01, 1, mine.sum())
            if path == "optim.lr"
            else np.linspace(0, 0.3, mine.sum())
        )
        trials.loc[mine, path] = spaced
        trials.loc[mine, "val_error"] = 0.1 + 0.05 * (np.linspace(0, 1, mine.sum()) - place) ** 2
        best = trials[mine].sort_values("val_error").iloc[0]
        changed = frames.replace(trials=trials)
        for column, value in {"winner_id": best["config_id"], path: best[path]}.items():
            changed = changed.with_values(
                "cells", column, value, where=lambda cells: cells["cell"] == SPARSE
            )
        return changed

    return change


def lost(counts: dict[float, int]) -> Callable[[MadeResults], MadeResults]:
    """So many diverged search trials at each sparsity."""

    def change(frames: MadeResults) -> MadeResults:
        for target, count in counts.items():
            chosen = some(
                count,
                lambda t, target=target: (t["sparsity.target"] == target) & (t["role"] == "search"),
            )
            frames = frames.with_values("trials", "status", "DIVERGED", where=chosen)
        return frames

    return change


def unreported(counts: dict[float, int]) -> Callable[[MadeResults], MadeResults]:
    """So many diverged report trials at each sparsity."""

    def change(frames: MadeResults) -> MadeResults:
        for target, count in counts.items():
            chosen = some(
                count,
                lambda t, target=target: (t["sparsity.target"] == target) & (t["role"] == "report"),
            )
            frames = frames.with_values("trials", "status", "DIVERGED", where=chosen)
        return frames

    return change


def without_winner(cell: str) -> Callable[[MadeResults], MadeResults]:
    """Every configuration of a cell's search diverged, so that nothing was reported."""

    def change(frames: MadeResults) -> MadeResults:
        uses = frames.uses()
        kept = uses[(uses["cell"] != cell) | (uses["role"] == "search")]
        diverged = frames.with_values("trials", "status", "DIVERGED", where=in_cell(cell, "search"))
        lost_winner = diverged.with_values(
            "cells", "winner_id", pd.NA, where=lambda cells: cells["cell"] == cell
        )
        return lost_winner.replace(uses=kept)

    return change


def baseline(difference: float) -> Callable[[MadeResults], MadeResults]:
    """The twins at 95 % have another recipe, and an accuracy that differs by so much."""

    def change(frames: MadeResults) -> MadeResults:
        trials = frames.trials()
        twins = trials[trials["cell"].eq("gmp/target=0.95") & trials["role"].eq("report")][
            "twin_id"
        ]
        spread = frames.with_values(
            "trials", "test_accuracy", lambda rows: 0.9 + rows["seed"] % 3 * 1e-3, where=dense
        )
        new = spread.trials()[trials["trial_id"].isin(twins)]
        new = new.assign(
            trial_id=new["trial_id"] + "x",
            config_id="other",
            test_accuracy=new["test_accuracy"] - difference,
        )
        both = pd.concat([spread.trials(), new], ignore_index=True)
        mine = both["cell"].eq("gmp/target=0.95") & both["role"].eq("report")
        uses = frames.uses()
        of = uses["cell"].eq("gmp/target=0.95") & uses["role"].eq("report")
        uses.loc[of, "twin_id"] = uses.loc[of, "twin_id"] + "x"
        both.loc[mine, "twin_id"] = both.loc[mine, "twin_id"] + "x"
        return spread.replace(trials=both).replace(uses=uses)

    return change


def history(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[MadeResults], MadeResults]:
    return lambda frames: frames.replace(history=change(frames.history()))


def without_row(place: int) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """The history without one evaluation of its third trial."""
    return lambda rows: rows.drop(
        rows[rows["trial_id"] == rows["trial_id"].unique()[2]].index[place]
    )


def best_shown(frames: MadeResults) -> MadeResults:
    """Every trial shows the best validation accuracy of its evaluations, which is not the last."""
    rows = frames.history()
    second = rows.groupby("trial_id").cumcount() == 1
    rows.loc[second, "val_accuracy"] = 0.99
    best = rows.groupby("trial_id")["val_accuracy"].max()
    changed = frames.replace(history=rows)
    return changed.with_values(
        "trials",
        "val_accuracy",
        lambda trials: trials["trial_id"].map(best),
        where=lambda t: t["step"] > 0,
    )


def peak_within(frames: MadeResults) -> MadeResults:
    """The best evaluation is not the last, and the last is shown."""
    rows = frames.history()
    rows.loc[rows.groupby("trial_id").cumcount() == 1, "val_accuracy"] = 0.99
    return frames.replace(history=rows)


def copied(frames: MadeResults, columns: tuple[str, ...]) -> MadeResults:
    """The report seeds of a cell share their final values in some columns."""
    for column in columns:
        frames = frames.with_values(
            "trials",
            column,
            lambda rows, c=column: rows[c].iloc[0],
            where=in_cell(SPARSE, "report"),
        )
    return frames


def rounded(frames: MadeResults) -> MadeResults:
    """As a spreadsheet has it, with two decimals."""
    trials = frames.trials()
    measures = {
        name: trials[name].round(2)
        for name in MEASURE_COLUMNS
        if "loss" in name or "entropy" in name
    }
    return frames.replace(trials=trials.assign(**measures))


def flops(ratio: float) -> Callable[[MadeResults], MadeResults]:
    def change(frames: MadeResults) -> MadeResults:
        asked = frames.replace(design=replace(frames.design, equal="train_flops"))
        return asked.with_values(
            "cells", "flops_ratio", ratio, where=lambda cells: cells["sparsity.target"] > 0
        )

    return change


def said(**changes: Any) -> Callable[[MadeResults], MadeResults]:
    return lambda frames: frames.replace(design=replace(frames.design, **changes))


def setting(
    column: str, value: Any, where: Callable[[pd.DataFrame], Any]
) -> Callable[[MadeResults], MadeResults]:
    return lambda frames: frames.with_values("trials", column, value, where=where)


def everywhere(trials: pd.DataFrame) -> Any:
    return trials["trial_id"].notna()


Change = Callable[[MadeResults], Results] | str
"""What is changed of the sound study's tables; or a fault of whole directories by its name."""


def own_code(other: Any, where: Callable[[pd.DataFrame], Any]) -> Callable[[MadeResults], Any]:
    """All trials ran one version of a module, but for those ``where`` another text stands."""
    return lambda frames: setting("own_code", other, where)(
        frames.replace(trials=frames.trials().assign(own_code="nets=a"))
    )


def constant(
    accuracy: float,
    where: Callable[[pd.DataFrame], Any] | None,
    weak: Callable[[pd.DataFrame], Any] | None = None,
) -> Callable[[MadeResults], MadeResults]:
    """Networks that give each test example one answer, and networks that are as bad but do not."""

    def change(frames: MadeResults) -> MadeResults:
        trials = frames.trials().assign(learned_nothing=False)
        made = frames.replace(trials=trials.astype({"learned_nothing": "boolean"}))
        for chosen, value in ((where, True), (weak, False)):
            if chosen is not None:
                made = made.with_values("trials", "learned_nothing", value, where=chosen)
                made = made.with_values("trials", "test_accuracy", accuracy, where=chosen)
        return made

    return change


EXAMPLES: dict[str, list[tuple[Change, Change]]] = {
    "SPT001": [
        (
            setting("certified", False, in_cell(SPARSE, "report")),
            setting("certified", True, everywhere),
        ),
        (
            setting("status", "INVALID", some(1, in_cell(SPARSE))),
            setting("status", "FAILED", some(1, in_cell(SPARSE))),
        ),
        (
            lambda frames: unmeasured(frames).with_values(
                "trials", "sparsity", 0.88, where=in_cell(SPARSE)
            ),
            lambda frames: unmeasured(frames).with_values(
                "trials", "sparsity", 0.9003, where=in_cell(SPARSE)
            ),
        ),
    ],
    "SPT002": [
        (winner_at(1.0), winner_at(0.6)),
        (winner_at(0.0), winner_at(0.3)),
        (
            winner_at(1.0, "sparsity.ramp.start"),
            winner_at(0.0, "sparsity.ramp.start"),
        ),  # no ramp starts before 0
        # Of a list of values the best is often the first or the last by chance.
        (winner_at(1.0), lambda frames: choices(winner_at(1.0)(frames), 3)),
    ],
    "SPT003": [
        (seeds(2), seeds(3)),
        (
            lambda frames: seeds(3)(frames).with_values(
                "trials", "test_accuracy", lambda t: 0.88 + t["seed"] % 2 * 0.02, where=sparse
            ),
            seeds(3),
        ),
    ],
    "SPT004": [
        (
            lambda frames: frames.with_values(
                "cells", "finished", False, where=lambda c: c["cell"] == SPARSE
            ),
            lambda f: f,
        )
    ],
    "SPT005": [
        (
            setting("status", "FAILED", some(1, in_cell(SPARSE))),
            setting("status", "PRUNED", some(1, in_cell(SPARSE))),
        ),
    ],
    "SPT006": [
        (
            setting("status", "DIVERGED", some(1, in_cell(SPARSE, "report"))),
            setting("status", "FAILED", some(1, in_cell(SPARSE, "report"))),
        ),
        (lost({0.9: 4}), lost({0.9: 1})),
        (lost({0.9: 12}), lambda f: f),
    ],
    "SPT007": [
        (
            lambda frames: pruned(frames).with_values(
                "trials", "at_target", False, where=in_cell(SPARSE, "search")
            ),
            lambda frames: pruned(frames).with_values(
                "trials", "at_target", True, where=in_cell(SPARSE, "search")
            ),
        ),
        (
            lambda frames: pruned(unmeasured(frames)).with_values(
                "trials", "progress", 0.3, where=in_cell(SPARSE, "search")
            ),
            lambda frames: pruned(unmeasured(frames)).with_values(
                "trials", "progress", 0.95, where=in_cell(SPARSE, "search")
            ),
        ),
    ],
    "SPT008": [
        (
            setting("task.label_smoothing", 0.1, sparse),
            setting("task.label_smoothing", 0.1, everywhere),
        ),
    ],
    "SPT009": [
        (
            setting("distill.hardness", 0.9, in_cell(SPARSE)),
            setting("distill.hardness", 0.9, everywhere),
        ),
    ],
    "SPT010": [
        (
            setting("prunable_weights", 9_000, in_cell(SPARSE)),
            setting("prunable_weights", 9_000, sparse),
        ),
    ],
    "SPT011": [
        (setting("task.split_seed", 1, in_cell(SPARSE)), setting("task.split_seed", 1, everywhere)),
        (
            setting("task.split_seed", 1, in_cell(SPARSE)),
            lambda frames: said(sweep=("sparsity.target", "task.split_seed"))(
                frames.with_values("trials", "task.split_seed", 1, where=in_cell(SPARSE))
            ),
        ),
    ],
    "SPT012": [(baseline(0.02), baseline(0.0002)), ("one arm unlike", "plain")],
    "SPT013": [
        # Search trials that diverge are missing from no curve, unless all of a cell's do.
        (unreported({0.95: 3}), lost({0.95: 11})),
        (unreported({0.95: 3}), unreported({0: 1, 0.9: 1, 0.95: 1})),
        (without_winner("gmp/target=0.95"), lost({0.9: 2, 0.95: 7})),
    ],
    "SPT014": [
        (
            said(objective="test_accuracy", minimize=False),
            said(objective="val_accuracy", minimize=False),
        )
    ],
    "SPT015": [
        (best_shown, peak_within),
        (setting("step", 1, in_cell(SPARSE)), lambda f: f),
        (
            lambda frames: frames.replace(sources=(("val_accuracy", "best_val_acc"),)),
            lambda frames: frames.replace(sources=(("val_accuracy", "val_acc"),)),
        ),
    ],
    "SPT016": [
        (
            lambda frames: copied(frames, MEASURE_COLUMNS),
            lambda frames: copied(frames, ("val_accuracy", "test_accuracy")),
        ),
        (
            lambda frames: copied(frames, MEASURE_COLUMNS),
            lambda frames: copied(
                frames, tuple(name for name in MEASURE_COLUMNS if name != "test_accuracy")
            ),
        ),
        (
            lambda frames: copied(frames, MEASURE_COLUMNS),
            lambda frames: rounded(copied(frames, MEASURE_COLUMNS)),
        ),
        (
            lambda frames: frames.with_values(
                "trials", "seed", 1000, where=in_cell(SPARSE, "report")
            ).replace(
                uses=frames.uses().assign(
                    seed=lambda u: u["seed"].where(
                        u["cell"].ne(SPARSE) | u["role"].ne("report"), 1000
                    )
                ),
            ),
            lambda f: f,
        ),
        (
            history(
                lambda rows: pd.concat(
                    [
                        rows.drop_duplicates("trial_id").assign(
                            step=0,
                            **dict.fromkeys(
                                ("train_loss", "val_loss", "train_entropy", "val_entropy"), 2.30264
                            ),
                        ),
                        rows,
                    ]
                )
            ),
            history(
                lambda rows: pd.concat([rows.drop_duplicates("trial_id").assign(step=0), rows])
            ),
        ),
    ],
    "SPT017": [("empty layer", "full layers")],
    "SPT018": [
        (said(objective="val_loss"), said(objective="val_accuracy", minimize=False)),
        (said(objective="train_loss"), lambda f: f),
    ],
    "SPT019": [
        (history(without_row(1)), history(without_row(-1))),
        (history(lambda rows: pd.concat([rows, rows.iloc[:1]])), lambda f: f),
        (
            history(lambda rows: without_row(1)(rows).assign(step=pd.NA)),
            history(lambda rows: rows.assign(step=pd.NA)),
        ),
        (setting("progress", 0.75, in_cell(SPARSE, "report")), lambda f: f),
    ],
    "SPT020": [("two devices", "two GPUs")],
    "SPT021": [
        (lambda frames: frames.replace(fresh_seeds=False), lambda f: f),
        (
            lambda frames: frames.replace(uses=reused(frames.uses())),
            lambda frames: frames,
        ),
    ],
    "SPT022": [(flops(1.2), flops(1.03))],
    "SPT023": [
        (own_code("nets=b", some(1, in_cell(SPARSE, "report"))), own_code("nets=a", everywhere)),
        (
            own_code("nets=a then nets=b", some(1, in_cell(SPARSE, "report"))),
            # Another cell may run further modules of its own.
            own_code("nets=a scores=b", in_cell(SPARSE)),
        ),
        (own_code("nets=b", in_cell(SPARSE)), own_code("nets=a then nets=a", everywhere)),
        # Old trials did not record it: nothing is known against them.
        (own_code("lib=x nets=b", some(2, dense)), own_code(pd.NA, some(2, dense))),
    ],
    "SPT024": [("cut certificate", "full layers"), ("not closed", "plain")],
    "SPT025": [
        # A balanced test set of ten classes, at exactly the share of one, with varied answers.
        (constant(0.1, in_cell(SPARSE, "report")), constant(0.1, None, in_cell(SPARSE, "report"))),
        (constant(0.7, in_cell(SPARSE, "control")), constant(0.7, in_cell(SPARSE, "search"))),
        (constant(np.nan, some(1, in_cell(SPARSE, "report"))), constant(np.nan, None)),
    ],
    "SPT035": [
        (
            setting("config_id", "another", some(1, in_cell(SPARSE, "report"))),
            setting("config_id", "another", in_cell(SPARSE, "report")),
        )
    ],
}


EXAMPLES |= SLIPS
EXAMPLES["SPT015"] += PUBLISHED


def test_networks_that_learned_nothing_are_named_in_words(
    example: Callable[[Change], Results],
) -> None:
    found = checks(example(constant(0.6838, in_cell(SPARSE, "report", "control"))))
    (message,) = found.loc[found["code"] == "SPT025", "message"]
    assert message == (
        "Networks that are compared should have learned something. GMP at 90 %: all 6 networks"
        " answer the same class for every test example, which is right for 68.38 % of them."
    )
    some_of = checks(example(constant(np.nan, some(1, in_cell(SPARSE, "report")))))
    (row,) = some_of[some_of["code"] == "SPT025"].to_dict("records")
    assert (row["severity"], row["cell"]) == ("warning", SPARSE)
    assert "GMP at 90 %: 1 of 6 networks predicts no better than one constant" in row["message"]


def unmeasured(frames: MadeResults) -> MadeResults:
    """Without the certificate and the mask's state, as a foreign table is."""
    return frames.replace(trials=frames.trials().assign(certified=pd.NA, at_target=pd.NA))


def choices(frames: MadeResults, count: int) -> MadeResults:
    """The learning rate was chosen from a list of that many values, the winner's the largest."""
    axis = Choice(list(np.geomspace(0.01, 1, count)))
    ranges = {**frames.design.ranges, (SPARSE, "optim.lr"): axis}
    return frames.replace(design=replace(frames.design, ranges=ranges))


def pruned(frames: MadeResults) -> MadeResults:
    return frames.with_values("trials", "status", "PRUNED", where=in_cell(SPARSE, "search"))


def reused(uses: pd.DataFrame) -> pd.DataFrame:
    """The winners' search trials stand as report trials too."""
    report = uses[(uses["role"] == "report") & (uses["cell"] == SPARSE)]
    own = uses[
        (uses["role"] == "search")
        & uses["config_id"].isin(report["config_id"])
        & (uses["cell"] == SPARSE)
    ]
    assert len(own)
    return pd.concat([uses, own.assign(role="report")], ignore_index=True)


@pytest.fixture(scope="module")
def example(directories: Callable[[str], Path]) -> Callable[[Change], Results]:
    """The results of a built example."""
    sound = MadeResults.copy_of(analysis.load(directories("none")))

    def build(change: Change) -> Results:
        return analysis.load(directories(change)) if isinstance(change, str) else change(sound)

    return build


PAIRS = [(code, number) for code, pairs in EXAMPLES.items() for number in range(len(pairs))]


def test_every_check_has_examples() -> None:
    assert sorted(EXAMPLES) == list(CHECKS)
    assert all(
        code == check.code and check.severity in SEVERITIES for code, check in CHECKS.items()
    )


@pytest.mark.parametrize(("code", "number"), PAIRS)
def test_a_check_fires_on_its_example_and_not_on_its_twin(
    code: str, number: int, example: Callable[[Change], Results]
) -> None:
    faulty, innocent = EXAMPLES[code][number]
    found = checks(example(faulty))
    silent = checks(example(innocent))
    assert code in set(found["code"]), found
    assert code not in set(silent["code"]), silent[silent["code"] == code]["message"].tolist()
    assert code not in silent.attrs["not_run"]
    assert not found.duplicated(["code", "severity"]).any()


def test_a_sound_study_has_no_finding(example: Callable[[Change], Results]) -> None:
    found = checks(example(lambda frames: seeds(3)(frames)))
    assert found.empty, found["message"].tolist()
    assert list(found) == ["code", "severity", "arm", "cell", "message", "remedy"]


@pytest.mark.parametrize("code", CHECKS)
def test_the_page_explains_every_check(code: str) -> None:
    check = CHECKS[code]
    text = PAGE.read_text()
    heading = f"## {code} {check.title}\n"
    assert heading in text
    assert check.anchor == re.sub(r"[^a-z0-9 -]", "", heading[3:].strip().lower()).replace(" ", "-")
    section = " ".join(text.partition(heading)[2].partition("\n## ")[0].split())
    assert check.remedy in section
    assert section.startswith(f"**{check.severity.capitalize()}.**")
    for part in ("**Why.**", "**Detected.**", "**What to do.**"):
        assert part in section


def test_the_page_names_no_other_code() -> None:
    assert set(re.findall(r"^## (SPT\d+)", PAGE.read_text(), re.M)) == set(CHECKS)


def test_findings_are_sorted_and_messages_say_what_came(
    example: Callable[[Change], Results],
) -> None:
    def change(frames: MadeResults) -> MadeResults:
        frames = frames.with_values("trials", "certified", False, where=in_cell(SPARSE, "report"))
        frames = said(objective="val_loss")(frames)
        return frames.with_values(
            "trials", "status", "FAILED", where=some(2, in_cell(SPARSE, "control"))
        )

    found = checks(example(change))
    assert found["code"].tolist() == ["SPT001", "SPT005", "SPT018"]
    assert found["severity"].tolist() == ["error", "warning", "note"]
    first = found.iloc[0]
    assert first["message"] == (
        "A run must end with the sparsity that was asked for. GMP: 3 of 34 runs did not, in"
        " 1 network."
        " The one furthest off ended at 90 %, 90 % was asked for."
    )
    assert (first["arm"], first["cell"]) == ("gmp", SPARSE)
    assert "2 of 42 runs failed" in found.iloc[1]["message"]


def test_one_rule_says_what_is_at_the_edge_of_its_range(
    example: Callable[[Change], Results],
) -> None:
    for place in (1.0, 0.93, 0.8, 0.6):
        results = example(winner_at(place))
        rows = analysis.edges(results)
        sure = rows[rows["sure"].astype(bool)]
        found = checks(results).query("code == 'SPT002'")
        assert found["cell"].tolist() == ([SPARSE] if SPARSE in set(sure["cell"]) else [])
        where = (
            "The best learning rate lies at or beyond its upper end, 1, in 1 network: GMP at 90 %."
        )
        assert found["message"].str.contains(where, regex=False).all()
    few = example(winner_at(1.0))
    assert isinstance(few, MadeResults)
    uses = few.uses()
    kept = uses[(uses["role"] != "search") | (uses["index"] >= 6)]
    rows = analysis.edges(few.replace(uses=kept))
    # Of six configurations the winner's place may be chance: in the table, not in the findings.
    assert SPARSE in set(rows["cell"]) and not rows["sure"].any()
    assert "SPT002" not in set(checks(few.replace(uses=kept))["code"])


def test_too_few_seeds_never_show_that_there_is_no_difference(
    example: Callable[[Change], Results],
) -> None:
    (few,) = checks(example(seeds(2))).query("code == 'SPT003'").to_dict("records")
    assert "say that the difference is not settled there" in few["remedy"]
    assert "no difference" not in few["message"] + few["remedy"]
    assert ": GMP at 90 %" in few["message"]


def test_many_cells_are_named_by_the_first_few(example: Callable[[Change], Results]) -> None:
    frames = example(lambda frames: frames)
    assert isinstance(frames, MadeResults)
    cells = pd.concat(
        [frames.cells().iloc[[1]].assign(cell=f"gmp/{k}", finished=False) for k in range(15)]
    )
    found = checks(frames.replace(cells=cells)).query("code == 'SPT004'")
    assert found["cell"].tolist() == ["gmp/0, gmp/1, gmp/2 and 12 more"]


def test_a_check_without_its_columns_is_listed_and_does_not_fire(
    example: Callable[[Change], Results],
) -> None:
    frames = example(lambda frames: frames)
    assert isinstance(frames, MadeResults)
    blind = frames.trials().drop(columns=["certified", "at_target", "sparsity", "prunable_weights"])
    found = checks(
        frames.replace(trials=blind.assign(seed=pd.NA)).replace(history=frames.history()[:0])
    )
    lacking = found.attrs["not_run"]
    assert lacking["SPT001"] == ["certified or at_target or sparsity"]
    assert lacking["SPT010"] == ["prunable_weights"]
    assert lacking["SPT017"] == ["the certificates of a study directory"]
    assert lacking["SPT020"] == ["the ledger of a study directory"]
    assert not set(lacking) & set(found["code"])


def test_code_is_an_error_within_a_mean_and_a_warning_between_cells(
    example: Callable[[Change], Results],
) -> None:
    (within,) = found_code(example(own_code("nets=b", some(1, in_cell(SPARSE, "report")))))
    assert (within["severity"], within["arm"], within["cell"]) == ("error", "gmp", SPARSE)
    assert "`nets` ran as b in 1 run and a in 2 runs" in within["message"]
    (between,) = found_code(example(own_code("nets=b", in_cell(SPARSE))))
    assert (between["severity"], between["cell"]) == ("warning", SPARSE)
    frames = example(own_code(pd.NA, everywhere))
    assert "SPT023" not in checks(frames).attrs["not_run"], "nothing of one's own ran"
    named = frames.replace(trials=frames.trials().assign(**{"task.model": "nets:Net"}))
    assert checks(named).attrs["not_run"]["SPT023"] == ["own_code"]


def found_code(results: Results) -> list[dict[str, Any]]:
    return checks(results).query("code == 'SPT023'").to_dict("records")


def test_only_the_cells_asked_for_are_looked_at(example: Callable[[Change], Results]) -> None:
    results = example(setting("certified", False, in_cell(SPARSE)))
    assert "SPT001" in set(checks(results, {"sparsity.target": 0.9})["code"])
    assert "SPT001" not in set(checks(results, {"sparsity.target": 0.95})["code"])
    with pytest.raises(
        SparsetuneError, match=r"must be one of .*optim\.lr.*, got `optim\.learning_rate`"
    ):
        checks(results, {"optim.learning_rate": 1})
    with pytest.raises(
        SparsetuneError, match=r"`y` must be one of .*test_accuracy.*, got `accuracy`"
    ):
        checks(results, y="accuracy")


def test_the_measure_that_is_shown_may_be_given(example: Callable[[Change], Results]) -> None:
    results = example(lambda frames: frames)
    assert "SPT018" not in set(
        checks(results)["code"]
    )  # chosen by val_error, which is 1 - val_accuracy
    found = checks(results, y="test_loss").query("code == 'SPT018'")
    said = "Winners were chosen by validation error, curves show test loss."
    assert said in found["message"].iloc[0]


def test_an_unstarted_study_is_unfinished_and_nothing_else(tmp_path: Path) -> None:
    path = Simulation(STUDY, tmp_path / "s").run(cells=0)
    assert set(checks(analysis.load(path))["code"]) == {"SPT004"}


def ended(*lasts: int, **more: Any) -> Results:
    """A table of one run for each last epoch, of one sparsity, with every evaluation."""
    rows = [
        (k, epoch, 0.5 + 0.01 * epoch)
        for k, last in enumerate(lasts)
        for epoch in range(1, last + 1)
    ]
    frame = pd.DataFrame(rows, columns=["trial_id", "epoch", "val_accuracy"])
    return load_table(frame.assign(seed=frame["trial_id"], sparsity=0.9).assign(**more), name="cut")


@pytest.mark.parametrize(
    ("results", "found"),
    [
        (lambda: ended(10, 10, 6), 1),
        (lambda: ended(10, 10, 9), 0),  # counted from 0 or from 1
        (lambda: ended(10, 8, 6), 0),  # a stopping rule
        (lambda: ended(10, 10, 6, status=["finished"] * 20 + ["stopped"] * 6), 0),
        (lambda: ended(10, 10, 6, **{"schedule.epochs": 10}), 0),  # then it was stopped
    ],
)
def test_a_run_that_like_ones_outlast_is_found(results: Callable[[], Results], found: int) -> None:
    rows = checks(results()).query("code == 'SPT019'")
    assert len(rows) == found
    assert all(
        "1 of 3 runs are marked COMPLETE, though most runs like them end later." in text
        for text in rows["message"]
    )


def test_the_trend_test_is_exact_enough_and_rarely_accuses() -> None:
    # all three losses among the 3 trials at the top of 12: 1 of C(12, 3) = 220 draws
    assert trend_p_value(np.array([0, 0, 0, 3]), np.array([3, 3, 3, 3])) == pytest.approx(
        1 / 220, abs=0.0025
    )
    assert trend_p_value(np.array([3, 0, 0, 0]), np.array([3, 3, 3, 3])) == 1
    assert (
        trend_p_value(np.array([0, 0]), np.array([9, 9]))
        == trend_p_value(np.array([9, 9]), np.array([9, 9]))
        == 1
    )
    random = np.random.default_rng(0)
    accused = [
        trend_p_value(random.binomial(20, 0.2, 4), np.full(4, 20)) < 0.01 for _ in range(300)
    ]
    assert np.mean(accused) <= 0.02


@pytest.mark.parametrize(
    ("status", "lost"), [("finished", [4, 5]), ("crashed", []), ("running", [5]), ("stopped", [])]
)
def test_survivors_are_never_averaged(status: str, lost: list[int]) -> None:
    results = outcomes(*["finished"] * 5, status, lost=lost)(None)
    curve = analysis.sparsity_curve(results).frame().set_index("sparsity")
    assert curve.loc[0.5, ["n", "mean"]].tolist() == [3, pytest.approx(0.91)]
    assert curve.loc[0.9, "n"] == 0 and np.isnan(curve.loc[0.9, "mean"])
    (row,) = checks(results).query("code == 'SPT031'").to_dict("records")
    count = len(lost) or 1
    assert (
        f"{count} of 3 runs have none in GMP at 90 %, for which no mean is shown."
        in (row["message"])
    )
    early = "Values of 1 of them come from before their end" in row["message"]
    assert early == (not lost)


class StatedMeans(MadeResults):
    """Results whose first trials are means over five runs, as a table may say."""

    def given_means(self, y: str) -> pd.DataFrame:
        ids = self.trials()["trial_id"][:2]
        return pd.DataFrame({"n": [5.0, 5.0], "sd": 0.01, "dense_id": pd.NA}, index=ids)


def test_means_that_a_table_states_are_found_beside_single_runs() -> None:
    single = load_table(runs(), name="gmp", select="all")
    parts = (single.trials(), single.history(), single.cells(), single.uses())
    stated = StatedMeans(single.design, *parts)
    (row,) = checks(stated).query("code == 'SPT034'").to_dict("records")
    assert "2 of 12 values are means over 5 runs" in row["message"]
    assert "SPT034" not in set(checks(MadeResults(single.design, *parts))["code"])


def test_counts_fall_by_more_than_chance_or_not() -> None:
    # All of 4 runs in the first of two groups: mean rank 0, z = -0.5 / sqrt(3 / 48) = -2.
    assert falling_p_value(np.array([4, 0])) == pytest.approx(norm.cdf(-2))
    assert falling_p_value(np.array([3, 3, 3])) == pytest.approx(0.5)
    assert falling_p_value(np.array([1, 5])) > 0.9
    assert falling_p_value(np.array([7])) == falling_p_value(np.array([0, 0])) == 1
    random = np.random.default_rng(0)
    draws = random.multinomial(60, [0.2] * 5, 400)
    accused = [falling_p_value(counts) < 0.02 for counts in draws]
    assert 0.002 <= np.mean(accused) <= 0.04


def test_1000_trials_of_200_rows_are_checked_in_a_second(
    example: Callable[[Change], Results],
) -> None:
    frames = example(
        lambda frames: seeds(3)(frames).with_values(
            "trials", "step", lambda t: t["step"] + 88 * 49, where=everywhere
        )
    )
    assert isinstance(frames, MadeResults)
    times = -(-1000 // len(frames.trials()))
    per_trial = -(-200 // 4)
    tables: dict[str, list[pd.DataFrame]] = {"trials": [], "uses": [], "cells": [], "history": []}
    rows = pd.concat(
        [frames.history().assign(step=lambda r, k=k: r["step"] + 88 * k) for k in range(per_trial)]
    )
    whole = {
        "trials": frames.trials(),
        "history": rows,
        "cells": frames.cells(),
        "uses": frames.uses(),
    }
    for k in range(times):
        new = {
            name: f"-{k}"
            for name in ("trial_id", "twin_id", "cell", "config_id", "winner_id", "control_id")
        }
        for name, frame in whole.items():
            changed = {
                column: frame[column] + suffix for column, suffix in new.items() if column in frame
            }
            tables[name].append(frame.assign(**changed))
    big = frames.replace(
        **{name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}
    )
    assert len(big.trials()) >= 1000
    start = time.process_time()
    checks(big)
    spent = time.process_time() - start
    print(f"{len(big.trials())} trials, {len(big.history())} rows: {spent:.2f} s")
    assert spent < 2  # 0.6 s on two cores that nobody shares


def test_counts_of_several_arms_are_added_up_and_name_them() -> None:
    rows = [(arm, 0.9, seed, 0.8) for arm in ("gmp", "acdc") for seed in range(3)]
    frame = pd.DataFrame(rows, columns=["arm", "sparsity.target", "seed", "sparsity"])
    table = frame.assign(test_accuracy=0.8)
    (message,) = checks(load_table(table)).query("code == 'SPT001'")["message"]
    assert "GMP and AC/DC: 6 of 6 runs did not, in 2 networks." in message
    mixed = table.assign(sparsity=[0.8, 0.9, 0.9] * 2)
    (message,) = checks(load_table(mixed)).query("code == 'SPT001'")["message"]
    assert "GMP and AC/DC: 2 of 6 runs did not, in 2 networks." in message
    apart = table.assign(sparsity=[0.8] * 3 + [0.9] * 3)
    (message,) = checks(load_table(apart)).query("code == 'SPT001'")["message"]
    assert "GMP: 3 of 3 runs did not, in 1 network." in message


def test_few_seeds_are_counted_by_their_number() -> None:
    counts = {0.5: 2, 0.9: 1, 0.95: 1}
    rows = [(target, seed) for target, count in counts.items() for seed in range(count)]
    frame = pd.DataFrame(rows, columns=["sparsity.target", "seed"]).assign(test_accuracy=0.8)
    (message,) = checks(load_table(frame)).query("code == 'SPT003'")["message"]
    assert "Some have no more than 1 seed, 2 of 3 networks" in message
    assert message.endswith("Fewer than three have 3 of 3 networks.")
    even = frame[frame["seed"] == 0]
    (message,) = checks(load_table(even)).query("code == 'SPT003'")["message"]
    assert "1 seed, 3 of 3 networks" in message and "Fewer than three" not in message
