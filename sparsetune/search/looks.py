"""Looks at a study's answers while it runs: which cells need further report seeds.

The answers are those that `analysis.answers` gives of the same data; a test compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sparsetune.answers import Asked, Bound, Contrast, Sample, judge_looks
from sparsetune.answers.asked import ask
from sparsetune.answers.collapses import has_collapsed
from sparsetune.answers.sample import SeedRuns, pair_runs
from sparsetune.errors import StudyDirectoryError
from sparsetune.search.planner import Planner
from sparsetune.storage import StudyDirectory
from sparsetune.storage.records import Granted
from sparsetune.storage.trial_files import AttemptFiles
from sparsetune.storage.trial_files.outcomes import Outcomes, Quantity
from sparsetune.storage.trial_state import TrialState
from sparsetune.study import Study
from sparsetune.study.questions.contrasts import (
    PlannedContrast,
    Term,
    plan_contrasts,
    spread_group,
)
from sparsetune.study.questions.kinds import Question, Remaining, is_settled_by_seeds
from sparsetune.study.questions.points import base_epochs, study_points

MAX_CACHED_OUTCOMES = 1_024
"""Trials whose outcomes on test examples stay in memory during a look."""
OutcomesReader = Callable[[str], Outcomes | None]
"""Gives the outcomes of a trial by its id; None where it left none that can be read."""


@dataclass(frozen=True)
class Looks:
    """The looks at the answers that a study declares, each at so many seeds of its cells.

    Args:
        declared: The declaration, without what was added later.
        questions: Questions that it asked before its first trial.
        planner: Knows the cells, their winners and trials, and the look that is reached.
        directory: The study's directory, where trials left their outcomes.
    """

    declared: Study
    questions: Sequence[Question]
    planner: Planner
    directory: StudyDirectory

    def next_grant(self) -> Granted | None:
        """Seeds of the next look; None where no answer needs them, or no look is left.

        Ask only when all trials of the reached look have ended.

        Raises:
            StorageError: if outcomes of a trial cannot be read.
        """
        seeds = self.planner.study.looks()
        look = self.planner.look
        if look >= len(seeds):
            return None
        cells = self.open_cells()
        if not cells:
            return None
        return Granted(look=look + 1, report_seeds=seeds[look] - seeds[look - 1], cells=cells)

    def open_cells(self) -> list[str]:
        """Cells of every contrast that further seeds may settle, in the planner's order.

        All cells of such a contrast are among them: it pairs their runs by seed.

        Raises:
            StorageError: if outcomes of a trial cannot be read.
        """
        planned = self._planned()
        cells_by_name = {
            (ask(question, ()).name, each.name): {term.cell for term in each.terms}
            for question, contrasts in planned.items()
            for each in contrasts
        }
        found: set[str] = set()
        for bound in self.bounds():
            if bound.needs_seeds:
                found |= cells_by_name[bound.question, bound.name]
        return [name for name in self.planner.plans if name in found]

    def bounds(self) -> list[Bound]:
        """Bounds of every contrast at the reached look.

        Questions that report seeds do not settle keep their share of the level, and no data.

        Raises:
            StorageError: if outcomes of a trial cannot be read.
        """
        outcomes = lru_cache(MAX_CACHED_OUTCOMES)(self._outcomes)
        planned = self._planned()

        def family(look: int) -> list[Asked]:
            return [
                ask(
                    question, [self._contrast(question, each, look, outcomes) for each in contrasts]
                )
                for question, contrasts in planned.items()
            ]

        looks = range(1, 1 + self.planner.look)
        return judge_looks(family, looks=looks, declared=self.declared.looks())

    def _planned(self) -> dict[Question, list[PlannedContrast]]:
        """Contrasts of every question that has a yes or a no, over the declared cells."""
        points = study_points(self.declared)
        base = base_epochs(self.declared)
        found: dict[Question, list[PlannedContrast]] = {}
        for question in self.questions:
            contrasts = plan_contrasts(question, points, base)
            # Another version may have asked what this one finds no cell for.
            if contrasts and not isinstance(question, Remaining):
                found[question] = contrasts
        return found

    def _contrast(
        self, question: Question, planned: PlannedContrast, look: int, outcomes: OutcomesReader
    ) -> Contrast:
        """A contrast as measured with the seeds of a look alone."""
        if not is_settled_by_seeds(question):
            return Contrast(planned.name, Sample(np.empty(0), None, ""), planned.is_primary)
        first = self.declared.seeds("report")[0]
        seeds = range(first, first + self.declared.looks()[look - 1])
        sample, _ = pair_runs(
            [self._runs(term, seeds) for term in planned.terms],
            spread_group(planned),
            lambda trials: self._stacked(trials, outcomes),
        )
        return Contrast(planned.name, sample, planned.is_primary)

    def _runs(self, term: Term, seeds: Sequence[int]) -> SeedRuns:
        """A term's runs by seed; without scores where one of them has diverged."""
        plan = self.planner.plans.get(term.cell)
        configuration = self.planner.compared(plan, term.runs) if plan else None
        if configuration is None:
            return SeedRuns(term.sign, {}, {})
        ids = {seed: configuration.trial_id(seed) for seed in seeds}
        trials = self.planner.trials
        found = {seed: trials[trial_id] for seed, trial_id in ids.items() if trial_id in trials}
        complete = {seed: trial for seed, trial in found.items() if trial.status == "COMPLETE"}
        scores = {}
        # The seeds that survived a divergence would flatter the recipe.
        if not any(trial.status == "DIVERGED" for trial in found.values()):
            for seed, trial in complete.items():
                score = _final_number(trial, self._score_column)
                if score is not None:
                    scores[seed] = score
        return SeedRuns(
            term.sign,
            scores,
            {seed: ids[seed] for seed in complete},
            collapsed=[seed for seed, trial in complete.items() if _has_collapsed(trial)],
            has_learned=not complete or not all(map(_learned_nothing, complete.values())),
        )

    @property
    def _score_column(self) -> str:
        """Final column of the score that answers are about."""
        metric = self.declared.base.task.measured().metrics[0].column
        return "test_accuracy" if metric == "accuracy" else "test_score"

    def _stacked(
        self, trials: Sequence[str], outcomes: OutcomesReader
    ) -> NDArray[np.float64] | None:
        """Outcomes of trials on the test examples; None where one kept none, or another set's."""
        quantity: Quantity = "accuracy" if self._score_column == "test_accuracy" else "score"
        rows: list[NDArray[np.float64]] = []
        for trial in trials:
            kept = outcomes(trial)
            row = kept.values(quantity) if kept else None
            if row is None or (rows and len(row) != len(rows[0])):
                return None
            rows.append(row)
        return np.stack(rows)

    def _outcomes(self, trial_id: str) -> Outcomes | None:
        state = self.planner.trials[trial_id]
        try:
            return AttemptFiles.of(self.directory, trial_id, state).outcomes()
        except StudyDirectoryError:
            return None  # a damaged file takes the test examples away, as it does in the analysis


def _learned_nothing(trial: TrialState) -> bool:
    """True if a trial gives every test example one answer, as far as that is known."""
    return trial.ended is not None and trial.ended.value("learned_nothing") is True


def _has_collapsed(trial: TrialState) -> bool:
    """True if the training of a COMPLETE trial collapsed, as far as its losses are known."""
    loss = trial.last_value("train_loss")
    chance = _final_number(trial, "chance_loss")
    return loss is not None and chance is not None and has_collapsed(loss, chance)


def _final_number(trial: TrialState, column: str) -> float | None:
    """A final column of a trial; None where it is missing."""
    value = trial.ended.value(column) if trial.ended else None
    return float(value) if isinstance(value, int | float) else None
