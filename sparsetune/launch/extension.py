"""Extension of a study: more seeds, configurations and sweep values, failed trials again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sparsetune.errors import DeclarationError, Problem
from sparsetune.launch.preflight import study_findings
from sparsetune.spec.declaration import to_plain
from sparsetune.storage.records import Extended, Record
from sparsetune.storage.trial_state import fold_records
from sparsetune.study import Study
from sparsetune.study.questions.defaults import asked_questions
from sparsetune.study.questions.kinds import Question
from sparsetune.study.questions.rules import question_problems
from sparsetune.study.space import Value, rounded
from sparsetune.study.study import EXTENSIBLE_COUNTS


@dataclass(frozen=True)
class Extension:
    """Request to extend a study that has started.

    Args:
        report_seeds: Further seeds for every winner, a count.
        configurations_per_cell: Further configurations for every cell, a count.
        sweep: New values of declared sweep axes, which are named as in `Study.sweep_axes`.
        retry_failed: Whether FAILED trials run again, each from its last checkpoint; DIVERGED and
            INVALID ones never do.
        asked: Further questions; their answers are marked as asked after the data.
    """

    report_seeds: int = 0
    configurations_per_cell: int = 0
    sweep: Mapping[str, Sequence[Value]] = field(default_factory=dict)
    retry_failed: bool = False
    asked: Sequence[Question] = ()

    def record(
        self, study: Study, records: Sequence[Record], data_root: Path | None = None
    ) -> Extended | None:
        """The ledger's record of the extension; None where there is nothing to add.

        Args:
            study: The declaration that the directory was started from.
            records: Its ledger so far, with earlier extensions.
            data_root: The folder that data sets lie in; see `sparsetune.tasks.kinds.prepare_data`.

        Raises:
            DeclarationError: naming every problem.
        """
        before = study.extended(records)
        problems = sorted(set(self._problems(before, data_root)))
        if problems:
            raise DeclarationError(problems, f"what is to be added to study `{study.name}`")
        trials = fold_records(records) if self.retry_failed else {}
        # By id, since the record must mean the same once later trials have failed.
        failed = [trial_id for trial_id, trial in trials.items() if trial.status == "FAILED"]
        sweep = {name: list(values) for name, values in self.sweep.items()}
        asked = self._new_questions(study, records)
        if not (self.report_seeds or self.configurations_per_cell or sweep or failed or asked):
            return None
        return Extended(
            report_seeds=self.report_seeds,
            configurations_per_cell=self.configurations_per_cell,
            sweep=sweep,
            retried=failed,
            asked=[question.given() for question in asked],
        )

    def _new_questions(self, study: Study, records: Sequence[Record]) -> list[Question]:
        """Questions in full that were not asked after the data before.

        Args:
            study: The declaration that the directory was started from.
            records: Its ledger so far.
        """
        if not self.asked:
            return []
        before = [record.asked for record in records if isinstance(record, Extended)]
        known = [dict(question) for questions in before for question in questions]
        longer = study.extended(records).with_sweep_values(self.sweep)
        resolved = asked_questions(longer.with_changes(questions=self.asked))
        return [question for question in resolved if question.given() not in known]

    def _problems(self, before: Study, data_root: Path | None) -> Iterator[Problem]:
        if self.configurations_per_cell and not any(cell.search for cell in before.cells()):
            rule = "the study searches nothing, so that it has none to add"
            yield Problem("configurations_per_cell", rule)
        yield from self._count_problems(before)
        yield from self._question_problems(before)
        axes = before.sweep_axes()
        for name in self.sweep.keys() - axes.keys():
            declared = ", ".join(f"`{axis}`" for axis in axes) or "none"
            yield Problem(name, f"this is no sweep axis of the study; declared are {declared}")
        fresh: dict[str, list[Value]] = {}
        for name, values in self.sweep.items():
            if name not in axes:
                continue
            # Compared to nine digits, as the values of an axis are.
            known = rounded(axes[name])
            fresh[name] = [value for value in values if rounded(value) not in known]
            swept = [value for value in values if rounded(value) in known]
            if swept:
                rule = f"swept already are {list(axes[name])}; give values that are not"
                yield Problem(name, rule, str(swept))
        # Values that are swept already are named above; the others may have faults of their own.
        if any(fresh.values()):
            yield from _cell_problems(before, before.with_sweep_values(fresh), data_root)

    def _question_problems(self, before: Study) -> Iterator[Problem]:
        """Problems of questions over the study's cells and those that are to be added."""
        axes = before.sweep_axes()
        added = {name: values for name, values in self.sweep.items() if name in axes}
        longer = before.with_sweep_values(added)
        # Values that cannot be read have problems of their own, and open no cell to ask about.
        if not self.asked or longer.field_problems():
            return
        for fault in question_problems(longer, longer.cells(), self.asked):
            yield fault.at(fault.path.replace("questions.", "ask."))

    def _count_problems(self, before: Study) -> Iterator[Problem]:
        """Counts whose sums would be too large."""
        for name in EXTENSIBLE_COUNTS:
            added = getattr(self, name)
            counted = before.with_changes(**{name: getattr(before, name) + added})
            for fault in counted.field_problems() if added else []:
                if fault.path == name:
                    yield fault


def _cell_problems(before: Study, after: Study, data_root: Path | None) -> Iterator[Problem]:
    """Problems of the longer study: old cells must keep their names, and new ones appear."""
    after, findings = study_findings(after, data_root=data_root, known=before)
    problems = [each for each in findings if each.severity != "warning"]
    if any(each.severity == "first_launch" for each in problems):
        # What the study had from its start, it keeps; its new cells may not bring more of it.
        _, earlier = study_findings(before, data_root=data_root, needs_data=False)
        had = {found.path for found in earlier if found.severity == "first_launch"}
        problems = [each for each in problems if each.severity == "refusal" or each.path not in had]
    if problems:
        yield from problems
        return
    old = _recipes_by_cell(before)
    new = _recipes_by_cell(after)
    moved = [name for name, recipe in old.items() if new.get(name) != recipe]
    if moved:
        rule = (
            "these values would give existing cells other names, and so lose their trials;"
            " start a new study"
        )
        yield Problem("sweep", rule, ", ".join(f"`{name}`" for name in moved))
    elif old.keys() == new.keys():
        yield Problem("sweep", "these values open no new cell")


def _recipes_by_cell(study: Study) -> dict[str, Any]:
    """Base recipe and search axes of every cell by its name, as plain values."""
    return {cell.name: to_plain([cell.spec, cell.search]) for cell in study.cells()}
