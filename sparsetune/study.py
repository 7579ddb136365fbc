"""The study: one question declared in Python, and the cells that it opens."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
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

EXTENSIBLE = ("report_seeds", "configurations_per_cell")
"""What may be added to a study that has started."""


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


Objective = Annotated[Minimize | Maximize, Field(discriminator="kind")]
Sampler = Annotated[Sobol | Random | TPE, Field(discriminator="kind")]


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
    objective: Objective = Minimize(column="val_error")
    sampler: Sampler = Sobol()
    configurations_per_cell: int = Field(default=8, ge=1)
    search_seeds: int = Field(default=1, ge=1, le=FIRST_REPORT_SEED)
    report_seeds: int = Field(default=3, ge=1)
    seed: int = Field(default=0, ge=0)
    quick_form: Quick | None = None

    def run(self, **options: Any) -> Path:
        """Run or resume the study; returns its directory.

        Args:
            options: Fields of `sparsetune.tune.launch.Options`: ``storage``, ``address``, ``gpus_per_trial``…
        """
        from sparsetune.tune.launch import Options, launch

        return launch(self, Options(**options)).directory

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
        sound = _sound(self, found)
        return sorted({*found, *_rules(sound), *(p for p in _cells(sound)[1] if not found or p.rule != _UNUSED)})

    def quick(self) -> Study:
        """The one-minute variant, named ``<name>-quick``: its ``quick_form``, or the ends of every sweep axis."""
        form = self.quick_form or Quick(sweep={path: _ends(values) for path, values in self.sweep.items()})
        changes = {name: value for name, value in form.__dict__.items() if name not in ("overrides", "sweep")}
        if isinstance(self.sampler, TPE) and self.sampler.n_startup * 2 >= form.configurations_per_cell:
            changes["sampler"] = Random()  # what TPE starts with
        arms = {
            name: {**arm.given(), "sweep": {path: _ends(values) for path, values in arm.sweep.items()}}
            for name, arm in self.arms.items()
        }
        return self.with_changes(
            base=self.base.edited(form.overrides), sweep={**self.sweep, **form.sweep}, arms=arms, **changes
        ).with_changes(name=f"{self.name}-quick", quick_form=None)

    def with_changes(self, **fields: Any) -> Study:
        """A copy with fields replaced; not checked."""
        given = {**self.given(), "base": self.base, **fields}
        study: Study = Study(**{name: value for name, value in given.items() if value is not None})
        return study

    def extended(self, records: Iterable[Mapping[str, Any]]) -> Study:
        """The declaration with all that ``extended`` records of its ledger add to it."""
        added: Counter[str] = Counter()
        for record in records:
            if record["type"] == "extended":
                added.update({name: record.get(name, 0) for name in EXTENSIBLE})
        return self.with_changes(**{name: getattr(self, name) + count for name, count in added.items()})

    def pinned(self, values: Mapping[str, Any]) -> Study:
        """A copy with dotted fields of the base set; a sweep axis over one keeps this value, a search axis goes."""

        def unpinned(declared: Mapping[str, Any]) -> dict[str, Any]:
            return {path: plain(value) for path, value in declared.items() if path not in values}

        def pinned(sweep: Mapping[str, Any]) -> dict[str, Any]:
            return {path: [values[path]] if path in values else plain(swept) for path, swept in sweep.items()}

        arms = {
            name: {"overrides": unpinned(arm.overrides), "sweep": pinned(arm.sweep), "search": unpinned(arm.search)}
            for name, arm in self.arms.items()
        }
        swept = {*self.sweep, *(path for arm in self.arms.values() for path in arm.sweep)}
        base = self.base.edited({path: value for path, value in values.items() if path not in swept})
        return self.with_changes(base=base, arms=arms, sweep=pinned(self.sweep), search=unpinned(self.search))


_UNUSED = "this axis applies to no cell: it would change nothing"


def _sound(study: Study, found: Iterable[Problem]) -> Study:
    """The study without the fields, arms and axes that cannot be read, so that the rest is checked too."""
    base: Any = study.base
    base = TrialSpec(**base) if isinstance(base, Mapping) else base if isinstance(base, TrialSpec) else TrialSpec()
    readable = _readable(study.given(), [problem.path for problem in found])
    sound: Study = Study(**{"name": "unnamed", **readable, "base": base})
    return sound


def _readable(values: Mapping[str, Any], faults: list[str], prefix: str = "") -> dict[str, Any]:
    """``values`` without its faulty fields; of arms and axes only the faulty ones go."""
    kept = {}
    for name, value in values.items():
        path = prefix + name
        inside = [fault for fault in faults if fault.startswith(path + ".")]
        if inside and isinstance(value, Mapping) and _HOLDS_AXES.fullmatch(path):
            kept[name] = _readable(value, inside, path + ".")
        elif path not in faults and not inside:
            kept[name] = value
    return kept


_HOLDS_AXES = re.compile(r"(arms\.[^.]+\.)?(sweep|search)|arms(\.[^.]+)?")


def _ends(values: tuple[Value, ...]) -> tuple[Value, ...]:
    return values if len(values) < 3 else (values[0], values[-1])


def _points(study: Study) -> Iterator[tuple[str, Arm, dict[str, Value]]]:
    """Every arm at every point of its sweep axes, dense arms first; without arms there is one, named by its method."""
    arms = study.arms or {_method(study.base): Arm()}
    for name, arm in sorted(arms.items(), key=lambda item: not _is_dense(item[1], study)):
        sweep = {**study.sweep, **arm.sweep}
        for values in itertools.product(*sweep.values()):
            yield name, arm, dict(zip(sweep, values, strict=True))


def _cells(study: Study) -> tuple[list[Cell], list[Problem]]:
    """The cells, and the problems of those that cannot be built."""
    cells: dict[str, Cell] = {}
    problems: set[Problem] = set()
    parts: tuple[Study | Arm, ...] = (study, *study.arms.values())
    unused = {path for part in parts for axes in (part.sweep, part.search) for path in axes}
    base_faults = set(study.base.problems())
    for arm_name, arm, point in _points(study):
        spec = study.base.with_values({**arm.overrides, **point, "seed": 0})
        search = {path: axis for path, axis in {**study.search, **arm.search}.items() if applies(spec.given(), path)}
        faults = spec.problems() or _search_faults(spec, search)
        problems |= {_located(fault, arm_name, arm, point, search) for fault in faults if fault not in base_faults}
        if faults:
            unused.clear()
            continue
        point = {path: value for path, value in point.items() if applies(spec.given(), path)}
        unused -= {*point, *search} | (set() if _is_dense(arm, study) else {"sparsity.target"})
        dense = spec.sparsity.method == "dense"
        name = "dense" if dense and not _is_dense(arm, study) else arm_name
        if any(cell.name == _cell_name(name, point) for cell in cells.values()):
            name = f"dense-{arm_name}"
        cells.setdefault(_identity(spec, search), Cell(_cell_name(name, point), name, point, spec, search))
    problems |= {Problem(path, _UNUSED) for path in unused}
    return ([] if problems else _with_controls(study, list(cells.values()))), sorted(problems)


def _identity(spec: TrialSpec, search: Mapping[str, Axis]) -> str:
    return digest_of([spec.trial_id(), plain(search)])


def _method(base: TrialSpec) -> str:
    return str(flatten(base.given()).get("sparsity.method", "dense"))


def _is_dense(arm: Arm, study: Study) -> bool:
    return bool(arm.overrides.get("sparsity.method", _method(study.base)) == "dense")


def _cell_name(arm: str, point: Mapping[str, Value]) -> str:
    return "/".join([arm, *(f"{path.rpartition('.')[2]}={_text(value)}" for path, value in point.items())])


def _text(value: Value) -> str:
    return f"{value:.12g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _with_controls(study: Study, cells: list[Cell]) -> list[Cell]:
    """Name each cell's control source, adding a dense cell at multiplier 1 where the study lacks it; dense first."""
    named = {cell.name: cell for cell in cells}
    sources = {_identity(cell.spec, cell.search): cell.name for cell in cells}
    for cell in cells if any(cell.search for cell in cells) else []:
        source = _control_source(cell, taken=named.keys())
        name = sources.setdefault(_identity(source.spec, source.search), source.name)
        named.setdefault(name, source)
        named[cell.name] = replace(cell, control_from=None if name == cell.name else name)
    return sorted(
        named.values(), key=lambda cell: (cell.control_from is not None, cell.spec.sparsity.method != "dense")
    )


def _control_source(cell: Cell, taken: Collection[str]) -> Cell:
    """The dense cell at multiplier 1 with the other sweep values of ``cell``."""
    spec = cell.spec.with_values({"sparsity.target": 0, "schedule.epoch_multiplier": 1})
    multiplier = {"schedule.epoch_multiplier": 1} if "schedule.epoch_multiplier" in cell.point else {}
    point = {path: value for path, value in {**cell.point, **multiplier}.items() if applies(spec.given(), path)}
    search = {path: axis for path, axis in cell.search.items() if applies(spec.given(), path)}
    arm = "dense" if _cell_name("dense", point) not in taken else f"dense-{cell.arm}"
    return Cell(_cell_name(arm, point), arm, point, spec, search, added=True)


def _search_faults(spec: TrialSpec, search: Mapping[str, Axis]) -> list[Problem]:
    """Faults at the ends of the search axes: each alone, then all low and all high together."""
    ends = {path: axis.ends() for path, axis in search.items()}
    corners = [{path: value} for path, values in ends.items() for value in values]
    corners += [{path: values[side] for path, values in ends.items()} for side in (0, -1)]
    return [fault for corner in corners for fault in spec.with_values(corner).problems()]


def _located(
    fault: Problem, arm_name: str, arm: Arm, point: Mapping[str, Value], search: Mapping[str, Axis]
) -> Problem:
    """The fault with the place where its value was declared in front of its path."""
    places: list[tuple[Mapping[str, Any], str]] = [
        (arm.search, f"arms.{arm_name}.search"),
        (search, "search"),
        (arm.sweep, f"arms.{arm_name}.sweep"),
        (point, "sweep"),
        (arm.overrides, f"arms.{arm_name}.overrides"),
    ]
    for declared, place in places:
        if any(path.startswith(fault.path) or fault.path.startswith(path) for path in declared):
            return Problem(f"{place}.{fault.path}", fault.rule, fault.got)
    return Problem(f"base.{fault.path}", fault.rule, fault.got)


def _rules(study: Study) -> Iterator[Problem]:
    """Rules that span several fields of the study."""
    parts: dict[str, Study | Arm] = {"": study, **study.arms}
    for name, part in parts.items():
        where = f"arms.{name}." if name else ""
        own = part.sweep.keys() | part.search.keys()
        both = {*study.sweep, *part.sweep} & {*study.search, *part.search}
        for path in sorted(own & both):
            yield Problem(f"{where}search.{path}", "an axis is either swept or searched, not both")
        for path in sorted(part.search.keys() & {"schedule.epochs", "schedule.epoch_multiplier"}):
            rule = "changes a trial's cost, so the longest run would always win; sweep it instead"
            yield Problem(f"{where}search.{path}", rule)
        for path, values in part.sweep.items():
            if len(set(values)) < len(values):
                yield Problem(f"{where}sweep.{path}", "the values of a sweep axis must differ", str(list(values)))
        for path in sorted({"seed"} & own):
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
