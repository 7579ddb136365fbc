"""Exhibits of answers: the figure of the first screen, and figure and table of each question."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from sparsetune.errors import SparsetuneError

from ..curves.curve import length_curve, sparsity_curve
from ..exhibit import Exhibit, TableColumn, measure_format
from ..measure import Measure
from ..tables.results import Results
from ..wording import DENSE_MEAN_LABEL, TWIN_LABELS, line_phrase, start_sentence
from .figures import (
    draw_against_length,
    draw_against_sparsity,
    draw_effects,
    has_cut_bands,
)
from .groups import AnswerGroup
from .page_sentences import write_on_page
from .samples import score_measure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_ARMS_OF_LENGTHS = 3
"""Arms up to which each has a panel against training length."""
FIRST_FIGURE = "answer"
"""Name of the first screen's figure."""


def answer_exhibit(results: Results, groups: Sequence[AnswerGroup]) -> Exhibit | None:
    """The figure of the first screen; None as long as nothing was measured.

    It shows the score against training length where lengths are swept, else against sparsity with
    the dense twin.
    """
    measure = score_measure(results)
    where = _where(results, groups)
    for points_of in (_length_points, _sparsity_points):
        try:
            points = points_of(results, measure, where)
        except SparsetuneError:
            continue
        if points["mean"].notna().any():
            if points_of is _sparsity_points:
                draw = _sparsity_drawer(results, points, measure)
                return _score_exhibit(points, measure, "sparsity", draw)
            draw = partial(draw_against_length, points, measure)
            return _score_exhibit(points, measure, "training length", draw)
    return None


def _where(results: Results, groups: Sequence[AnswerGroup]) -> Mapping[str, Any]:
    """Values of further sweep axes of the network that the first answer is about."""
    others = results.design.other_axes()
    if not others or not groups:
        return {}
    at = dict(groups[0].answers[0].primary.measured.planned.at.others)
    return {path: at[path] for path in others if path in at}


def _length_points(results: Results, measure: Measure, where: Mapping[str, Any]) -> pd.DataFrame:
    if not results.design.lengths():
        raise SparsetuneError("one length of training only")
    points = length_curve(results, measure.column, where=where).frame()
    points = points.rename(columns={"sparsity.target": "sparsity"})
    is_sparse_arm = points.groupby("arm")["sparsity"].transform("max").gt(0)
    points = points[is_sparse_arm] if is_sparse_arm.any() else points
    if points["arm"].nunique() > MAX_ARMS_OF_LENGTHS or points["epochs"].nunique() < 2:
        raise SparsetuneError("too many arms for a panel each")
    return points


def _sparsity_points(results: Results, measure: Measure, where: Mapping[str, Any]) -> pd.DataFrame:
    lengths = results.design.lengths()
    by = lengths[0] if lengths else None
    points = sparsity_curve(results, measure.column, by, where=where).frame()
    if by:
        # Each arm after its longest training.
        longest = points.groupby("arm")[by].transform("max")
        points = points[points[by] == longest]
    twin = points["mean"] - points["difference"]
    points = points.assign(twin=twin)
    is_sparse_arm = points.groupby("arm")["sparsity"].transform("max").gt(0)
    return points[is_sparse_arm] if is_sparse_arm.any() else points


def _sparsity_drawer(
    results: Results, points: pd.DataFrame, measure: Measure
) -> Callable[[], Figure]:
    """Function that draws the score against sparsity."""
    twin_label = TWIN_LABELS[results.design.equal]
    if points["unpaired"].any():
        twin_label = DENSE_MEAN_LABEL
    return partial(draw_against_sparsity, points, measure, twin_label)


def _score_exhibit(
    points: pd.DataFrame, measure: Measure, against: str, draw: Callable[[], Figure]
) -> Exhibit:
    has_bands = points["low"].notna().any()
    sentences = [write_on_page("caption_lines" if has_bands else "caption_points")]
    if points["spread_low"].notna().any():
        sentences.append(write_on_page("caption_spread"))
    if has_cut_bands(points):
        sentences.append(write_on_page("caption_cut"))
    title = f"{measure.title} against {against}"
    caption = " ".join(map(str, sentences))
    return Exhibit(FIRST_FIGURE, title, points, caption, draw)


def question_exhibit(results: Results, group: AnswerGroup, drawn: Exhibit | None) -> Exhibit | None:
    """Figure and table of one section; None if nothing was measured.

    Args:
        results: The study or table.
        group: The section's answers.
        drawn: The figure of the first screen, which is not drawn again.
    """
    frame = group.frame()
    if frame["mean"].isna().all():
        return None
    columns = tuple(_columns(group, frame))
    name = f"question-{group.kind}"
    if group.name == "remaining":
        return _remaining_exhibit(results, group, frame, columns, drawn)
    caption = [write_on_page("caption_effects" if group.is_before else "caption_effects_later")]
    if frame["margin"].notna().any() and group.is_before:
        caption.append(
            write_on_page(
                "caption_margin", margin=group.measure.margin_text(frame["margin"].iloc[0])
            )
        )
    # A picture of a single effect shows no more than its row.
    has_picture = frame["mean"].notna().sum() > 1
    figure = partial(draw_effects, frame, group.measure, _effect_label(group))
    return Exhibit(
        name,
        group.heading(),
        frame,
        " ".join(map(str, caption)),
        figure if has_picture else None,
        columns,
    )


def _remaining_exhibit(
    results: Results,
    group: AnswerGroup,
    frame: pd.DataFrame,
    columns: tuple[TableColumn, ...],
    drawn: Exhibit | None,
) -> Exhibit:
    title = f"{group.measure.title} against sparsity"
    caption = str(write_on_page("caption_remaining"))
    table = Exhibit(f"question-{group.kind}", title, frame, caption, None, columns)
    if drawn is None or drawn.title == title:
        return table
    try:
        points = _sparsity_points(results, group.measure, {})
    except SparsetuneError:
        return table
    names = [_network(row) for row in points.to_dict("records")]
    points = points.assign(network=names)
    # Sentences, table and figure have the same intervals: over test examples too, where known.
    own = frame.set_index("network")
    for end in ("low", "high"):
        points[end] = points["network"].map(own[end])
    figure = _sparsity_drawer(results, points, group.measure)
    # The dense network starts the line of every arm: in the table it stands once.
    shown = points.drop_duplicates("network")
    return Exhibit(f"question-{group.kind}", title, shown, caption, figure, columns)


def _network(row: Mapping[Any, Any]) -> str:
    """Name of a network in a table: ``GMP at 98 %``, ``Dense network``."""
    if not row["sparsity"]:
        return "Dense network"
    return start_sentence(line_phrase(str(row["arm"]), row["sparsity"]))


def _columns(group: AnswerGroup, frame: pd.DataFrame) -> Iterator[TableColumn]:
    measure = group.measure
    form = measure_format(measure)
    is_score = group.name == "remaining"
    name = measure.label if is_score else measure.difference_heading(EFFECT_NAMES[group.name])
    yield TableColumn("Network", "network")
    if frame["epochs"].nunique() > 1:
        yield TableColumn("Epochs", "epochs")
    yield TableColumn(f"{name}\n[interval]", "mean", "low", "high", form)
    yield TableColumn("Seeds", "n")
    yield TableColumn("Answer", "verdict")


EFFECT_NAMES = {
    "extension": "Gain beyond dense",
    "under": "Gain",
    "retuning": "Gain",
    "arms": "Difference",
    "value": "Shift",
}
"""Names of effects in tables, by the kind of question."""


def _effect_label(group: AnswerGroup) -> str:
    """Label of the axis of effects: the name, the measure and the unit."""
    of = "" if group.name == "value" else f" in {group.measure.phrase}"
    return group.measure.difference_heading(f"{EFFECT_NAMES[group.name]}{of}")
