"""The declaration of one trial: frozen, validated, to and from JSON, named by a digest.

Every new field needs a default that changes nothing: the digest leaves defaults out, so old results keep their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from sparsetune.declaration import Declared, digest_of, plain
from sparsetune.durations import Length, LengthField, round_half_up, steps_per_epoch, total_steps

SCHEMA_VERSION = 1
"""Of every declaration, ledger and study directory; raised when old ones can no longer be read as they are."""

Method = Literal["dense", "one_shot", "gmp", "acdc"]
Score = Literal["magnitude"]
Allocation = Literal["global", "uniform"]
RampShape = Literal["cubic", "linear"]
Fraction = Annotated[float, Field(ge=0, le=1)]
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


class RampSpec(Declared):
    """A gradual ramp from dense to the target (Zhu & Gupta 2017, arXiv 1710.01878)."""

    shape: RampShape = "cubic"
    start: Fraction = 0.1
    """Where the ramp starts, as a fraction of training."""
    length: Fraction = 0.6
    """How long it takes, as a fraction of training."""
    updates: int = Field(default=50, ge=10)
    """Mask updates over the ramp, evenly spaced; the last reaches the target."""

    @model_validator(mode="after")
    def _ends_within_training(self) -> RampSpec:
        if self.start + self.length > 1 + 1e-9:
            raise ValueError(
                f"`start` + `length` must be at most 1 (the end of training), got {self.start:g} + {self.length:g}"
                f" = {self.start + self.length:g}; a length of {1 - self.start:g} would do"
            )
        return self


class AcdcSpec(Declared):
    """The five lengths of AC/DC (Peste et al. 2021, arXiv 2106.12379), each a fraction of training or in epochs.

    The defaults stretch the published 100-epoch plan with training; lengths in epochs (`PUBLISHED_ACDC`) repeat more
    phases instead, as the authors' 150- and 200-epoch configurations do.
    """

    warmup: LengthField = Length(0.10)
    compress: LengthField = Length(0.05)
    decompress: LengthField = Length(0.05)
    last_dense: LengthField = Length(0.10)
    final: LengthField = Length(0.15)


PUBLISHED_ACDC = AcdcSpec(
    warmup="10 epochs", compress="5 epochs", decompress="5 epochs", last_dense="10 epochs", final="15 epochs"
)
"""The plan of the authors' ImageNet configurations, in epochs."""


class SparsitySpec(Declared):
    """Which weights are pruned, how many, and when."""

    method: Method = "dense"
    target: float = Field(default=0, ge=0, lt=1)
    """Fraction of the prunable weights outside the final mask; never a percentage, never a density."""
    score: Score = "magnitude"
    allocation: Allocation = "global"
    ramp: RampSpec = RampSpec()
    acdc: AcdcSpec = AcdcSpec()
    prune_at: Fraction = 0.5
    """One-shot: the fraction of training after which the network is pruned, in one step."""

    @model_validator(mode="after")
    def _dense_has_no_target(self) -> SparsitySpec:
        if self.method == "dense" and self.target > 0:
            raise ValueError(f"a target of {self.target:g} needs a sparse method: {', '.join(get_args(Method)[1:])}")
        return self


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
        values = self.canonical().model_dump(mode="json")
        kept = {path: value for path, value in flatten(values).items() if applies(values, path)}
        return kept | {path: flatten(values)[path] for path in ("sparsity.method", "sparsity.target")}


_SPARSE = ("sparsity.method", "sparsity.target", "sparsity.score", "sparsity.allocation")
_FIELDS_OF: dict[str, dict[str, tuple[str, ...]]] = {
    "sparsity.method": {
        "dense": (),
        "one_shot": (*_SPARSE, "sparsity.prune_at"),
        "gmp": (*_SPARSE, "sparsity.ramp"),
        "acdc": (*_SPARSE, "sparsity.acdc"),
    },
    "optim.name": {
        "sgd": ("optim.momentum", "optim.nesterov"),
        "adamw": ("optim.beta1", "optim.beta2"),
    },
}
"""Fields that mean something only under one choice of another field; all others always apply."""


def applies(values: Mapping[str, Any], path: str) -> bool:
    """Whether the dotted field ``path`` changes anything in a trial of these (possibly partial, unchecked) values."""
    for choice, fields_of in _FIELDS_OF.items():
        part, _, name = choice.partition(".")
        default = getattr(TrialSpec.model_fields[part].default, name)
        chosen = values.get(part, {}).get(name, default) if isinstance(values.get(part, {}), Mapping) else default
        conditional = {field for fields in fields_of.values() for field in fields}
        if chosen in fields_of and _within(path, conditional):
            return _within(path, fields_of[chosen])
    return True


def _within(path: str, fields: Iterable[str]) -> bool:
    return any(path == field or path.startswith(field + ".") for field in fields)


def canonical(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested plain values without the fields that do not apply; a target of 0 becomes `dense`. Not checked."""
    kept: dict[str, Any] = {}
    flat = flatten(values)
    if flat.get("sparsity.target", 0) == 0 and flat.get("sparsity.method", "dense") in get_args(Method):
        flat.pop("sparsity.method", None)
        values = {**values, "sparsity": {}}
    for path, value in flat.items():
        if applies(values, path):
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
