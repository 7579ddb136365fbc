"""The study: one question declared in Python, and the cells that it opens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from sparsetune.errors import DeclarationError, Problem
from sparsetune.paths import Place
from sparsetune.spec import SCHEMA_VERSION, TrialSpec, flatten_values
from sparsetune.spec.columns import OBJECTIVE_COLUMNS
from sparsetune.spec.declaration import Declaration, digest_of, to_plain
from sparsetune.study.additions import Additions
from sparsetune.study.budget import COST_AXES, Budget, equality_problems
from sparsetune.study.cells import UNUSED_AXIS_RULE, Cell, expand_cells
from sparsetune.study.grid import grid_problems
from sparsetune.study.known import known_problems
from sparsetune.study.samplers import Adaptive, Grid, Random, Sampler, Sobol
from sparsetune.study.space import Axis, Value
from sparsetune.study.stopping import Halving

SweepValues = Annotated[tuple[Value, ...], Field(min_length=1)]
FIRST_REPORT_SEED = 1000
"""Report seeds start this far above search seeds, so that both can be extended without meeting."""

EXTENSIBLE_COUNTS = ("report_seeds", "configurations_per_cell")
"""Counts that may be added to in a study that has started; so may the values of `Study.sweep_axes`."""


class Arm(Declaration):
    """A named bundle of overrides of the base: a method with its recipe, and axes of its own."""

    positional: ClassVar[tuple[str, ...]] = ("overrides",)
    overrides: dict[str, Any] = {}
    sweep: dict[str, SweepValues] = {}
    search: dict[str, Axis] = {}

    if TYPE_CHECKING:

        def __init__(
            self,
            overrides: Mapping[str, Any] = ...,
            *,
            sweep: Mapping[str, Any] = ...,
            search: Mapping[str, Any] = ...,
        ) -> None: ...


class _Objective(Declaration):
    positional: ClassVar[tuple[str, ...]] = ("column",)
    column: str

    if TYPE_CHECKING:

        def __init__(self, column: str) -> None: ...


class Minimize(_Objective):
    """Prefer the configuration with the lowest value of a history column at the final step."""

    kind: Literal["minimize"] = "minimize"


class Maximize(_Objective):
    """Prefer the configuration with the highest value of a history column at the final step."""

    kind: Literal["maximize"] = "maximize"


Objective = Annotated[Minimize | Maximize, Field(discriminator="kind")]


class Quick(Declaration):
    """The study's one-minute form: what replaces its own values."""

    overrides: dict[str, Any] = {}
    sweep: dict[str, SweepValues] = {}
    arms: dict[str, Arm] = {}
    """Of arms that need it: all overrides and values of a sweep axis; other axes of arms are taken at their ends."""
    configurations_per_cell: int = Field(default=2, ge=1)
    search_seeds: int = Field(default=1, ge=1)
    report_seeds: int = Field(default=2, ge=1)


class Study(Declaration):
    """One question: a base trial, arms, sweep and search axes, an objective, seeds and a budget per cell."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)
    question: str = ""
    base: TrialSpec = TrialSpec()
    arms: dict[str, Arm] = {}
    sweep: dict[str, SweepValues] = {}
    search: dict[str, Axis] = {}
    known: tuple[dict[str, Value], ...] = ()
    """Points of the search space that every cell tries first; of each, the fields that apply in the cell."""
    objective: Objective = Minimize(column="val_error")
    sampler: Sampler = Sobol()
    stopping: Halving | None = None
    """Which search configurations end early; none by default."""
    equal: Literal["epochs", "train_flops"] = "epochs"
    """What sparse networks share with their dense twins. Under ``train_flops`` each trains longer, by a stretch that is
    planned from the densities known in advance; epochs and multiplier are then the dense network's."""
    at_most: Budget | None = None
    """The most that a search configuration may cost; what would cost more is not tried."""
    configurations_per_cell: int = Field(default=8, ge=1)
    search_seeds: int = Field(default=1, ge=1, le=FIRST_REPORT_SEED)
    report_seeds: int = Field(default=3, ge=1)
    seed: int = Field(default=0, ge=0)
    quick_form: Quick | None = None

    def run(self, **options: Any) -> Place:
        """Run or resume the study; returns its directory.

        Args:
            options: Fields of `sparsetune.launch.launch.Options`: ``storage``, ``address``, ``gpus_per_trial``…
        """
        from sparsetune.launch.launch import Options, launch

        return launch(self, Options(**options)).directory

    def seeds(self, role: Literal["search", "report"]) -> list[int]:
        """Seeds of search trials, or the fresh ones of report trials, their twins and controls."""
        first, count = (
            (0, self.search_seeds) if role == "search" else (FIRST_REPORT_SEED, self.report_seeds)
        )
        return [self.seed + first + i for i in range(count)]

    def digest(self) -> str:
        """Names the declaration; ``quick_form`` and ``question`` do not change what runs and are left out."""
        kept = {
            name: value
            for name, value in self.given().items()
            if name not in ("quick_form", "question")
        }
        return digest_of({"schema": SCHEMA_VERSION, **kept})

    def method(self) -> str:
        """The base's method, also where the base is faulty."""
        return str(flatten_values(self.base.given()).get("sparsity.method", "dense"))

    def declared_arms(self) -> dict[str, Arm]:
        """The arms; a study that declares none has one, named by its base's method."""
        return self.arms or {self.method(): Arm()}

    def cells(self) -> list[Cell]:
        """Every cell, dense ones first: target 0 is dense, identical cells are one, absent axes do not count."""
        return expand_cells(self)[0]

    def validate_declaration(self) -> list[Problem]:
        """Every problem that can be seen without torch; empty when there is none."""
        found = self.problems()
        sound = readable_part(self, found)
        cells, faults = expand_cells(sound)
        faults = [problem for problem in faults if not found or problem.rule != UNUSED_AXIS_RULE]
        rules = _study_problems(sound, budgeted=self.at_most is not None)
        points = [
            *known_problems(sound, cells),
            *grid_problems(sound, cells),
            *equality_problems(sound, cells),
        ]
        return sorted({*found, *rules, *faults, *points})

    def quick(self) -> Study:
        """The one-minute variant, named ``<name>-quick``: its ``quick_form``, or the ends of every sweep axis."""
        form = self.quick_form or Quick(
            sweep={path: _end_values(values) for path, values in self.sweep.items()}
        )
        changes = {
            name: value
            for name, value in form.__dict__.items()
            if name not in ("overrides", "sweep", "arms")
        }
        too_few = (
            isinstance(self.sampler, Adaptive)
            and self.sampler.n_startup * 2 >= form.configurations_per_cell
        )
        if too_few or isinstance(self.sampler, Grid):
            changes["sampler"] = Random()  # what adaptive samplers start with; a grid would not fit
        changes["known"] = self.known[
            : max(0, form.configurations_per_cell - 2)
        ]  # after the base and the control
        arms = {
            name: _quick_arm(arm, form.arms.get(name, Arm())) for name, arm in self.arms.items()
        }
        return self.with_changes(
            base=self.base.edited(form.overrides),
            sweep={**self.sweep, **form.sweep},
            arms=arms,
            **changes,
        ).with_changes(name=f"{self.name}-quick", quick_form=None)

    def with_changes(self, **fields: Any) -> Study:
        """A copy with fields replaced; not checked."""
        given = {**self.given(), "base": self.base, **fields}
        study: Study = Study(**{name: value for name, value in given.items() if value is not None})
        return study

    def extended(self, records: Iterable[object]) -> Study:
        """A copy with everything that extensions add.

        Args:
            records: Records of a ledger, of which those that are `Additions` count.
        """
        added = [record for record in records if isinstance(record, Additions)]
        counts = {
            name: sum(getattr(record, name) for record in added) for name in EXTENSIBLE_COUNTS
        }
        study = self.with_changes(
            **{name: getattr(self, name) + count for name, count in counts.items()}
        )
        for record in added:
            study = study.with_sweep_values(record.sweep) if record.sweep else study
        return study

    def sweep_axes(self) -> dict[str, tuple[Value, ...]]:
        """Values of every declared sweep axis: the study's by their fields, arms' as ``arms.<arm>.sweep.<field>``."""
        of_arms = {
            _sweep_axis_name(name, path): values
            for name, arm in self.arms.items()
            for path, values in arm.sweep.items()
        }
        return {**self.sweep, **of_arms}

    def with_sweep_values(self, added: Mapping[str, Sequence[Value]]) -> Study:
        """A copy with values added at the end of sweep axes, named as in `sweep_axes`; not checked."""

        def longer(
            sweep: Mapping[str, tuple[Value, ...]], arm: str | None = None
        ) -> dict[str, list[Value]]:
            return {
                path: [*values, *added.get(_sweep_axis_name(arm, path), ())]
                for path, values in sweep.items()
            }

        arms = {
            name: {**arm.given(), "sweep": longer(arm.sweep, name)}
            for name, arm in self.arms.items()
        }
        return self.with_changes(sweep=longer(self.sweep), arms=arms)

    def pinned(self, values: Mapping[str, Any]) -> Study:
        """A copy with dotted fields of the base set; a sweep axis over one keeps this value, a search axis goes."""

        def unpinned(declared: Mapping[str, Any]) -> dict[str, Any]:
            return {path: to_plain(value) for path, value in declared.items() if path not in values}

        def pinned(sweep: Mapping[str, Any]) -> dict[str, Any]:
            return {
                path: [values[path]] if path in values else to_plain(swept)
                for path, swept in sweep.items()
            }

        arms = {
            name: {
                "overrides": unpinned(arm.overrides),
                "sweep": pinned(arm.sweep),
                "search": unpinned(arm.search),
            }
            for name, arm in self.arms.items()
        }
        points = [
            {path: value for path, value in point.items() if path not in values}
            for point in self.known
        ]
        known = [point for i, point in enumerate(points) if point and point not in points[:i]]
        swept = {*self.sweep, *(path for arm in self.arms.values() for path in arm.sweep)}
        base = self.base.edited(
            {path: value for path, value in values.items() if path not in swept}
        )
        search = unpinned(self.search)
        return self.with_changes(
            base=base, arms=arms, sweep=pinned(self.sweep), search=search, known=known
        )


def readable_part(study: Study, found: Iterable[Problem]) -> Study:
    """The study without the fields, arms and axes that cannot be read, so that the rest is checked too."""
    base: Any = study.base
    base = (
        TrialSpec(**base)
        if isinstance(base, Mapping)
        else base
        if isinstance(base, TrialSpec)
        else TrialSpec()
    )
    readable = _without_faults(study.given(), [problem.path for problem in found])
    sound: Study = Study(**{"name": "unnamed", **readable, "base": base})
    return sound


def _without_faults(
    values: Mapping[str, Any], faults: list[str], prefix: str = ""
) -> dict[str, Any]:
    """``values`` without its faulty fields; of arms and axes only the faulty ones go."""
    kept = {}
    for name, value in values.items():
        path = prefix + name
        inside = [fault for fault in faults if fault.startswith(path + ".")]
        if inside and isinstance(value, Mapping) and _HOLDS_AXES.fullmatch(path):
            kept[name] = _without_faults(value, inside, path + ".")
        elif path not in faults and not inside:
            kept[name] = value
    return kept


_HOLDS_AXES = re.compile(r"(arms\.[^.]+\.)?(sweep|search)|arms(\.[^.]+)?")


def _sweep_axis_name(arm: str | None, path: str) -> str:
    """The name in `Study.sweep_axes` of an arm's sweep axis, or of the study's own."""
    return path if arm is None else f"arms.{arm}.sweep.{path}"


def _end_values(values: tuple[Value, ...]) -> tuple[Value, ...]:
    return values if len(values) < 3 else (values[0], values[-1])


def _quick_arm(arm: Arm, form: Arm) -> dict[str, Any]:
    sweep = {path: form.sweep.get(path, _end_values(values)) for path, values in arm.sweep.items()}
    return {**arm.given(), "overrides": form.overrides or arm.overrides, "sweep": sweep}


def _study_problems(study: Study, *, budgeted: bool) -> Iterator[Problem]:
    """Rules that span several fields of the study; ``budgeted`` where it declares a budget, be it a faulty one."""
    parts: dict[str, Study | Arm] = {"": study, **study.arms}
    for name, part in parts.items():
        where = f"arms.{name}." if name else ""
        own = part.sweep.keys() | part.search.keys()
        both = {*study.sweep, *part.sweep} & {*study.search, *part.search}
        for path in sorted(own & both):
            yield Problem(f"{where}search.{path}", "an axis is either swept or searched, not both")
        for path in sorted(part.search.keys() & COST_AXES) if not budgeted else ():
            rule = "changes a trial's cost, so the longest run would always win; set `at_most`, or sweep it instead"
            yield Problem(f"{where}search.{path}", rule)
        for path, values in part.sweep.items():
            if len(set(values)) < len(values):
                yield Problem(
                    f"{where}sweep.{path}",
                    "the values of a sweep axis must differ",
                    str(list(values)),
                )
        for path in sorted({"seed"} & own):
            yield Problem(
                f"{where}{path}", "seeds are no axis; set `search_seeds` and `report_seeds`"
            )
    for name in sorted(
        study.quick_form.arms.keys() - study.arms.keys() if study.quick_form else ()
    ):
        yield Problem(
            f"quick_form.arms.{name}",
            f"must be an arm of the study: {', '.join(study.arms) or 'none'}",
        )
    if study.base.given().get("seed"):
        yield Problem(
            "base.seed",
            "the study's trials have seeds of their own; set the study's `seed`",
            str(study.base.seed),
        )
    if study.objective.column not in OBJECTIVE_COLUMNS:
        yield Problem(
            "objective.column",
            f"must be one of {', '.join(OBJECTIVE_COLUMNS)}",
            repr(study.objective.column),
        )
    if study.stopping and not (
        study.configurations_per_cell > 1 and any(part.search for part in parts.values())
    ):
        rule = "compares the configurations of a cell: search a field, with at least 2 `configurations_per_cell`"
        yield Problem("stopping", rule)
    if (
        isinstance(study.sampler, Adaptive)
        and study.sampler.n_startup * 2 >= study.configurations_per_cell
    ):
        rule = "must be below half of `configurations_per_cell`, or the sampler hardly adapts"
        yield Problem(
            "sampler.n_startup",
            rule,
            f"{study.sampler.n_startup} of {study.configurations_per_cell}",
        )


def declaration_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two declarations, a line per dotted field."""
    before = flatten_values(old)
    after = flatten_values(new)
    absent = "(absent)"
    return [
        f"`{path}`: {before.get(path, absent)} -> {after.get(path, absent)}"
        for path in sorted(before.keys() | after.keys())
        if before.get(path, absent) != after.get(path, absent)
    ]


def require_valid(study: Study) -> Study:
    """The study, proved valid as far as can be seen without torch.

    Raises:
        DeclarationError: naming every problem.
    """
    if problems := study.validate_declaration():
        raise DeclarationError(problems, f"study `{study.__dict__.get('name', '?')}`")
    return Study.model_validate(study.given())
