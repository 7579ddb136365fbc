"""The study: one question declared in Python, and the cells that it opens."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from sparsetune.declaration import Declared, digest_of, plain
from sparsetune.errors import DeclarationError, Problem
from sparsetune.space import Axis, Value
from sparsetune.spec import SCHEMA_VERSION, TrialSpec, applies, flatten
from sparsetune.tables import OBJECTIVES

SweepValues = Annotated[tuple[Value, ...], Field(min_length=1)]
FIRST_REPORT_SEED = 1000
"""Report seeds start this far above search seeds, so that both can be extended without meeting."""


class Arm(Declared):
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


class _Objective(Declared):
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


class Sobol(Declared):
    """A scrambled Sobol sequence: point k is a function of the study's seed and k, the same in every cell."""

    kind: Literal["sobol"] = "sobol"


class Random(Declared):
    """Independent uniform points: point k is a function of the study's seed and k, the same in every cell."""

    kind: Literal["random"] = "random"


class TPE(Declared):
    """Optuna's tree-structured Parzen estimator, per cell, after ``n_startup`` points of the random sampler."""

    kind: Literal["tpe"] = "tpe"
    n_startup: int = Field(ge=1)


class Quick(Declared):
    """The study's one-minute form: what replaces its own values."""

    overrides: dict[str, Any] = {}
    sweep: dict[str, SweepValues] = {}
    configurations_per_cell: int = Field(default=2, ge=1)
    search_seeds: int = Field(default=1, ge=1)
    report_seeds: int = Field(default=2, ge=1)


@dataclass(frozen=True)
class Cell:
    """One arm at one point of its sweep axes, with a search of its own.

    Args:
        name: Unique in the study, readable: ``gmp/target=0.9/epoch_multiplier=2``.
        arm: The arm's name; ``dense`` for a cell with target 0.
        point: Value of each sweep axis that applies.
        spec: The canonical base recipe of the cell, seed 0.
        search: The search axes that apply.
        control_from: Name of the dense cell whose winner is this cell's control; None where there is no search.
        added: Whether the study added it (a dense cell that only gives the control).
    """

    name: str
    arm: str
    point: dict[str, Value]
    spec: TrialSpec
    search: dict[str, Axis] = field(default_factory=dict)
    control_from: str | None = None
    added: bool = False


class Study(Declared):
    """One question: a base trial, arms, sweep and search axes, an objective, seeds and a budget per cell."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)
    question: str = ""
    base: TrialSpec = TrialSpec()
    arms: dict[str, Arm] = {}
    sweep: dict[str, SweepValues] = {}
    search: dict[str, Axis] = {}
    objective: Annotated[Minimize | Maximize, Field(discriminator="kind")] = Minimize("val_error")
    sampler: Annotated[Sobol | Random | TPE, Field(discriminator="kind")] = Sobol()
    configurations_per_cell: int = Field(default=8, ge=1)
    search_seeds: int = Field(default=1, ge=1, le=FIRST_REPORT_SEED)
    report_seeds: int = Field(default=3, ge=1)
    seed: int = Field(default=0, ge=0)
    quick_form: Quick | None = None

    def run(self, **options: Any) -> Path:
        """Run or resume the study under ``runs/``; returns its directory. See `sparsetune.tune.launch.launch`."""
        from sparsetune.tune.launch import launch

        return launch(self, **options)

    def seeds(self, role: Literal["search", "report"]) -> list[int]:
        """Seeds of search trials, or the fresh ones of report trials, their twins and controls."""
        first, count = (0, self.search_seeds) if role == "search" else (FIRST_REPORT_SEED, self.report_seeds)
        return [self.seed + first + i for i in range(count)]

    def digest(self) -> str:
        """Names the declaration; ``quick_form`` and ``question`` do not change what runs and are left out."""
        kept = {name: value for name, value in self.given().items() if name not in ("quick_form", "question")}
        return digest_of({"schema": SCHEMA_VERSION, **kept})

    def cells(self) -> list[Cell]:
        """Every cell, dense ones first: target 0 is dense, identical cells are one, absent axes do not count."""
        return _cells(self)[0]

    def validate_declaration(self) -> list[Problem]:
        """Every problem that can be seen without torch; empty when there is none."""
        found = self.problems()
        if any(p.path.split(".")[0] in ("arms", "sweep", "search", "") for p in found):
            return found
        return sorted({*found, *_cells(self)[1], *_rules(self)})

    def quick(self) -> Study:
        """The one-minute variant, named ``<name>-quick``: its ``quick_form``, or the ends of every sweep axis."""
        form = self.quick_form or Quick(sweep={path: _ends(values) for path, values in self.sweep.items()})
        changes = {name: value for name, value in form.__dict__.items() if name not in ("overrides", "sweep")}
        arms = {
            name: {**arm.given(), "sweep": {path: _ends(values) for path, values in arm.sweep.items()}}
            for name, arm in self.arms.items()
        }
        return self.with_changes(
            base=self.base.with_values(form.overrides).given(), sweep={**self.sweep, **form.sweep}, arms=arms, **changes
        ).with_changes(name=f"{self.name}-quick", quick_form=None)

    def with_changes(self, **fields: Any) -> Study:
        """A copy with fields replaced; not checked."""
        given = {**self.given(), **{name: plain(value) for name, value in fields.items()}}
        study: Study = Study(**{name: value for name, value in given.items() if value is not None})
        return study

    def pinned(self, values: Mapping[str, Any]) -> Study:
        """A copy with dotted fields of the base set; an axis over one of them is pinned to the value."""
        def unpinned(axes: Mapping[str, Any]) -> dict[str, Any]:
            return {path: plain(axis) for path, axis in axes.items() if path not in values}

        arms = {
            name: {"overrides": unpinned(arm.overrides), "sweep": unpinned(arm.sweep), "search": unpinned(arm.search)}
            for name, arm in self.arms.items()
        }
        return self.with_changes(
            base=self.base.with_values(values).given(), arms=arms, sweep=unpinned(self.sweep), search=unpinned(self.search)
        )


def _ends(values: tuple[Value, ...]) -> tuple[Value, ...]:
    return values if len(values) < 3 else (values[0], values[-1])


def _points(study: Study) -> Iterator[tuple[str, Arm, dict[str, Value]]]:
    """Every arm at every point of its sweep axes; a study without arms has one, named by its base's method."""
    for name, arm in (study.arms or {study.base.sparsity.method: Arm()}).items():
        sweep = {**study.sweep, **arm.sweep}
        for values in itertools.product(*sweep.values()):
            yield name, arm, dict(zip(sweep, values, strict=True))


def _cells(study: Study) -> tuple[list[Cell], list[Problem]]:
    """The cells, and the problems of those that cannot be built."""
    cells: dict[str, Cell] = {}
    problems: set[Problem] = set()
    unused = {path for axes in (study.sweep, study.search) for path in axes}
    for arm_name, arm, point in _points(study):
        spec = study.base.with_values({**arm.overrides, **point, "seed": 0})
        search = {path: axis for path, axis in {**study.search, **arm.search}.items() if applies(spec.given(), path)}
        faults = spec.problems() or _search_faults(spec, search)
        problems |= {_located(fault, arm_name, arm, point, search) for fault in faults}
        if faults:
            unused.clear()
            continue
        point = {path: value for path, value in point.items() if applies(spec.given(), path)}
        unused -= {*point, *search}
        dense = spec.sparsity.method == "dense"
        name = "dense" if dense and not _is_dense(arm, study) else arm_name
        cell = Cell(_cell_name(name, point), name, point, spec, search)
        same = cells.get(cell.name)
        if same and (same.spec != spec or same.search != search):
            cell = Cell(_cell_name(f"dense-{arm_name}", point), f"dense-{arm_name}", point, spec, search)
        cells.setdefault(cell.name, cell)
    problems |= {Problem(path, "this axis applies to no cell: it would change nothing") for path in unused}
    return ([] if problems else _with_controls(study, list(cells.values()))), sorted(problems)


def _is_dense(arm: Arm, study: Study) -> bool:
    return bool(arm.overrides.get("sparsity.method", study.base.sparsity.method) == "dense")


def _cell_name(arm: str, point: Mapping[str, Value]) -> str:
    return "/".join([arm, *(f"{path.rpartition('.')[2]}={_text(value)}" for path, value in point.items())])


def _text(value: Value) -> str:
    return f"{value:.12g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _with_controls(study: Study, cells: list[Cell]) -> list[Cell]:
    """Name each cell's control source, adding a dense cell at multiplier 1 where the study lacks it; dense first."""
    if not any(cell.search for cell in cells):
        return sorted(cells, key=lambda cell: cell.spec.sparsity.method != "dense")
    dense = {cell.spec.trial_id(): cell for cell in cells if cell.spec.sparsity.method == "dense"}
    linked = []
    for cell in cells:
        source_spec = cell.spec.with_values({"sparsity.target": 0, "schedule.epoch_multiplier": 1})
        source = dense.get(source_spec.trial_id())
        if source is None:
            point = {path: value for path, value in cell.point.items() if applies(source_spec.given(), path)}
            point |= {path: 1 for path in point if path == "schedule.epoch_multiplier"}
            search = {path: axis for path, axis in cell.search.items() if applies(source_spec.given(), path)}
            source = Cell(_cell_name("dense", point), "dense", point, source_spec, search, added=True)
            if any(source.name == other.name for other in cells):
                source = Cell(_cell_name(f"dense-{cell.arm}", point), f"dense-{cell.arm}", point, source_spec, search, added=True)
            dense[source_spec.trial_id()] = source
            linked.append(source)
        own = source.name == cell.name
        linked.append(Cell(cell.name, cell.arm, cell.point, cell.spec, cell.search, None if own else source.name))
    return sorted(linked, key=lambda cell: (cell.control_from is not None, cell.spec.sparsity.method != "dense"))


def _search_faults(spec: TrialSpec, search: Mapping[str, Axis]) -> Iterator[Problem] | list[Problem]:
    """Faults at the ends of the search axes: each alone, then all low and all high together."""
    ends = {path: axis.ends() for path, axis in search.items()}
    corners = [{path: value} for path, values in ends.items() for value in values]
    corners += [{path: values[side] for path, values in ends.items()} for side in (0, -1)]
    return [fault for corner in corners for fault in spec.with_values(corner).problems()]


def _located(
    fault: Problem, arm_name: str, arm: Arm, point: Mapping[str, Value], search: Mapping[str, Axis]
) -> Problem:
    """The fault with the place where its value was declared in front of its path."""
    places = [(search, "search"), (point, "sweep"), (arm.overrides, f"arms.{arm_name}.overrides")]
    for declared, place in places:
        if any(path == fault.path or path.startswith(fault.path + ".") or fault.path.startswith(path) for path in declared):
            return Problem(f"{place}.{fault.path}", fault.rule, fault.got)
    return Problem(f"base.{fault.path}", fault.rule, fault.got)


def _rules(study: Study) -> Iterator[Problem]:
    """Rules that span several fields of the study."""
    for name, arm in {"": Arm(), **study.arms}.items():
        where = f"arms.{name}." if name else ""
        sweep = {**study.sweep, **arm.sweep}
        search = {**study.search, **arm.search}
        for path in sorted(sweep.keys() & search.keys()):
            yield Problem(f"{where}search.{path}", "an axis is either swept or searched, not both")
        for path in sorted(search.keys() & {"schedule.epochs", "schedule.epoch_multiplier"}):
            rule = "changes a trial's cost, so the longest run would always win; sweep it instead"
            yield Problem(f"{where}search.{path}", rule)
        for path, values in sweep.items():
            if len(set(values)) < len(values):
                yield Problem(f"{where}sweep.{path}", "the values of a sweep axis must differ", str(list(values)))
        for path in sorted({"seed"} & (sweep.keys() | search.keys())):
            yield Problem(f"{where}{path}", "seeds are no axis; set `search_seeds` and `report_seeds`")
    if study.objective.column not in OBJECTIVES:
        yield Problem("objective.column", f"must be one of {', '.join(OBJECTIVES)}", repr(study.objective.column))
    if isinstance(study.sampler, TPE) and study.sampler.n_startup * 2 >= study.configurations_per_cell:
        rule = "must be below half of `configurations_per_cell`, or the sampler hardly adapts"
        yield Problem("sampler.n_startup", rule, f"{study.sampler.n_startup} of {study.configurations_per_cell}")


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two declarations, a line per dotted field."""
    before, after = flatten(old), flatten(new)
    absent = "(absent)"
    return [
        f"`{path}`: {before.get(path, absent)} -> {after.get(path, absent)}"
        for path in sorted(before.keys() | after.keys())
        if before.get(path, absent) != after.get(path, absent)
    ]


def checked(study: Study) -> Study:
    """The study, proved valid as far as can be seen without torch.

    Raises:
        DeclarationError: naming every problem.
    """
    if problems := study.validate_declaration():
        raise DeclarationError(problems, f"study `{study.__dict__.get('name', '?')}`")
    return Study.model_validate(study.given())
