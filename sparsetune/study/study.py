"""The study: one question declared in Python, and what follows from its declaration."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

from sparsetune.errors import DeclarationError, Problem
from sparsetune.machine import require_supported_system
from sparsetune.notebook import html_list, html_table, html_text, html_title
from sparsetune.paths import Place
from sparsetune.sparsity.plans.schedule import SCHEDULE_FIELDS
from sparsetune.spec import flatten_values
from sparsetune.spec.declaration import DIGEST_VERSION, digest_of, remembered
from sparsetune.spec.defaults import DEFAULTS_BY_VERSION, resolve_defaults
from sparsetune.study.additions import Additions
from sparsetune.study.cells import UNUSED_AXIS_RULE, Cell, expand_cells
from sparsetune.study.fields import FIRST_REPORT_SEED, Arm, Quick, StudyFields
from sparsetune.study.grid import grid_problems
from sparsetune.study.known import known_problems
from sparsetune.study.questions.rules import question_problems
from sparsetune.study.rules.axes import (
    arm_name_problems,
    base_problems,
    equal_cell_problems,
    equal_value_problems,
)
from sparsetune.study.rules.budgets import affordable_division, budget_problems, epoch_problems
from sparsetune.study.rules.fields import (
    equality_problems,
    readable_values,
    study_problems,
    too_few_to_adapt,
)
from sparsetune.study.rules.lengths import length_problems
from sparsetune.study.rules.looks import look_problems
from sparsetune.study.rules.objective import objective_problems
from sparsetune.study.rules.plans import plan_problems
from sparsetune.study.samplers import GP, MIN_GP_CONFIGURATIONS, Grid, Random, Sobol
from sparsetune.study.space import Axis, Choice, Value
from sparsetune.study.stopping import EARLY_HALVING

EXTENSIBLE_COUNTS = ("report_seeds", "configurations_per_cell")
"""Counts that may be added to in a study that has started, as may values of `Study.sweep_axes`."""
GP_VERSION = 4
"""Defaults version from which on studies of many configurations a cell are sampled by `GP`, and
stopped by `EARLY_HALVING`."""
SEARCH_FIELDS = frozenset({"sampler", "stopping"})
"""Fields that say how to search."""
NOT_IN_DIGEST = ("quick_form", "question", "questions", "known_base")
"""Fields that do not change what runs."""


class Study(StudyFields):
    """One question: a base trial, arms, axes, an objective, seeds and a budget per cell.

    Fields that are left out have the defaults of version 1 until a launch or a preview resolves
    them under the defaults version of the study's directory: see `under_defaults`.
    """

    def run(self, **options: Any) -> Place:
        """Run or resume the study; returns its directory.

        Args:
            options: Fields of `sparsetune.launch.launch.Options`: ``storage``, ``address``,
                ``gpus_per_trial``…
        """
        require_supported_system()
        from sparsetune.launch.launch import Options, launch

        return launch(self, Options(**options)).directory

    def _repr_html_(self) -> str:
        """The declaration and what it opens, as a notebook shows them; faults where it has any."""
        # A faulty declaration may lack anything.
        question = self.question if isinstance(self.question, str) else ""
        title = html_title(str(self.__dict__.get("name", "?"))) + html_text(question)
        if problems := self.validate_declaration():
            return title + html_list(map(str, problems))
        rows = [("task", self.base.task.dataset_name()), ("arms", ", ".join(self.declared_arms()))]
        for path, values in self.sweep_axes().items():
            rows.append((f"sweep {path}", ", ".join(map(str, values))))
        searched = dict(self.search)
        for arm in self.arms.values():
            searched.update(arm.search)
        for path, axis in searched.items():
            rows.append((f"search {path}", _axis_text(axis)))
        rows += [
            ("objective", f"{self.objective.kind} {self.objective.column}"),
            ("cells", ", ".join(cell.name for cell in self.cells())),
            ("configurations per cell", str(self.configurations_per_cell)),
            ("seeds", f"{self.search_seeds} of search, {self._report_seeds_text()} of report"),
        ]
        return title + html_table([], rows)

    def _report_seeds_text(self) -> str:
        """Number of report seeds: ``3``, ``3 to 12``."""
        most = f" to {self.until_settled}" if self.until_settled else ""
        return f"{self.report_seeds}{most}"

    def seeds(self, role: Literal["search", "report"], further: int = 0) -> list[int]:
        """Seeds of search trials, or those of report trials, their twins and controls.

        Args:
            role: What the trials are used for.
            further: Report seeds that were granted to a cell.
        """
        if role == "search":
            first = self.seed
            count = self.search_seeds
        else:
            first = self.seed + FIRST_REPORT_SEED
            count = self.report_seeds + further
        return list(range(first, first + count))

    def digest(self) -> str:
        """Name of the declaration, without the fields that do not change what runs."""
        given = self.given()
        kept = {name: value for name, value in given.items() if name not in NOT_IN_DIGEST}
        return digest_of({"schema": DIGEST_VERSION, **kept})

    def cells(self) -> list[Cell]:
        """Every cell, dense ones first.

        Target 0 is dense, identical cells are one, absent axes do not count.
        """
        return [*self._expanded()[0]]

    @remembered
    def _expanded(self) -> tuple[list[Cell], list[Problem]]:
        """Cells, and the problems of those that cannot be built."""
        return expand_cells(self)

    def field_problems(self) -> list[Problem]:
        """Faults of single fields: with one, the study cannot be read as a whole."""
        return super().problems()

    def problems(self) -> list[Problem]:
        """Every problem that can be seen without torch and without the data; see `Problem`."""
        return self.validate_declaration()

    def validate_declaration(self) -> list[Problem]:
        """Every problem that can be seen without torch and without the data."""
        found = self.field_problems()
        sound = readable_part(self, found)
        cells, faults = sound._expanded()
        if found:
            # An axis may be unused only because an arm cannot be read.
            faults = [problem for problem in faults if problem.rule != UNUSED_AXIS_RULE]
        equal_values = list(equal_value_problems(sound))
        # A set, since several rules may find one fault.
        problems = {
            *found,
            *faults,
            *study_problems(sound, budgeted=self.at_most is not None),
            *arm_name_problems(sound),
            *(equal_values or equal_cell_problems(cells)),
            *objective_problems(sound, cells),
            *base_problems(sound, cells),
            *length_problems(sound, cells),
            *known_problems(sound, cells),
            *grid_problems(sound, cells),
            *question_problems(sound, cells),
            *look_problems(sound, cells),
            *equality_problems(sound, cells),
            *epoch_problems(sound, cells),
            *budget_problems(sound, cells),
        }
        plans = without_known_lengths(plan_problems(sound, cells), problems)
        return without_consequences({*problems, *plans})

    def under_defaults(self, version: int) -> Study:
        """A copy with the fields that are left out at the defaults of a version; not checked.

        Fields that any version changed count as set from then on: resolved again, under whatever
        version, the copy stays as it is.

        Args:
            version: One of `sparsetune.spec.defaults.DEFAULTS_BY_VERSION.versions`.
        """
        study: Study = resolve_defaults(self, version)
        study = study._with_divided_budget(version)
        study = study._with_default_search(version)
        if version == 1:
            return study  # what is left out has these values already
        arms = {}
        for name, arm in study._readable_arms().items():
            opened = _opened_defaults(study, arm, version)
            if opened:
                arms[name] = Arm(**{**arm.fields_set(), "overrides": {**arm.overrides, **opened}})
        return study.with_changes(arms={**study.arms, **arms}) if arms else study

    def _with_default_search(self, version: int) -> Study:
        """A copy with the search that a version chooses where it is left out.

        Without sampler, stopping rule and number of configurations these are `GP`, `EARLY_HALVING`
        and `MIN_GP_CONFIGURATIONS`; a declared number below that keeps Sobol points. Who declares a
        sampler declares how to search: such a study stops early only if it says so.
        """
        given = self.model_fields_set
        if "sampler" in given or not self._searches:
            return self
        study = self
        if not given & {"stopping", "configurations_per_cell"}:
            # Set even where it is as before, so that no later version changes it.
            count = MIN_GP_CONFIGURATIONS if version >= GP_VERSION else self.configurations_per_cell
            study = self.with_changes(configurations_per_cell=count)
        count = study.configurations_per_cell
        if not isinstance(count, int) or count < MIN_GP_CONFIGURATIONS:
            return study
        if version < GP_VERSION:
            return study.with_changes(sampler=Sobol())
        is_stopping_open = "stopping" not in given
        return study.with_changes(
            sampler=GP(), stopping=EARLY_HALVING if is_stopping_open else study.stopping
        )

    def _with_divided_budget(self, version: int) -> Study:
        """A copy with the counts that a budget pays for, where they are left out."""
        if self.field_problems():
            return self
        cells, faults = self._expanded()
        if faults:
            return self
        chooses_stopping = version >= GP_VERSION and not self.model_fields_set & SEARCH_FIELDS
        division = affordable_division(self, cells, chooses_stopping=chooses_stopping)
        return self.with_changes(**division._asdict()) if division else self

    @property
    def _searches(self) -> bool:
        return bool(self.search) or any(arm.search for arm in self._readable_arms().values())

    def _readable_arms(self) -> dict[str, Arm]:
        """The arms that are arms: a faulty declaration may hold anything."""
        arms = self.arms if isinstance(self.arms, Mapping) else {}
        return {name: arm for name, arm in arms.items() if isinstance(arm, Arm)}

    def quick(self) -> Study:
        """The one-minute variant, named ``<name>-quick``.

        It is made by the study's ``quick_form``, or has the ends of every sweep axis. It leaves out
        questions that its cells cannot answer.
        """
        study = self.under_defaults(DEFAULTS_BY_VERSION.current)
        form = study.quick_form
        if form is None:
            form = Quick(sweep={path: _end_values(values) for path, values in study.sweep.items()})
        count = form.configurations_per_cell
        changes: dict[str, Any] = {
            "configurations_per_cell": count,
            "search_seeds": form.search_seeds,
            "report_seeds": form.report_seeds,
            "until_settled": None,
            "known": study.known[: max(0, count - 2)],  # after the base and the control
            "known_base": study.known_base or form.known_base,
            "budget": None,  # of the whole study
        }
        if count < 2:
            changes["stopping"] = None  # it compares configurations
        if too_few_to_adapt(study, count) or isinstance(study.sampler, Grid):
            changes["sampler"] = Random()  # adaptive samplers start with it; a grid would not fit
        arms = {}
        for name, arm in study.arms.items():
            arms[name] = _quick_arm(arm, form.arms.get(name, Arm()))
        quick = study.with_changes(
            name=f"{study.name}-quick",
            base=study.base.edited(form.overrides),
            sweep={**study.sweep, **form.sweep},
            arms=arms,
            quick_form=None,
            **changes,
        )
        return quick.with_answerable_questions()

    def with_changes(self, **fields: Any) -> Study:
        """A copy with fields replaced, those given as None left out; not checked."""
        values = {**self.fields_set(), "base": self.base, **fields}
        study: Study = Study(**{name: value for name, value in values.items() if value is not None})
        return study

    def extended(self, records: Iterable[object]) -> Study:
        """The declaration with everything that extensions add to it.

        Args:
            records: Records of a ledger, of which those that are `Additions` count.
        """
        added = [record for record in records if isinstance(record, Additions)]
        counts = {name: getattr(self, name) for name in EXTENSIBLE_COUNTS}
        for record in added:
            for name in EXTENSIBLE_COUNTS:
                counts[name] += getattr(record, name)
        study = self.with_changes(**counts)
        if counts["report_seeds"] > self.report_seeds:
            # Seeds that were added by hand begin a stage of their own, after the declared looks.
            study = study.with_changes(until_settled=None)
        for record in added:
            if record.sweep:
                study = study.with_sweep_values(record.sweep)
        return study

    def sweep_axes(self) -> dict[str, tuple[Value, ...]]:
        """Values of every declared sweep axis.

        The study's axes are named by their fields, those of arms ``arms.<arm>.sweep.<field>``.
        """
        axes = dict(self.sweep)
        for name, arm in self.arms.items():
            for path, values in arm.sweep.items():
                axes[_sweep_axis_name(name, path)] = values
        return axes

    def with_sweep_values(self, added: Mapping[str, Sequence[Value]]) -> Study:
        """A copy with values added at the end of sweep axes; not checked.

        Args:
            added: New values by axis, named as in `sweep_axes`.
        """
        arms = {}
        for name, arm in self.arms.items():
            sweep = _longer_sweep(arm.sweep, added, name)
            arms[name] = {**arm.given(), "sweep": sweep}
        return self.with_changes(sweep=_longer_sweep(self.sweep, added), arms=arms)

    def pinned(self, values: Mapping[str, Any]) -> Study:
        """A copy with dotted fields of the base set; not checked.

        A sweep axis over one of them keeps this value alone, a search axis over one goes, and so do
        questions that no cell answers then.
        """
        arms = {name: _pinned_arm(arm, values) for name, arm in self.arms.items()}
        known: list[dict[str, Value]] = []
        # Points that differed only in pinned fields are one now, and equal ones are refused.
        for point in self.known:
            left = _unpinned(point, values)
            if left and left not in known:
                known.append(left)
        swept = set(self.sweep)
        for arm in self.arms.values():
            swept.update(arm.sweep)
        pinned = self.with_changes(
            base=self.base.edited(_unpinned(values, swept)),
            arms=arms,
            sweep=_pinned_sweep(self.sweep, values),
            search=_unpinned(self.search, values),
            known=known,
        )
        return pinned.with_answerable_questions()

    def with_answerable_questions(self) -> Study:
        """A copy without the questions that no cell can answer, such as one on a pinned axis."""
        cells, faults = expand_cells(self)
        if faults or not self.questions:
            return self
        kept = [
            question
            for question in self.questions
            if not any(question_problems(self, cells, [question]))
        ]
        return self.with_changes(questions=kept)


def _opened_defaults(study: Study, arm: Arm, version: int) -> dict[str, Any]:
    """Defaults of a version in parts that only an arm's overrides open, by dotted field.

    Such a part is a rewind of the learning rate, or a task of another kind.
    """
    recipe = study.base.edited(arm.overrides)
    given = flatten_values(recipe.given())
    resolved = flatten_values(resolve_defaults(recipe, version).given())
    absent = object()  # None is a value
    return {path: value for path, value in resolved.items() if given.get(path, absent) != value}


def _unpinned(declared: Mapping[str, Any], pinned: Iterable[str]) -> dict[str, Any]:
    """The entries of fields that are not pinned."""
    left = {**declared}
    for path in pinned:
        left.pop(path, None)
    return left


def _pinned_arm(arm: Arm, values: Mapping[str, Any]) -> dict[str, Any]:
    """An arm without overrides and searches of pinned fields, its sweeps over them pinned."""
    return {
        "overrides": _unpinned(arm.overrides, values),
        "sweep": _pinned_sweep(arm.sweep, values),
        "search": _unpinned(arm.search, values),
    }


def _pinned_sweep(
    sweep: Mapping[str, tuple[Value, ...]], values: Mapping[str, Any]
) -> dict[str, Sequence[Value]]:
    """Sweep axes of which pinned ones keep their value alone."""
    return {path: [values[path]] if path in values else swept for path, swept in sweep.items()}


def _longer_sweep(
    sweep: Mapping[str, tuple[Value, ...]],
    added: Mapping[str, Sequence[Value]],
    arm: str | None = None,
) -> dict[str, list[Value]]:
    """Sweep axes of the study, or of the arm of this name, with added values at their ends."""
    longer = {}
    for path, values in sweep.items():
        # At the end, so that cells keep their order.
        longer[path] = [*values, *added.get(_sweep_axis_name(arm, path), ())]
    return longer


def _sweep_axis_name(arm: str | None, path: str) -> str:
    """Name in `Study.sweep_axes` of an arm's sweep axis, or of the study's own."""
    return path if arm is None else f"arms.{arm}.sweep.{path}"


def _end_values(values: tuple[Value, ...]) -> tuple[Value, ...]:
    return values if len(values) < 3 else (values[0], values[-1])


def _quick_arm(arm: Arm, form: Arm) -> dict[str, Any]:
    """An arm with the quick form's overrides and sweep, other axes at their ends."""
    sweep = {path: form.sweep.get(path, _end_values(values)) for path, values in arm.sweep.items()}
    return {
        **arm.fields_set(),
        "overrides": form.overrides or arm.overrides,
        "sweep": sweep,
    }


def readable_part(study: Study, found: Iterable[Problem]) -> Study:
    """The study without what cannot be read, so that the rest is checked too.

    Args:
        study: The declaration.
        found: Its problems.
    """
    values = readable_values(study, found)
    # With a base whose parts contradict each other, no other field would be read.
    base = values.pop("base")
    sound: Study = Study(**values)
    return sound.model_copy(update={"base": base})


def without_known_lengths(found: Iterable[Problem], faults: Collection[Problem]) -> list[Problem]:
    """Findings without those of a mask schedule one of whose lengths is a fault already."""
    paths = [fault.path for fault in faults]

    def is_known(problem: Problem) -> bool:
        is_schedule = problem.path.rpartition(".")[2] in SCHEDULE_FIELDS
        return is_schedule and any(path.startswith(f"{problem.path}.") for path in paths)

    return [each for each in found if not is_known(each)]


def without_consequences(problems: Collection[Problem]) -> list[Problem]:
    """Problems in order, without later rules' at fields that must be changed in any case."""
    refused = {problem.path for problem in problems if problem.severity == "refusal"}
    return sorted(
        problem
        for problem in problems
        if problem.severity == "refusal" or problem.path not in refused
    )


def _axis_text(axis: Axis) -> str:
    """A search axis in words: ``log_uniform 0.01 to 1``, ``choice gmp, acdc``."""
    joint = ", " if isinstance(axis, Choice) else " to "
    return f"{axis.kind} {joint.join(map(str, axis.ends()))}"


def declaration_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Differences between two declarations of plain values, a line per dotted field."""
    before = flatten_values(old)
    after = flatten_values(new)
    absent = "(absent)"
    lines = []
    for path in sorted(before.keys() | after.keys()):
        was = before.get(path, absent)
        becomes = after.get(path, absent)
        if was != becomes:
            lines.append(f"`{path}`: {was} -> {becomes}")
    return lines


def require_valid(study: Study) -> Study:
    """The study, proved valid as far as can be seen without torch.

    Raises:
        DeclarationError: naming every problem.
    """
    problems = study.validate_declaration()
    if problems:
        raise DeclarationError(problems, study_subject(study))
    return as_declared(study)


def study_subject(study: Study) -> str:
    """Name of a study in messages, also of one without a name."""
    return f"study `{study.__dict__.get('name', '?')}`"


def as_declared(study: Study) -> Study:
    """The study with every field as its type has it; its fields must have no problem."""
    return Study.model_validate(study.given())
