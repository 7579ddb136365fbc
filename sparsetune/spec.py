"""The declaration of one trial: frozen, validated, to and from JSON, named by a digest.

Every new field needs a default that changes nothing: the digest leaves defaults out, so old results keep their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from sparsetune.declaration import Declared, digest_of, plain
from sparsetune.durations import LengthField, round_half_up, steps_per_epoch, total_steps
from sparsetune.sparsity_spec import ALLOCATION_FIELDS, METHOD_DEFAULTS, METHOD_FIELDS, SCORE_FIELDS, SparsitySpec

SCHEMA_VERSION = 1
"""Of every declaration, ledger and study directory; raised when old ones can no longer be read as they are."""

Validation = Annotated[float, Field(ge=0)]


class _Examples(Declared):
    """What data sets have in common: how many examples are trained on, and which are held out."""

    batch_size: int = Field(default=128, ge=1)
    validation: Validation = 0.1
    """Held out of the training set, stratified: a fraction below 1, otherwise a number of examples."""
    split_seed: int = Field(default=0, ge=0)

    def pool(self) -> int:
        """Examples of the published training set."""
        raise NotImplementedError

    def held_out(self) -> int:
        """Examples of the validation split."""
        return round_half_up(self.validation * self.pool() if self.validation < 1 else self.validation)

    def train_size(self) -> int:
        """Examples trained on in one epoch."""
        return self.pool() - self.held_out()


class DigitsTask(_Examples):
    """scikit-learn's handwritten digits: 1,797 grey images of 8 x 8; a stratified fifth, 360, is the test set."""

    kind: Literal["digits"] = "digits"
    model: str = "mlp"
    batch_size: int = Field(default=64, ge=1)

    def pool(self) -> int:
        """Examples outside the test set."""
        return 1437


class ImageTask(_Examples):
    """A public image data set, read through torchvision."""

    kind: Literal["image"] = "image"
    dataset: Literal["fashion_mnist"] = "fashion_mnist"
    model: str = "lenet_300_100"
    train_examples: int | None = Field(default=None, ge=1)
    """Train on a stratified subset of this many examples; all by default. Validation is held out first."""

    def pool(self) -> int:
        """Examples of the published training set."""
        return {"fashion_mnist": 60_000}[self.dataset]

    def train_size(self) -> int:
        """Examples trained on in one epoch."""
        return min(super().train_size(), self.train_examples or self.pool())


TaskSpec = Annotated[DigitsTask | ImageTask, Field(discriminator="kind")]


class OptimSpec(Declared):
    """The optimizer. Weight decay spares biases and norms unless ``decay_bias_and_norm``."""

    name: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(default=0.1, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    decay_bias_and_norm: bool = False
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)


class ScheduleSpec(Declared):
    """How long to train, and the learning rate over training: a linear warm-up, then a decay to zero."""

    epochs: float = Field(default=4, gt=0)
    epoch_multiplier: float = Field(default=1, gt=0)
    """Extends training: learning rate, ramp and every other fraction of training stretch with it."""
    lr: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Fraction of training over which the learning rate rises to its peak."""


class EvaluateSpec(Declared):
    """When to evaluate besides the end of every epoch."""

    every: LengthField | None = None


class TrialSpec(Declared):
    """Everything that decides a trial's numbers. Equal specs give equal histories on one kind of CPU."""

    task: TaskSpec = DigitsTask()
    optim: OptimSpec = OptimSpec()
    schedule: ScheduleSpec = ScheduleSpec()
    sparsity: SparsitySpec = SparsitySpec()
    evaluate: EvaluateSpec = EvaluateSpec()
    seed: int = Field(default=0, ge=0)

    def steps_per_epoch(self) -> int:
        """Optimizer steps of one epoch."""
        return steps_per_epoch(self.task.train_size(), self.task.batch_size)

    def total_steps(self) -> int:
        """Optimizer steps of the whole training."""
        return total_steps(self.schedule.epochs, self.schedule.epoch_multiplier, self.steps_per_epoch())

    def canonical(self) -> TrialSpec:
        """The same training with the fields that do not apply at their defaults; a target of 0 is `dense`."""
        return TrialSpec.model_validate(canonical(self.given()))

    def with_values(self, values: Mapping[str, Any]) -> TrialSpec:
        """A canonical copy with dotted fields set; not checked."""
        return _trial(canonical(self._given_with(values)))

    def edited(self, values: Mapping[str, Any]) -> TrialSpec:
        """A copy with dotted fields set that keeps the fields that do not apply yet; not checked."""
        return _trial(self._given_with(values))

    def _given_with(self, values: Mapping[str, Any]) -> dict[str, Any]:
        given = {"task": plain(self.task), **self.given()}
        for path, value in values.items():
            set_at(given, path, plain(value))
        return given

    def dense(self) -> TrialSpec:
        """The dense twin: the same recipe, seed and epochs, nothing pruned."""
        return self.with_values({"sparsity.target": 0})

    def trial_id(self) -> str:
        """The digest of the whole canonical declaration, seed included."""
        return digest_of({"schema": SCHEMA_VERSION, **self.canonical().given()})

    def config_id(self) -> str:
        """The digest of the canonical declaration without its seed."""
        return self.with_values({"seed": 0}).trial_id()

    def columns(self) -> dict[str, Any]:
        """Every applicable field by its dotted name, defaults included: the configuration's columns in tables."""
        trial = self.canonical()
        values = trial.model_dump(mode="json") | {"sparsity": trial.sparsity.resolved().model_dump(mode="json")}
        kept = {path: value for path, value in flatten(values).items() if applies(values, path)}
        return kept | {path: flatten(values)[path] for path in ("sparsity.method", "sparsity.target")}


def _fields(part: str, of: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {choice: tuple(f"{part}.{name}" for name in names) for choice, names in of.items()}


_FIELDS_OF = {
    "sparsity.method": _fields("sparsity", METHOD_FIELDS),
    "sparsity.score": _fields("sparsity", SCORE_FIELDS),
    "sparsity.allocation": _fields("sparsity", ALLOCATION_FIELDS),
    "optim.name": _fields("optim", {"sgd": ("momentum", "nesterov"), "adamw": ("beta1", "beta2")}),
}
"""Fields that mean something only under one choice of another field; all others always apply."""

DECIDING = tuple(_FIELDS_OF)
"""Fields whose value decides which others apply, the method first: scores and allocations belong to one."""


def applies(values: Mapping[str, Any], path: str) -> bool:
    """Whether the dotted field ``path`` changes anything in a trial of these (possibly partial, unchecked) values."""
    for choice, fields_of in _FIELDS_OF.items():
        chosen = _chosen(values, choice)
        conditional = {field for fields in fields_of.values() for field in fields}
        if chosen in fields_of and _within(path, conditional) and not _within(path, fields_of[chosen]):
            return False
    return True


def _chosen(values: Mapping[str, Any], choice: str) -> Any:
    """The value of the dotted field ``choice``: as given, or the method's own, or the default."""
    part, _, name = choice.partition(".")
    given = values.get(part, {})
    default = getattr(TrialSpec.model_fields[part].default, name)
    chosen = given.get(name, default) if isinstance(given, Mapping) else default
    return _method_default(values, choice) if chosen is None else chosen


def _method_default(values: Mapping[str, Any], path: str) -> Any:
    """What the method takes where the dotted field is open; None for other fields."""
    part, _, name = path.partition(".")
    method = _chosen(values, "sparsity.method") if part == "sparsity" else None
    return METHOD_DEFAULTS.get(str(method), {}).get(name)


def _within(path: str, fields: Iterable[str]) -> bool:
    return any(path == field or path.startswith(field + ".") for field in fields)


def canonical(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested plain values without fields that do not apply or say what the method takes anyway. Not checked.

    A target of 0 becomes `dense`.
    """
    kept: dict[str, Any] = {}
    flat = flatten(values)
    if flat.get("sparsity.target", 0) == 0 and flat.get("sparsity.method", "dense") in METHOD_DEFAULTS:
        flat.pop("sparsity.method", None)
        values = {**values, "sparsity": {}}
    for path, value in flat.items():
        if applies(values, path) and (value is None or value != _method_default(values, path)):
            set_at(kept, path, value)
    return kept


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one with dotted names, in order."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) and value else {prefix + name: value}
    return flat


def set_at(values: dict[str, Any], path: str, value: Any) -> None:
    """Set the dotted field ``path`` of nested dictionaries, in place."""
    *parts, name = path.split(".")
    for part in parts:
        if not isinstance(values.get(part), dict):
            values[part] = {}
        values = values[part]
    values[name] = value


def _trial(given: dict[str, Any]) -> TrialSpec:
    """A trial of plain values: valid where they are, else holding them as they came."""
    spec: TrialSpec = TrialSpec(**given)
    return spec
