"""Applicability of a trial's fields: many mean something under one choice of another field only.

A field that changes nothing takes no part in a trial's name and is no column of its tables.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, get_args

from sparsetune.imports import is_import_path
from sparsetune.sparsity.methods.registry import METHODS, OWN_METHOD, known_method
from sparsetune.spec.declaration import Declaration
from sparsetune.spec.optimizer import BETAS, OptimizerName, OptimSpec
from sparsetune.spec.schedule import LrDecay, ScheduleSpec
from sparsetune.spec.sparsity import (
    ALLOCATION_FIELDS,
    SCORE_FIELDS,
    Allocation,
    Score,
    SparsitySpec,
)
from sparsetune.spec.values import flatten_values, set_field

_PARTS: dict[str, type[Declaration]] = {
    "sparsity": SparsitySpec,
    "schedule": ScheduleSpec,
    "optim": OptimSpec,
}
"""Parts of a trial with a field that decides on others, by their name in `TrialSpec`."""
_CYCLIC_FIELDS = ("floor", "rewind")
_LR_FIELDS = {
    "linear": _CYCLIC_FIELDS,
    "cosine": _CYCLIC_FIELDS,
    "constant": (),
    "step": ("anchors", "factor"),
}
_WEIGHT_DECAY_FIELDS = ("weight_decay", "decay_bias_and_norm")


def _optimizer_fields() -> dict[str, tuple[str, ...]]:
    """Fields of each optimizer of torch."""
    fields_of: dict[str, tuple[str, ...]]
    fields_of = dict.fromkeys(get_args(OptimizerName), _WEIGHT_DECAY_FIELDS)
    for name in BETAS:
        fields_of[name] = (*_WEIGHT_DECAY_FIELDS, "beta1", "beta2")
    fields_of["sgd"] = (*_WEIGHT_DECAY_FIELDS, "momentum", "nesterov")
    fields_of["rprop"] = ()  # the signs of gradients alone count
    return fields_of


def _dotted(part: str, fields_of: Mapping[str, Collection[str]]) -> dict[str, tuple[str, ...]]:
    """Fields by choice, with the name of their part in front."""
    dotted = {}
    for choice, names in fields_of.items():
        dotted[choice] = tuple(f"{part}.{name}" for name in names)
    return dotted


def _method_fields() -> dict[str, tuple[str, ...]]:
    """Fields of each method; every sparse method has the schedule's stretch too."""
    fields_of = _dotted("sparsity", {name: method.fields for name, method in METHODS.items()})
    for method, names in fields_of.items():
        # A stretch makes a sparse network cost what its dense twin does; `dense` has no fields.
        if names:
            fields_of[method] = (*names, "schedule.stretch")
    return fields_of


_FIELDS_OF: dict[str, dict[str, tuple[str, ...]]] = {
    "sparsity.method": _method_fields(),
    "sparsity.score": _dotted("sparsity", SCORE_FIELDS),
    "sparsity.allocation": _dotted("sparsity", ALLOCATION_FIELDS),
    "schedule.lr": _dotted("schedule", _LR_FIELDS),
    "optim.name": _dotted("optim", _optimizer_fields()),
}
"""Fields that mean something only under one choice of another field; all others always apply."""

_FIELDS_OF_OWN = {
    # What a method of one's own reads is known only when it is imported.
    "sparsity.method": tuple(sorted(set().union(*_FIELDS_OF["sparsity.method"].values()))),
    "sparsity.score": ("sparsity.saliency_batches", "sparsity.fisher"),
    "sparsity.allocation": (),
    "schedule.lr": tuple(f"schedule.{name}" for name in _CYCLIC_FIELDS),
    "optim.name": tuple(f"optim.{name}" for name in _WEIGHT_DECAY_FIELDS),
}
"""Those of these fields that mean something where the choice is a user's own import path."""

_CHOICES = {
    "sparsity.method": tuple(METHODS),
    "sparsity.score": get_args(Score),
    "sparsity.allocation": get_args(Allocation),
    "schedule.lr": get_args(LrDecay),
    "optim.name": get_args(OptimizerName),
}
"""Names of what is built in, by deciding field."""

CHOICES_FIELD = "method_choices"
"""Field of `SparsitySpec` that holds the version of its method's choices."""
EXPLICIT_FIELD = "sparsity.layers"
"""Field of which one kind of entries means something under the allocation `explicit` alone."""
DECIDING_FIELDS = tuple(_FIELDS_OF)
"""Fields whose value decides which others apply, the method first: it decides on the score and the
allocation."""


def _default_choices() -> dict[str, Any]:
    """The default of each deciding field."""
    defaults = {}
    for path in DECIDING_FIELDS:
        part, _, name = path.partition(".")
        defaults[path] = _PARTS[part].model_fields[name].default
    return defaults


_DECIDING_DEFAULTS = _default_choices()


def require_every_choice(path: str, listed: Collection[str]) -> None:
    """Refuse a deciding field one of whose choices has no line that lists its fields.

    Such a choice would take the fields of all others into the names of its trials.

    Args:
        path: Dotted name of the deciding field, such as ``sparsity.score``.
        listed: Choices that have a line.

    Raises:
        LookupError: naming the choices without a line, and lines without a choice.
    """
    choices = _CHOICES[path]
    missing = [choice for choice in choices if choice not in listed]
    unknown = [choice for choice in listed if choice not in choices]
    if missing:
        raise LookupError(f"`{path}`: list the fields of {', '.join(missing)} in its table")
    if unknown:
        raise LookupError(f"`{path}`: its table lists {', '.join(unknown)}, which is no choice")


# At import, so that a choice that was added without its line cannot name a single trial.
for _path, _fields_of in _FIELDS_OF.items():
    require_every_choice(_path, _fields_of)


def _silent_by_choice() -> dict[str, dict[str, frozenset[str]]]:
    """Fields of other choices, for each deciding field and choice."""
    silent: dict[str, dict[str, frozenset[str]]] = {}
    for path, fields_of in _FIELDS_OF.items():
        conditional = set().union(*fields_of.values())
        silent[path] = {}
        for choice, fields in fields_of.items():
            silent[path][choice] = frozenset(conditional.difference(fields))
    return silent


def _silent_under_own() -> dict[str, frozenset[str]]:
    """Fields of built-in choices alone, for each deciding field that takes import paths."""
    silent = {}
    for path, fields in _FIELDS_OF_OWN.items():
        conditional = set().union(*_FIELDS_OF[path].values())
        silent[path] = frozenset(conditional.difference(fields))
    return silent


_SILENT_FIELDS = _silent_by_choice()
_SILENT_UNDER_OWN = _silent_under_own()


def _silent_fields(path: str, choice: Any) -> frozenset[str]:
    """Fields that mean nothing under a choice of a deciding field.

    An unknown choice silences none: it is a fault, which is reported with all the fields given.
    """
    if not isinstance(choice, str):
        return frozenset()
    if is_import_path(choice):
        return _SILENT_UNDER_OWN.get(path, frozenset())
    return _SILENT_FIELDS[path].get(choice, frozenset())


class Applicability:
    """Fields that apply in a trial of nested values, which may be partial and unchecked."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self._method = known_method(self._field("sparsity.method"))
        self._choices = _method_choices(values)
        self._distils = _uses_distillation(values)
        self._silent: set[str] = set()
        for path in DECIDING_FIELDS:
            self._silent |= _silent_fields(path, self._chosen(path))

    def applies(self, path: str) -> bool:
        """True if the dotted field, or one inside it, changes anything."""
        part, _, rest = path.partition(".")
        if path == EXPLICIT_FIELD and not self.is_explicit() and not self._names_layers():
            return False
        # The hardness itself always applies: it is what says that nothing is distilled.
        if part == "distill" and path != "distill.hardness" and not self._distils:
            return False
        return f"{part}.{rest.partition('.')[0]}" not in self._silent

    def is_explicit(self) -> bool:
        """True under the allocation `explicit`; also under an unknown one, which is a fault."""
        allocation = self._chosen("sparsity.allocation")
        if isinstance(allocation, str) and is_import_path(allocation):
            return False
        others = [name for name in _CHOICES["sparsity.allocation"] if name != "explicit"]
        return allocation not in others

    def _names_layers(self) -> bool:
        """True if `sparsity.layers` adds layers or takes them away."""
        given = self._values.get("sparsity", {})
        entries = given.get("layers", ()) if isinstance(given, Mapping) else ()
        return bool(_names_alone(entries))

    def method_default(self, path: str) -> Any:
        """The method's own value where the dotted field is left open; None for other fields."""
        part, _, name = path.partition(".")
        # What a method of one's own is declared with stays in the trial's name.
        is_known = part == "sparsity" and self._method is not OWN_METHOD
        return self._choices.get(name) if is_known else None

    def _chosen(self, path: str) -> Any:
        """The value of a deciding field: as given, or the method's own, or the default."""
        given = self._field(path)
        return self.method_default(path) if given is None else given

    def _field(self, path: str) -> Any:
        part, _, name = path.partition(".")
        given = self._values.get(part, {})
        default = _DECIDING_DEFAULTS[path]
        return given.get(name, default) if isinstance(given, Mapping) else default


def _names_alone(entries: Any) -> Any:
    """Entries of `sparsity.layers` without pairs of a name and a sparsity, as plain values."""
    if not isinstance(entries, list | tuple):
        return entries  # a fault, which is reported
    return [entry for entry in entries if not isinstance(entry, list | tuple)]


def _uses_distillation(values: Mapping[str, Any]) -> bool:
    given = values.get("distill", {})
    return not isinstance(given, Mapping) or given.get("hardness", 0) != 0


def field_applies(values: Mapping[str, Any], path: str) -> bool:
    """True if a dotted field changes anything in a trial of nested values.

    Args:
        values: Plain values of a trial, by part; they may be partial and unchecked.
        path: Dotted name of the field, such as ``sparsity.ramp.start``.
    """
    return Applicability(values).applies(path)


def _method_choices(values: Mapping[str, Any], version: int | None = None) -> dict[str, str]:
    """The method's own choices in a trial of nested values, which may be faulty.

    Args:
        values: Plain values of a trial, by part.
        version: Version of the defaults; by default that of the values.
    """
    given = values.get("sparsity")
    given = given if isinstance(given, Mapping) else {}
    score = given.get("score")
    stated = given.get(CHOICES_FIELD, 1)
    if version is None:
        version = stated if isinstance(stated, int) else 1
    method = known_method(given.get("method", "dense"))
    return method.choices(score if isinstance(score, str) else None, version)


def named_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Canonical nested values as a trial is named by them: open fields mean version 1's choices.

    So a choice that a later version makes otherwise is named by its value, and a trial with the
    values of version 1 keeps its name under every version.
    """
    named = {**values}
    sparsity = values.get("sparsity")
    if isinstance(sparsity, Mapping) and CHOICES_FIELD in sparsity:
        written = {**sparsity}
        first = _method_choices(values, version=1)
        for name, own in _method_choices(values).items():
            if own == first[name]:
                continue
            value = written.pop(name, None) or own
            if value != first[name]:
                written[name] = value
        named["sparsity"] = written
    distill = values.get("distill")
    teacher = distill.get("teacher") if isinstance(distill, Mapping) else None
    if isinstance(distill, Mapping) and isinstance(teacher, Mapping):
        named["distill"] = {**distill, "teacher": named_values(teacher)}
    return named


def canonical_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested plain values without the fields that do not apply or repeat the method's own choice.

    A target of 0 becomes the method ``dense``. The values are not checked.
    """
    flat = flatten_values(values)
    is_dense = flat.get("sparsity.target", 0) == 0
    # An unknown method is a fault, and stays to be named.
    method = flat.get("sparsity.method", "dense")
    if is_dense and isinstance(method, str) and (method in METHODS or is_import_path(method)):
        flat.pop("sparsity.method", None)
        values = {**values, "sparsity": {}}
    applicability = Applicability(values)
    kept: dict[str, Any] = {}
    if EXPLICIT_FIELD in flat and not applicability.is_explicit():
        # Sparsities of layers mean nothing under another allocation; names of layers do.
        flat[EXPLICIT_FIELD] = _names_alone(flat[EXPLICIT_FIELD])
    for path, value in flat.items():
        # A value that is the method's own choice gives the training that leaving it out gives.
        repeated = value is not None and value == applicability.method_default(path)
        if applicability.applies(path) and not repeated:
            set_field(kept, path, value)
    distill = kept.get("distill")
    teacher = distill.get("teacher") if isinstance(distill, Mapping) else None
    if isinstance(teacher, Mapping):
        kept["distill"]["teacher"] = canonical_values(teacher)
    return kept
