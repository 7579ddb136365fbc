"""Columns of ours that a table of runs may have: their names, and what they hold."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
from pydantic import BaseModel

from sparsetune.durations import Length
from sparsetune.spec import TrialSpec
from sparsetune.spec.columns import FINAL_COLUMNS, MEASURED_COLUMNS, TRIAL_COLUMNS

from .units import LOSS_SUFFIXES

Kind = Literal["number", "whole", "fraction", "length", "boolean", "text", "loss", "spread", "own"]
OWN_PREFIX = "own."
"""Start of the field of a column that no field of ours fits."""
LABEL_PREFIX = "label_"
"""Start of our name of a column that is carried along and read by no analysis."""
COUNT_COLUMN = "n"
"""Column with the number of runs behind the means of a row."""
SPREAD_SUFFIXES = ("_sd", "_se")
"""Endings of the columns with a mean's standard deviation over runs, or standard error."""
EPOCH_PREFIX = "epoch_"
"""Start of the column with a test metric of each evaluation, where the result is another one."""
DERIVED_COLUMNS = ("study", "cell", "attempt", "error")
"""Columns that are derived from the runs and cannot be given."""
NON_NEGATIVE_COLUMNS = ("step", "epoch", "seconds", "seed")
_FRACTION_COLUMNS = ("progress", "target", "sparsity", "mask_iou", "ever_active", "inference_flops")
_COLUMN_KINDS: dict[str, Kind] = {
    "string": "text",
    "float64": "number",
    "Int64": "whole",
    "boolean": "boolean",
}
"""Kind of a column by its dtype, where it is no fraction."""
RESULT_COLUMNS = tuple(
    column.name
    for column in (*MEASURED_COLUMNS, *FINAL_COLUMNS)
    if column.name.startswith(("train_l", "val_", "test_", "batch_"))
)
"""Columns of which a finished run has at least one."""
TEST_RESULTS = tuple(name for name in RESULT_COLUMNS if name.startswith("test_"))


@dataclass(frozen=True)
class KnownColumn:
    """Kind of a column that may be given, and the range of its numbers, ends included."""

    kind: Kind
    low: float = -np.inf
    high: float = np.inf


@cache
def known_columns() -> dict[str, KnownColumn]:
    """Every name that ``columns`` may hold, with what the column holds.

    Names of `sparsetune.spec.columns.TRIAL_COLUMNS` come first, then the dotted fields of a trial.
    """
    # Our tables' columns come first, so that suggestions name them before fields.
    known: dict[str, KnownColumn] = {}
    for column in TRIAL_COLUMNS:
        if column.name not in DERIVED_COLUMNS:
            known[column.name] = _measured_column(column.name, column.dtype)
    fields = dict(_spec_fields(TrialSpec, ""))
    return known | {path: field for path, field in fields.items() if "." in path}


@cache
def column_forms() -> dict[str, KnownColumn]:
    """Names made of those in `known_columns`: spreads of means, and test metrics by epoch."""
    known = known_columns()
    forms = {f"{EPOCH_PREFIX}{name}": known[name] for name in TEST_RESULTS}
    spreads = [f"{name}{suffix}" for name in RESULT_COLUMNS for suffix in SPREAD_SUFFIXES]
    return forms | dict.fromkeys(spreads, KnownColumn("spread", 0))


def column_kind(name: str) -> KnownColumn | None:
    """What a column holds by our name, which may be that of a field of the caller's own.

    Returns:
        None where there is no such name.
    """
    if name.startswith(OWN_PREFIX) and name != OWN_PREFIX:
        return KnownColumn("own")
    if name.startswith(LABEL_PREFIX):
        return KnownColumn("text")
    if name == COUNT_COLUMN:
        return KnownColumn("whole", 1)
    return known_columns().get(name) or column_forms().get(name)


def _measured_column(name: str, dtype: str) -> KnownColumn:
    if name in _FRACTION_COLUMNS or name.endswith("_accuracy"):
        return KnownColumn("fraction", 0, 1)
    if name.endswith("_score"):
        return KnownColumn("fraction", -1, 1)
    if name.endswith("_error"):
        return KnownColumn("fraction", 0, 2)
    if name.endswith(LOSS_SUFFIXES):
        return KnownColumn("loss")
    low = 0 if name in NON_NEGATIVE_COLUMNS else -np.inf
    return KnownColumn(_COLUMN_KINDS[dtype], low)


def _spec_fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, KnownColumn]]:
    """Fields below ``model`` by their dotted paths, those of every variant of a part included.

    A teacher, which is a trial itself, counts as one field.
    """
    for name, field in model.model_fields.items():
        members = list(_allowed_types(field.annotation))
        parts = [member for member in members if _is_part(member)]
        for part in parts:
            yield from _spec_fields(part, f"{prefix}{name}.")
        if not parts:
            yield f"{prefix}{name}", _field_column(members, field.metadata)


def _is_part(member: Any) -> bool:
    is_model = isinstance(member, type) and issubclass(member, BaseModel)
    return is_model and member is not TrialSpec


def _allowed_types(annotation: Any) -> Iterator[Any]:
    """Types that an annotation allows."""
    if get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _allowed_types(member)
    elif hasattr(annotation, "__metadata__"):
        yield from _allowed_types(annotation.__origin__)
    else:
        yield annotation


def _field_column(members: list[Any], metadata: Iterable[Any]) -> KnownColumn:
    """Column of a field, by the types that it allows and its constraints."""
    bounds: dict[str, float] = {}
    for constraint in metadata:
        for name in ("ge", "gt", "le", "lt"):
            if hasattr(constraint, name):
                bounds[name] = getattr(constraint, name)
    low = bounds.get("ge", bounds.get("gt", -np.inf))
    high = bounds.get("le", bounds.get("lt", np.inf))
    # A length below 1 is a part of training; longer ones carry their unit.
    if Length in members:
        return KnownColumn("length", 0, 1)
    if bool in members:
        return KnownColumn("boolean")
    if float in members or int in members:
        kind: Kind = "number" if float in members else "whole"
        # A number within [0, 1] may be written in percent, unlike any other.
        if (low, high) == (0, 1):
            kind = "fraction"
        return KnownColumn(kind, low, high)
    return KnownColumn("text")
