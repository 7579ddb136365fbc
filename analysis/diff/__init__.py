"""Differences between two studies: in declaration, code and data, and in which conclusions."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from sparsetune.errors import SparsetuneError
from sparsetune.notebook import html_text
from sparsetune.paths import Place

from ..catalogue import paragraph, write
from ..catalogue.template import Sentence
from ..estimates.means import measure_columns
from ..lengths.summary import MORE_OR_LESS, summary
from ..load import StudyResults, load
from ..measure import Measure
from ..notebook import frame_html
from ..page.sections import headline_measure
from ..tables.results import Results
from .conclusions import CONCLUSION_DTYPES, compare_cells
from .provenance import declared_fields, runtime_facts

TASK_FIELDS = ("base.task.kind", "base.task.dataset", "base.task.folder")
"""Fields of a declaration that say what is learned; if they differ, so does what is measured."""
CHANGE_DTYPES = {"field": "string", "before": "string", "after": "string"}
SUMMARY_KEYS = ["arm", "sparsity"]


@dataclass(frozen=True)
class Diff:
    """Differences between two studies, ``before`` and ``after``; numbers are after minus before.

    Args:
        before: The first study.
        after: The second study.
        y: The measure of the conclusions.
        unlike: Reasons why the two cannot be compared; if there is any, there are no conclusions.
        compared: The frame that `conclusions` returns.
        level: Coverage of the intervals, in (0, 1).
    """

    before: Results
    after: Results
    y: Measure
    unlike: tuple[str, ...]
    compared: pd.DataFrame
    level: float = 0.95

    def __repr__(self) -> str:
        names = f"{self.before.design.name}, {self.after.design.name}"
        found = "not comparable" if self.unlike else f"{len(self.compared)} cells"
        return f"<Diff of {names}: {self.y}, {found}>"

    def _repr_html_(self) -> str:
        """Caption, changed fields and conclusions, as a notebook shows them."""
        tables = [frame_html(self.declaration()), frame_html(self.conclusions())]
        return "\n".join([html_text(self.note()), *tables])

    def declaration(self) -> pd.DataFrame:
        """One row per dotted field of the declarations that differs, defaults included.

        Returns:
            ``field before after``, NA in a study that lacks the field.
        """
        frame = _fields_side_by_side(declared_fields(self.before), declared_fields(self.after))
        return frame[_is_changed(frame)].reset_index(drop=True)

    def code(self) -> pd.DataFrame:
        """One row per fact on what trials ran on: commits, packages, machine, digests of data.

        Returns:
            ``field before after changed``. Several launches or workers may give several values.
            ``changed`` is NA for a fact that one study did not record.
        """
        frame = _fields_side_by_side(runtime_facts(self.before), runtime_facts(self.after))
        is_known = frame["before"].notna() & frame["after"].notna()
        changed = _is_changed(frame).astype("boolean")
        return frame.assign(changed=changed.where(is_known))

    def conclusions(self) -> pd.DataFrame:
        """One row per cell of either study, matched by ``arm sparsity epochs`` and further axes.

        Returns:
            ``n mean low high`` over report seeds with the suffixes ``_before`` and ``_after``;
            ``difference low high df n paired more_seeds verdict``. Values of the same seeds are
            paired, others compared by Welch's interval. ``verdict`` says whether the mean changed:
            ``yes, higher`` or ``yes, lower`` if the interval leaves out 0, ``no, equal on every
            seed``, else ``not settled``, with about how many ``more_seeds`` it would take; ``only
            before`` or ``only after`` for a cell of one study; or it says that a mean or an
            interval is missing.
        """
        return self.compared.copy()

    def findings(self) -> pd.DataFrame:
        """One row per word of `analysis.lengths.summary.summary` that differs.

        Returns:
            ``arm sparsity field before after``; empty if the studies cannot be compared, or have
            further sweep axes.
        """
        dtypes = {"arm": "string", "sparsity": "float64", **CHANGE_DTYPES}
        empty = pd.DataFrame(columns=list(dtypes)).astype(dtypes)
        other_axes = [*self.before.design.other_axes(), *self.after.design.other_axes()]
        if self.unlike or other_axes:
            return empty
        keys = [*SUMMARY_KEYS, "field"]
        before = _summary_words(self.before, self.y.column).rename(columns={"word": "before"})
        after = _summary_words(self.after, self.y.column).rename(columns={"word": "after"})
        frame = before.merge(after, on=keys)
        changed = frame[_is_changed(frame)]
        return pd.concat([empty, changed], ignore_index=True).astype(empty.dtypes.to_dict())

    def note(self) -> str:
        """Caption of the differences: how they were taken, and what may not be concluded."""
        return " ".join([paragraph(self._sentences()), *self.unlike])

    def _sentences(self) -> Iterator[Sentence]:
        if self.unlike:
            yield write("diff_unlike")
            return
        compared = int(self.compared["difference"].notna().sum())
        if not compared:
            yield write("diff_nothing")
            return
        paired = int(self.compared["paired"].fillna(False).sum())
        if paired == compared:
            yield write("diff_paired")
        elif paired == 0:
            yield write("diff_welch")
        else:
            yield write("diff_some_paired", paired=_networks(paired))
        yield write("diff_intervals", level=f"{100 * self.level:g}")
        one_in = f"{1 / (1 - self.level):.0f}"
        yield write("diff_chance", one_in=one_in, networks=_networks(compared))


def diff(
    before: Results | str | os.PathLike[str] | Place,
    after: Results | str | os.PathLike[str] | Place,
    y: str | None = None,
    *,
    level: float = 0.95,
    salvage: bool = False,
) -> Diff:
    """Compare two studies.

    Args:
        before: A study directory, or results.
        after: Another.
        y: A measured column; by default accuracy on the test set, else the score, else those on
            validation data, as far as both studies have it.
        level: Coverage of the intervals, in (0, 1).
        salvage: True to read a damaged ledger up to its first damage; see `analysis.load`.

    Raises:
        SparsetuneError: if ``y`` is unknown, or a directory is no readable study.
    """
    first = before if isinstance(before, Results) else load(before, salvage=salvage)
    second = after if isinstance(after, Results) else load(after, salvage=salvage)
    y = y or _common_measure(first, second)
    for results in (first, second):
        known = measure_columns(results)
        if y not in known:
            raise SparsetuneError(f"the measure must be one of {', '.join(known)}, got `{y}`")
    unlike = tuple(_incomparable_reasons(first, second, y))
    if unlike:
        compared = pd.DataFrame(columns=list(CONCLUSION_DTYPES))
    else:
        compared = compare_cells(first, second, y, level)
    return Diff(first, second, second.measure(y), unlike, compared, level)


def _common_measure(before: Results, after: Results) -> str:
    """The headline measure of the study that has the less preferred one."""
    measure = headline_measure(before)
    return headline_measure(after) if measure == "test_accuracy" else measure


def _incomparable_reasons(before: Results, after: Results, y: str) -> Iterator[str]:
    """Reasons why numbers of one study say nothing of the other.

    There are none for tables of runs, which do not say what was learned.
    """
    if not isinstance(before, StudyResults) or not isinstance(after, StudyResults):
        return
    first = declared_fields(before)
    second = declared_fields(after)
    pairs = {path: (first.get(path), second.get(path)) for path in TASK_FIELDS}
    if before.design.objective and after.design.objective:
        pairs["objective"] = (_objective_text(before), _objective_text(after))
    old_measure = before.measure(y)
    new_measure = after.measure(y)
    metrics = {old_measure.metric, new_measure.metric} - {""}
    if old_measure.unit != new_measure.unit or len(metrics) > 1:
        pairs[y] = (old_measure.label, new_measure.label)
    for path, (old, new) in pairs.items():
        if old != new:
            field = path.removeprefix("base.")
            before_text, after_text = old or "absent", new or "absent"
            reason = write("diff_unlike_field", field=field, before=before_text, after=after_text)
            yield str(reason)


def _objective_text(results: Results) -> str:
    """``minimize val_error``."""
    kind = "minimize" if results.design.minimize else "maximize"
    return f"{kind} {results.design.objective}"


def _fields_side_by_side(before: Mapping[str, str], after: Mapping[str, str]) -> pd.DataFrame:
    """One row per field of either: ``field before after``, NA where it is absent."""
    fields = list(dict.fromkeys([*before, *after]))
    columns = {
        "field": fields,
        "before": [before.get(field) for field in fields],
        "after": [after.get(field) for field in fields],
    }
    return pd.DataFrame(columns).astype(CHANGE_DTYPES)


def _is_changed(frame: pd.DataFrame) -> pd.Series[bool]:
    """True for each row whose ``before`` and ``after`` differ; two missing values are equal."""
    changed = frame["before"].fillna("") != frame["after"].fillna("")
    return changed.astype("bool")


def _summary_words(results: Results, y: str) -> pd.DataFrame:
    """The summary's columns of words and the length that it chose, one row per word.

    Returns:
        ``arm sparsity field word``.
    """
    frame = summary(results, y)
    is_text = [frame[name].dtype in ("str", "string", "object") for name in frame.columns]
    texts = [name for name in frame.columns[is_text] if name not in SUMMARY_KEYS]
    frame = frame.assign(epochs=frame["epochs"].map("{:g}".format))
    if "verdict" in frame:
        frame = frame.assign(verdict=frame["verdict"].map(_verdict_word))
    return frame.melt(
        id_vars=SUMMARY_KEYS,
        value_vars=["epochs", *texts],
        var_name="field",
        value_name="word",
    )


def _verdict_word(verdict: str) -> str:
    """Answer to whether longer training gains more than dense: yes, no or not settled."""
    more, less = MORE_OR_LESS
    words = {more: "yes", less: "no, less"}
    return words.get(verdict, "not settled" if verdict.startswith("not settled") else verdict)


def _networks(count: int) -> str:
    return f"{count} network{'' if count == 1 else 's'}"
