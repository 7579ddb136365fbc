"""The report of a study: one page that needs no network, its figures with their numbers, its tables."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from analysis import draw, optimum_figure
from analysis.comparison import COSTS, Comparison, compare, costs
from analysis.curves import Curve, cell_values, length_curve, sparsity_curve, with_dense
from analysis.fairness import uneven
from analysis.hyperparameters import optima
from analysis.load import StudyResults, load
from analysis.results import Results
from analysis.retuning import retuning_gain
from analysis.select import report_rows
from analysis.summary import MORE_OR_LESS, summary
from analysis.undertraining import extension_gain
from sparsetune.memory import in_words, peaks
from sparsetune.places import Place
from sparsetune.store import write_durably, writing
from sparsetune.tables import FINISHED

MANY = 3
"""Arms at one sparsity that the headlines still give a sentence each; more are ranked in one."""
TRACE = ["arm", "sparsity", "epochs", "seed", "trial_id", "progress"]


@dataclass(frozen=True)
class Drawing:
    """One figure of the page: its file name, the SVG itself, and what the caption says."""

    name: str
    title: str
    svg: str
    caption: str
    width: int


@dataclass(frozen=True)
class Section:
    """The figures and numbers of one combination of the sweep axes besides sparsity and length; arms compared first."""

    title: str
    measure: str = ""
    numbers: pd.DataFrame = field(default_factory=pd.DataFrame)
    headlines: Sequence[str] = ()
    lead: Drawing | None = None
    drawings: Sequence[Drawing] = ()

    @property
    def rows(self) -> list[dict[Any, Any]]:
        """Of the table of numbers."""
        return self.numbers.to_dict("records")

    @property
    def shown(self) -> set[str]:
        """Those of the table's optional columns that say something: ``length choice active gains``."""
        numbers = self.numbers
        says = {"length": numbers["epochs"].nunique() > 1, "choice": numbers["extra_flops"].gt(0).any()}
        says |= {"active": numbers["ever_active"].lt(1).any(), "gains": numbers["gain"].notna().any()}
        return {name for name, does in says.items() if does}


def report(directory: str | os.PathLike[str] | Place) -> Place:
    """Write ``tables/``, ``figures/`` and ``report/index.html`` into a study directory, finished or not.

    Returns:
        The page.

    Raises:
        StudyDirectoryError: if it is no readable study directory.
        StorageError: if it cannot be written.
    """
    results = load(directory)
    page = results.directory.report
    with writing(page):
        write_tables(results)
        write_durably(page, render(results))
    return page


def write_tables(results: StudyResults) -> None:
    """``tables/trials.csv``, ``history.csv`` and ``cells.csv``."""
    for name in ("trials", "history", "cells"):
        write_durably(results.directory.tables / f"{name}.csv", getattr(results, name)().to_csv(index=False))


def render(results: StudyResults) -> str:
    """The page as HTML; everything that a study's author may name is escaped."""
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("analysis", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"svg": Markup, "value": _value, "exact": _exact, "words": _field, "bytes": in_words}
    environment.globals |= {"interval": interval, "percent": percent}
    trials, cells = results.trials(), results.cells()
    return environment.get_template("report.html.jinja").render(
        study=results.study,
        status=trials["status"].value_counts().to_dict(),
        finished=bool(cells["finished"].all() and trials["status"].isin(FINISHED).all()),
        trials=trials,
        cells=cells,
        sweep=[name for name in cells if name in results.design.sweep or name == "sparsity.target"],
        search=[name for name in cells if name in results.design.search],
        sections=list(sections(results)),
        recipe=_recipe(results) if results.design.search else None,
        uneven=uneven(results),
        counted=_counted(trials),
        memory=peaks(results.states.values()),
        pruned=report_rows(results).groupby("cell")["pruned_weights"].first().dropna().to_dict(),
        troubled=trials[trials["status"].isin(["DIVERGED", "FAILED", "INVALID"])],
        launches=[_launch(facts) for facts in results.directory.launches()],
        folder="/".join(str(results.directory.path).split("/")[-2:]),
        made=datetime.now(UTC),
    )


def sections(results: StudyResults) -> Iterator[Section]:
    """A section per combination of the sweep axes that are neither sparsity nor training length; usually one."""
    rows = report_rows(results)
    lengths, others = results.design.lengths(), [path for path in results.design.others() if path in rows]
    values = [list(dict.fromkeys(rows[path].dropna())) for path in others]
    for number, combination in enumerate(itertools.product(*values)):
        where = dict(zip(others, combination, strict=True))
        title = ", ".join(f"{path} {_value(value)}" for path, value in where.items())
        yield _section(results, where, lengths[0] if lengths else None, title, f"-{number}" if others else "")


def _recipe(results: StudyResults) -> dict[str, Any] | None:
    """How the best hyperparameters move, for the page; None where there is nothing to say yet."""
    y = _headline(results)
    found, gains = optima(results), retuning_gain(results, y)
    best, shifts = found.frame(), found.shifts()
    for name, frame in (("optimum", best), ("shifts", shifts), ("retuning", gains)):
        write_durably(results.directory.tables / f"{name}.csv", frame.to_csv(index=False))
    if best["value"].isna().all() and gains.empty:
        return None
    return {
        "drawings": [_saved(results, *drawing) for drawing in optimum_figure.drawings(found)],
        "best": best.dropna(subset="value").to_dict("records"),
        "shifts": shifts.to_dict("records"),
        "gains": gains.to_dict("records"),
        "objective": found.y,
        "measure": _words(y),
    }


def _headline(results: Results, where: Mapping[str, Any] | None = None) -> str:
    """What cells are judged by: accuracy where it was measured, else the task's score."""
    measured = cell_values(results, "test_accuracy", where)[1].notna().any(axis=None)
    return "test_accuracy" if measured else "test_score"


def _saved(results: StudyResults, name: str, title: str, figure: Any, frame: pd.DataFrame, caption: str) -> Drawing:
    svg = draw.save(figure, frame, results.directory.figures / name)
    return Drawing(name, title, svg, caption, round(96 * figure.get_figwidth()))


def _section(results: StudyResults, where: Mapping[str, Any], by: str | None, title: str, suffix: str) -> Section:
    y = _headline(results, where)
    gains = extension_gain(results, y, where=where)
    numbers = _with_costs(summary(results, y, where=where), costs(results, where))
    if not len(numbers):
        return Section(title)
    compared = compare(results, y, where=where)
    drawings = list(_drawings(results, where, by, compared, gains, suffix))
    headlines = [*_headlines(numbers, y), *_unclaimed(gains)]
    lead = drawings.pop(0) if compared.shared() else None
    if lead and not numbers["gain"].notna().any():
        numbers = numbers.sort_values(["sparsity", "mean"], ascending=[True, False], kind="stable")
    return Section(title, f"{_words(y)} (%)", numbers, headlines, lead, drawings)


def _with_costs(numbers: pd.DataFrame, costs: pd.DataFrame) -> pd.DataFrame:
    """The summary, where dense networks have the arm ``dense``, with what training of that length cost."""
    named = costs.assign(arm=costs["arm"].where(costs["sparsity"] > 0, "dense"))
    keys = ["arm", "sparsity", "epochs"]
    return numbers.merge(named[[*keys, *COSTS]].drop_duplicates(keys), on=keys, how="left")


def _drawings(
    results: StudyResults,
    where: Mapping[str, Any],
    by: str | None,
    compared: Comparison,
    gains: pd.DataFrame,
    suffix: str,
) -> Iterator[Drawing]:
    y = compared.y

    def drawn(name: str, title: str, figure: Any, frame: pd.DataFrame, caption: str) -> Drawing:
        return _saved(results, f"{name}{suffix}", title, figure, frame, caption)

    def curve(curve: Curve, title: str) -> Drawing:
        figure, note = curve.plot(), curve.note()
        if curve.x == "epochs" and curve.y == y and len(gains):
            starts = gains["from_epochs"].where(gains["claimed"].eq(True), gains["to_epochs"])
            draw.shade_below(figure, starts.max())
            note += " Shaded: dense is under-trained too, nothing is claimed."
        return drawn(f"{curve.y}-{curve.x}", title, figure, curve.frame(), note)

    if compared.shared():
        length = f", after {compared.epochs:g} epochs" if by else ""
        title = f"{_words(y)} and cost of training against sparsity{length}"
        yield drawn("comparison", title, compared.plot(), compared.frame(), compared.note())
    if by or not compared.shared():
        yield curve(sparsity_curve(results, y, by, where=where), f"{_words(y)} against sparsity")
    if by:
        yield curve(length_curve(results, y, where=where), f"{_words(y)} against training length")
        if gains["claimed"].eq(True).any():
            title = "What longer training gains beyond dense"
            yield drawn("extension-gain", title, draw.gains(gains, y), gains, _gain_note(gains))
    for column in ("train_loss", "val_loss", "train_entropy", "val_entropy"):
        yield curve(sparsity_curve(results, column, by, where=where), f"{_words(column)} against sparsity")
        if by:
            yield curve(length_curve(results, column, where=where), f"{_words(column)} against training length")
    history = winners_history(results, where)
    note = "Winners' report trials, a line per seed."
    if by and history["epochs"].nunique() > 2:
        note += " Of more than three training lengths the shortest, middle and longest are drawn."
    for column in ("val_loss", "train_loss"):
        figure = draw.histories(history, column)
        yield drawn(f"history-{column}", f"{_words(column)} over training", figure, history[[*TRACE, column]], note)
    first = history[history["seed"] == history.groupby(["arm", "epochs", "sparsity"])["seed"].transform("min")]
    figure, trace = draw.histories(first, "sparsity_now"), first[[*TRACE, "sparsity_now"]]
    yield drawn(
        "history-sparsity", "Sparsity of the mask over training", figure, trace, note.replace("a line per", "first")
    )


def winners_history(results: Results, where: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Every evaluation of the winners' report trials: ``arm sparsity epochs seed trial_id progress`` and the measures.

    ``sparsity`` is the target, ``sparsity_now`` the mask's; dense trials appear in every arm. Of more than three
    training lengths the shortest, the middle and the longest stay.
    """
    rows = report_rows(results)
    cells = cell_values(results, "val_loss", where)[0]
    rows = with_dense(rows[rows["cell"].isin(cells.index)].assign(sparsity=rows["sparsity.target"]))
    lengths = sorted(set(rows["epochs"]))
    rows = rows[
        rows["epochs"].isin([lengths[0], lengths[len(lengths) // 2], lengths[-1]] if len(lengths) > 3 else lengths)
    ]
    history = results.history().rename(columns={"sparsity": "sparsity_now"})
    return rows[["arm", "sparsity", "epochs", "trial_id"]].merge(
        history.drop(columns=["arm", "cell"]), on="trial_id", suffixes=("", "_")
    )


def _headlines(numbers: pd.DataFrame, y: str) -> Iterator[str]:
    """The summary in sentences: the dense network, the sparsest one of each arm, and what longer training gains."""
    dense, sparse = numbers[numbers["sparsity"] == 0], numbers[numbers["sparsity"] > 0]
    for row in dense.to_dict("records"):
        yield f"Dense: {_words(y).lower()} {_reached(row)}."
    ranking = _ranking(sparse, y)
    yield from ranking
    for arm, rows in sparse.groupby("arm", sort=False) if not ranking else ():
        row = rows.sort_values("sparsity").to_dict("records")[-1]
        twin = interval(row["difference"], row["difference_low"], row["difference_high"])
        distance = f"; {twin} points from its dense twin" if twin else ""
        yield f"{arm} at {100 * row['sparsity']:.10g} % sparsity: {_words(y).lower()} {_reached(row)}{distance}."
    for _, rows in sparse[sparse["verdict"] != ""].groupby(["arm", "verdict"], sort=False):
        arm, verdict = rows["arm"].iloc[0], rows["verdict"].iloc[0]
        step = f"from {rows['from_epochs'].iloc[0]:g} to {rows['to_epochs'].iloc[0]:g} epochs"
        gains = ", ".join(
            f"{interval(row['gain'], row['gain_low'], row['gain_high'])} points at {100 * row['sparsity']:.10g} %"
            for row in rows.to_dict("records")
        )
        said = (
            f"{arm} {verdict} than dense {step}"
            if verdict in MORE_OR_LESS
            else f"{arm} {step}: gain over dense {verdict}"
        )
        yield f"{said}: {gains}."


def _ranking(sparse: pd.DataFrame, y: str) -> list[str]:
    """The arms from the best down at the highest sparsity that many have; nothing where no sparsity has many."""
    arms = sparse.groupby("sparsity")["arm"].nunique()
    shared = arms.index[arms > MANY]
    if shared.empty:
        return []
    ranked = sparse[sparse["sparsity"] == shared.max()].sort_values("mean", ascending=False, kind="stable")
    values = ", ".join(f"{row['arm']} {100 * row['mean']:.2f}" for row in ranked.to_dict("records"))
    at = f"At {100 * float(shared.max()):.10g} % sparsity"
    unsure = "Where intervals overlap" if ranked["low"].notna().any() else "With one seed each"
    return [f"{at}, {_words(y).lower()} in percent: {values}. {unsure}, the order is not settled."]


def _unclaimed(gains: pd.DataFrame) -> list[str]:
    """Why no gain from longer training is claimed, where lengths were compared and none is."""
    if gains.empty or gains["claimed"].any():
        return []
    return ["No gain from longer training is claimed: dense is within 0.2 points of its best only at the longest one."]


def _reached(row: Mapping[Any, Any]) -> str:
    return f"{interval(row['mean'], row['low'], row['high'])} % after {row['epochs']:g} epochs, n = {row['n']}"


def interval(value: Any, low: Any, high: Any) -> str:
    """Fractions as percent with their interval: ``87.12 [86.90, 87.34]``; empty where there is no value."""
    if pd.isna(value):
        return ""
    return f"{100 * value:.2f}" + ("" if pd.isna(low) else f" [{100 * low:.2f}, {100 * high:.2f}]")


def percent(value: Any) -> str:
    """A fraction as percent; missing is empty."""
    return "" if pd.isna(value) else f"{100 * value:.2f}"


def _counted(trials: pd.DataFrame) -> list[str]:
    """What sparsity is a fraction of, for each network of the study: prunable weights of all parameters."""
    known = trials.dropna(subset=["prunable_weights", "parameters"])
    networks = known[["task.model", "prunable_weights", "parameters"]].drop_duplicates()
    return [
        f"{row['prunable_weights']:,.0f} prunable weights of {row['parameters']:,.0f} parameters ({row['task.model']})"
        for row in networks.to_dict("records")
    ]


def _gain_note(gains: pd.DataFrame) -> str:
    claimed = gains[gains["claimed"].eq(True)]
    return (
        f"Accuracy gained from {claimed['from_epochs'].iloc[0]:g} epochs on (the shortest length at which dense is"
        f" within 0.2 points of its best) minus what dense gained, paired by seed, n = {claimed['n'].max()};"
        " bars: 95 % t intervals, not corrected for the number of comparisons."
    )


def _words(column: str) -> str:
    return draw.label(column).split(" (")[0]


def _value(value: Any) -> str:
    """A configuration's value for a reader: four significant digits; missing is empty."""
    if pd.isna(value):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _exact(value: Any) -> str:
    """A value as it was declared."""
    return f"{value:.10g}" if isinstance(value, float) and not pd.isna(value) else _value(value)


def _field(path: str) -> str:
    """A dotted field as a column's heading: ``sparsity.ramp.start`` is ``Ramp start``."""
    words = " ".join(path.split(".")[1:]).replace("_", " ")
    return {"target": "Sparsity", "lr": "Learning rate"}.get(words, words.capitalize())


def _launch(facts: Mapping[str, Any]) -> dict[str, Any]:
    git = facts.get("git") or {}
    packages = ", ".join(f"{name} {version}" for name, version in (facts.get("packages") or {}).items() if version)
    return {
        "time": datetime.fromtimestamp(facts.get("time", 0), UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": facts.get("command", ""),
        "code": f"{git.get('commit', '')[:12]}{' with changes' if git.get('changed') else ''}",
        "machine": ", ".join(str(facts[name]) for name in ("processor", "platform") if facts.get(name)),
        "packages": f"Python {facts.get('python', '')}, {packages}",
    }
