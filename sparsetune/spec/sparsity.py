"""The declaration of sparsity.

Score, allocation, pattern, ramp and update rule are chosen independently.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from sparsetune.durations import Length, LengthField
from sparsetune.imports import name_or_import_path
from sparsetune.sparsity.methods.registry import METHODS, known_method
from sparsetune.spec.declaration import MAX_COUNT, Declaration

Score = Literal["magnitude", "random", "saliency", "fisher"]
Allocation = Literal["global", "uniform", "erk", "er", "explicit"]
RampShape = Literal["cubic", "linear", "exponential", "stepped"]
Decay = Literal["cosine", "linear", "constant"]
FirstMask = Literal["score", "erk"]
Rounding = Literal["down", "up"]
Reset = Literal["none", "grown", "all"]
Fraction = Annotated[float, Field(ge=0, le=1)]
PrunableRule = Literal["account", "modules"]
TAKEN_AWAY = "-"
"""First character of an entry of `SparsitySpec.layers` that takes layers away."""


def parse_pattern(pattern: str) -> tuple[int, int] | None:
    """(N, M) of a pattern ``"N:M"``, which keeps N of every M weights; None for ``"unstructured"``.

    Raises:
        ValueError: if it is neither, or N is not below M.
    """
    if pattern == "unstructured":
        return None
    found = re.fullmatch(r"(\d+):(\d+)", pattern)
    if found and 0 < int(found[1]) < int(found[2]):
        return int(found[1]), int(found[2])
    raise ValueError("a pattern must be `unstructured`, or N:M with 0 < N < M as in `2:4`")


def _check_pattern(pattern: str) -> str:
    parse_pattern(pattern)
    return pattern


def _check_layer_entry(entry: Any) -> Any:
    """An entry of `SparsitySpec.layers`: a pattern, or a pair of a pattern and a sparsity."""
    if isinstance(entry, str):
        if entry.startswith("!"):
            raise ValueError(f"a pattern that takes layers away starts with `-`: `-{entry[1:]}`")
        if not entry.removeprefix(TAKEN_AWAY).strip():
            raise ValueError("a pattern must name layers, as in `decoder.*` or `-decoder.*`")
        return entry
    is_pair = isinstance(entry, list | tuple) and len(entry) == 2 and isinstance(entry[0], str)
    if not is_pair:
        rule = "must be a pattern, `decoder.*` to add layers or `-decoder.*` to take them away"
        raise ValueError(f'{rule}; or under `explicit` a pair such as `("decoder.*", 0.9)`')
    pattern, sparsity = entry
    is_number = isinstance(sparsity, int | float) and not isinstance(sparsity, bool)
    if not is_number or not 0 <= sparsity < 1:
        raise ValueError(f"the sparsity of `{pattern}` must be a number in [0, 1)")
    return pattern, float(sparsity)


class RampSpec(Declaration):
    """A gradual ramp from dense to the target (Zhu & Gupta 2017, arXiv 1710.01878)."""

    shape: Annotated[str, AfterValidator(name_or_import_path(get_args(RampShape)))] = "cubic"
    """Curve of the sparsity between the start and the end of the ramp: ``cubic``, ``linear``,
    ``exponential``, ``stepped``, or your own ``package.module:function``."""
    start: LengthField = Length(0.1)
    """Training done before the ramp starts."""
    length: LengthField = Length(0.6)
    """Length of the ramp."""
    tail: LengthField | None = None
    """Training left after the ramp, with the mask fixed; given instead of ``length``."""
    first: float = Field(default=0, ge=0, lt=1)
    """The sparsity that the ramp starts with, in one step; the target if that is lower."""
    first_mask: FirstMask = "score"
    """How ``first`` is reached: by pruning the lowest scores; or ``erk``, by a random mask with the
    densities of ERK, as GraNet starts from a sparse network."""
    updates: int = Field(default=50, ge=1, le=MAX_COUNT)
    """Mask updates after the start, evenly spaced; the last reaches the target."""
    every: LengthField | None = None
    """Time between two mask updates, given instead of ``updates``. One more, at the end of the
    ramp, reaches the target."""
    levels: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    """``stepped`` only: sparsities reached at equal intervals, as fractions of the target, which
    follows."""

    @model_validator(mode="after")
    def _is_consistent(self) -> RampSpec:
        if (self.shape == "stepped") != bool(self.levels):
            raise ValueError(
                f"`levels` belong to the shape `stepped`, and only there, got {self.levels} for it"
            )
        if self.first_mask == "erk" and self.first == 0:
            raise ValueError("a `first_mask` of `erk` needs a `first` sparsity above 0, got 0")
        if list(self.levels) != sorted(set(self.levels)):
            raise ValueError(f"`levels` must rise, got {self.levels}")
        # Parsed again: a faulty part that is checked within another holds what it was given.
        start = Length.parse(self.start)
        length = Length.parse(self.length)
        # A field that was left out has its default: only another value shows that both were given.
        if self.tail is not None and length != Length(0.6):
            tail = Length.parse(self.tail).declared()
            raise ValueError(f"give `length` or `tail`, got {length.declared()} and {tail}")
        if self.every is not None and self.updates != 50:
            every = Length.parse(self.every).declared()
            raise ValueError(f"give `updates` or `every`, got {self.updates} and {every}")
        fractions = self.tail is None and (start.unit, length.unit) == ("fraction", "fraction")
        # The sum of two decimal fractions may exceed 1 in its last bit.
        if fractions and start.value + length.value > 1 + 1e-9:
            end = start.value + length.value
            raise ValueError(
                f"`start` + `length` must be at most 1 (the end of training), got {start.value:g} +"
                f" {length.value:g} = {end:g}; a length of {1 - start.value:g} would do"
            )
        return self


GMP_STAR = RampSpec(first=0.7, start="2 epochs", tail="2 epochs", every="0.1 epochs")
"""GMP*: 70 % in one step, then ten updates per epoch; the first and last two epochs are fixed
(Kurtic et al. 2024, app. A)."""
OBERT_10_RAMP = RampSpec(first=0.7, start="2 epochs", tail="2 epochs", every="0.5 epochs")
"""oBERT's 10-epoch recipe: two epochs dense, two updates per epoch, two epochs fixed (arXiv
2203.07259, section 4.1)."""
OBERT_RAMP = RampSpec(first=0.7, start="2 epochs", tail="4 epochs", every="4 epochs")
"""oBERT's 30-epoch recipe: pruned at epochs 2, 6, … 26 (Kurtic et al. 2022, arXiv 2203.07259)."""

ONE_SHOT_RAMP = RampSpec(first=0.9999, start=0.99, length=0.01, updates=1)
"""To the target in one step after 99 % of training, as powerpropagation prunes small networks."""


class AcdcSpec(Declaration):
    """The five lengths of AC/DC (Peste et al. 2021, arXiv 2106.12379).

    Each is a fraction of training or in epochs. The defaults stretch the published 100-epoch plan
    with training; lengths in epochs (`PUBLISHED_ACDC`) repeat more phases instead, as the authors'
    150- and 200-epoch configurations do.
    """

    warmup: LengthField = Length(0.10)
    """Dense training before the first compressed phase."""
    compress: LengthField = Length(0.05)
    """Length of each compressed phase but the final one."""
    decompress: LengthField = Length(0.05)
    """Length of each decompressed phase but the last one."""
    last_dense: LengthField = Length(0.10)
    """Length of the last decompressed phase."""
    final: LengthField = Length(0.15)
    """Shortest final compressed phase; what the alternation leaves over lengthens it."""


PUBLISHED_ACDC = AcdcSpec(
    warmup="10 epochs",
    compress="5 epochs",
    decompress="5 epochs",
    last_dense="10 epochs",
    final="15 epochs",
)
"""The plan of the authors' ImageNet configurations, in epochs."""


CIFAR100_ACDC = AcdcSpec(
    warmup="10 epochs",
    compress="20 epochs",
    decompress="20 epochs",
    last_dense="20 epochs",
    final="30 epochs",
)
"""The plan of the authors' CIFAR-100 configurations, 200 epochs (IST-DASLab/ACDC,
`iht_cifar100_wideresnet_steplr_freq20_*`)."""
UNIFORM_ACDC: Mapping[str, Any] = MappingProxyType(
    {
        "sparsity.method": "acdc",
        "sparsity.allocation": "uniform",
        "sparsity.spared": ("conv1", "fc"),
    }
)
"""Overrides of an `Arm`: AC/DC with the same sparsity in every layer of a ResNet but the first
convolution and the classifier (IST-DASLab/ACDC, `iht_imagenet_resnet50_*_unif`)."""
UNIFORM_GMP: Mapping[str, Any] = MappingProxyType(
    {"sparsity.method": "gmp", "sparsity.allocation": "uniform"}
)
"""Overrides of an `Arm`: GMP with the same sparsity in every layer (Zhu & Gupta 2017, arXiv
1710.01878); the first convolution stays dense unless ``sparsity.spared`` is ``()``."""


class RegrowSpec(Declaration):
    """Drop and grow: SET, RigL (Evci et al. 2020, arXiv 1911.11134, algorithm 1) and GraNet."""

    fraction: float = Field(default=0.3, gt=0, lt=1)
    """Fraction of a layer's kept weights that the first update exchanges (alpha)."""
    decay: Decay = "cosine"
    """Decay of that fraction until the end of updates."""
    every: LengthField = Length(100, "steps")
    """Time between two updates; steps do not stretch with training, as published."""
    until: LengthField = Length(0.75)
    """Training done when the mask becomes fixed."""
    floor: float = Field(default=0, ge=0, lt=1)
    """Fraction that the decay ends at."""
    rounding: Rounding = "down"
    """Rounding of the number of weights that a layer exchanges."""
    replaces_step: bool | None = None
    """Whether an exchange takes the place of the optimizer's step on its batch. None: under SET and
    RigL it does, as in RigL's algorithm 1; under GraNet it cannot."""
    batches: int = Field(default=1, ge=1, le=MAX_COUNT)
    """Training batches before an update whose gradients are summed to choose which weights grow."""

    @model_validator(mode="after")
    def _falls(self) -> RegrowSpec:
        if self.floor > self.fraction:
            raise ValueError(
                f"`floor` must be at most `fraction`, got {self.floor:g} and {self.fraction:g}"
            )
        return self


GRANET_CIFAR = RegrowSpec(fraction=0.5, every="1000 steps")
"""GraNet's first exchange and interval on CIFAR, with exchanges until three quarters of training as
under RigL; as its authors' code has them: `PUBLISHED_GRANET`."""
PUBLISHED_GRANET = RegrowSpec(
    fraction=0.5, every="1000 steps", until=1.0, floor=0.005, rounding="up"
)
"""GraNet's exchanges on CIFAR, to the end of training (VITA-Group/GraNet, `CIFAR/main.py` and
`core.py`)."""
PUBLISHED_GRANET_RAMP = RampSpec(start=0, length="80 epochs", first=0.5, first_mask="erk")
"""GraNet's ramp on CIFAR, from a random mask of ERK at 50 % (VITA-Group/GraNet,
`CIFAR/scripts/script`); with ``first=0, first_mask="score"`` from a dense network."""
MOCANU_SET = RegrowSpec(
    fraction=0.3, decay="constant", every="1 epochs", until=1.0, replaces_step=False
)
"""SET as Mocanu et al. 2018 (arXiv 1707.04780) have it: 30 % of each layer after every epoch but
the last. Their masks have ``allocation="er"``, and momentum starts again: ``reset="all"``."""
RIGL_SET = RegrowSpec(replaces_step=False)
"""SET as the code of RigL's authors has it, which steps on the batch of an exchange too."""


class TopKastSpec(Declaration):
    """Top-KAST: weights that train though the forward pass does not see them (Jayakumar et al.
    2021, arXiv 2106.03517).
    """

    backward: float = Field(default=2, ge=1)
    """Weights that train, for each that the forward pass sees: the largest of all. 2 is the paper's
    80 % in the backward pass at 90 % in the forward pass."""
    decay: float = Field(default=1e-4, ge=0)
    """Strength of the exploration loss, added to the gradient times the weight; outside the forward
    mask it is divided by that mask's density."""


class FisherSpec(Declaration):
    """The block-diagonal empirical Fisher of WoodFisher and oBERT; BERT-base's published values."""

    block: int = Field(default=50, ge=1, le=MAX_COUNT)
    """Consecutive weights of a layer in one block; memory is weights x block floats."""
    gradients: int = Field(default=1024, ge=1, le=MAX_COUNT)
    """Gradients that the Fisher is averaged over."""
    batch_size: int = Field(default=16, ge=1, le=MAX_COUNT)
    """Examples of each gradient, which is their mean."""
    dampening: float = Field(default=1e-7, gt=0)
    """Constant added to the diagonal, so that a block can be inverted."""
    recomputations: int = Field(default=1, ge=1, le=MAX_COUNT)
    """Parts that each mask update is split into; the Fisher is estimated again for each part."""


class SparsitySpec(Declaration):
    """Sparsity of a trial: which weights are pruned, how many, and when.

    None stands for the method's own choice: see `Method.choices`.
    """

    method: Annotated[str, BeforeValidator(name_or_import_path(tuple(METHODS)))] = "dense"
    """Method that decides when the mask changes; ``dense`` prunes nothing: ``dense``, ``static``,
    ``one_shot``, ``gmp``, ``acdc``, ``set``, ``rigl``, ``granet``, ``sr_ste``, ``ste``,
    ``top_kast``, ``powerpropagation``, ``obert``, ``transfer``, or your own
    ``package.module:object``, a `Method`."""
    target: float = Field(default=0, ge=0, lt=1)
    """Fraction of the prunable weights outside the final mask, in [0, 1); never a percentage or a
    density."""
    score: Annotated[str, AfterValidator(name_or_import_path(get_args(Score)))] | None = None
    """Score whose lowest weights are pruned, or dropped where a method drops and grows:
    ``magnitude``, ``random``, ``saliency``, ``fisher``, or your own ``package.module:function``."""
    allocation: Annotated[str, AfterValidator(name_or_import_path(get_args(Allocation)))] | None = (
        None
    )
    """Distribution of the sparsity over layers; with drop and grow, that of the random mask at the
    start: ``global``, ``uniform``, ``erk``, ``er``, ``explicit``, or your own
    ``package.module:function``."""
    pattern: Annotated[str, AfterValidator(_check_pattern)] = "unstructured"
    """``unstructured``, or ``N:M``: N of every M weights along the input dimension are kept."""
    spared: tuple[str, ...] | None = None
    """Layers that stay dense and are counted among the prunable, by name or pattern
    (``*.downsample.*``); the target then holds over the others. None: the first convolution under
    ``uniform``, none elsewhere. ``layers`` takes layers away without counting them."""
    layers: tuple[Annotated[str | tuple[str, float], BeforeValidator(_check_layer_entry)], ...] = ()
    """Which layers are pruned, where it is not the linear and convolution layers that train. A name
    or pattern adds parameters of two or more dimensions of any kind (``decoder.*``, an embedding, a
    recurrent layer, a frozen one); with ``-`` in front it takes layers away, which stay dense and
    are not counted among the prunable. The last that matches counts. Under ``explicit`` also pairs
    of a name or pattern and a sparsity: of these the first that matches counts, and layers without
    one are dense."""
    prunable_by: PrunableRule | None = None
    """Set by a study's directory, and no part of any name. ``account``, as None: layers that are
    frozen, unused or shared with an embedding stay dense, and computed weights are pruned through
    their parameter. ``modules``, in directories of before: what linear and convolution modules
    hold."""
    method_choices: int = Field(default=1, ge=1, le=MAX_COUNT)
    """Set by a study's directory, and no part of any name: the version of the defaults whose
    choices a method makes for score, allocation and reset where these are left open."""
    ramp: RampSpec = RampSpec()
    """``gmp``, ``granet``, ``obert`` and ``powerpropagation``: the ramp to the target."""
    acdc: AcdcSpec = AcdcSpec()
    """``acdc``: lengths of its phases."""
    regrow: RegrowSpec = RegrowSpec()
    """``set``, ``rigl`` and ``granet``: the exchange of weights while the mask moves."""
    fisher: FisherSpec = FisherSpec()
    """Scores ``fisher`` and your own: the estimate of the Fisher."""
    checkpoint: str | None = None
    """``transfer`` only: a sparse model, named as in ``task.model``. Training starts from its
    weights, and its zeros are the mask; its sparsity must be the target's."""
    saliency_batches: int = Field(default=1, ge=1, le=MAX_COUNT)
    """Scores ``saliency`` and your own: training batches whose gradients are averaged."""
    prune_at: Fraction = 0.5
    """One-shot: fraction of training after which the network is pruned, in one step."""
    reset: Reset | None = None
    """Momentum and moments of the optimizer that become zero where weights come back: none, theirs,
    or all."""
    shadow_decay: float = Field(default=2e-4, ge=0)
    """SR-STE: decay of the dense weights outside the mask, added to their gradient (Zhou et al.
    2021)."""
    top_kast: TopKastSpec = TopKastSpec()
    """``top_kast``: its backward mask, and its exploration loss."""
    power: float = Field(default=2, ge=1)
    """``powerpropagation``: exponent alpha of the parameters whose powers are the weights (Schwarz
    et al. 2021); 1 for the parameters themselves."""
    recalibrate: int = Field(default=0, ge=0, le=MAX_COUNT)
    """Training examples on which batch-norm statistics are estimated again where a lasting mask
    begins; 0 for none."""

    @model_validator(mode="after")
    def _is_consistent(self) -> SparsitySpec:
        if not self.prunes and self.target > 0:
            sparse_methods = ", ".join(name for name, method in METHODS.items() if method.prunes)
            raise ValueError(f"a target of {self.target:g} needs a sparse method: {sparse_methods}")
        if self.explicit_sparsities() and self.allocation != "explicit":
            raise ValueError(
                "pairs of a pattern and a sparsity in `layers` belong to the allocation `explicit`,"
                " and only there"
            )
        return self

    @property
    def prunes(self) -> bool:
        """True if the method prunes; a method of one's own does."""
        return known_method(self.method).prunes

    def layer_patterns(self) -> tuple[str, ...]:
        """Entries of ``layers`` that add layers or take them away, in order."""
        return tuple(entry for entry in self.layers if isinstance(entry, str))

    def explicit_sparsities(self) -> tuple[tuple[str, float], ...]:
        """Entries of ``layers`` that give layers a sparsity, in order."""
        return tuple(entry for entry in self.layers if not isinstance(entry, str))

    def resolved(self) -> SparsitySpec:
        """A copy with the method's own choice for every None."""
        chosen = known_method(self.method).choices(self.score, self.method_choices)
        open_fields = {name: own for name, own in chosen.items() if getattr(self, name) is None}
        return self.model_copy(update=open_fields)


SCORE_FIELDS: dict[str, tuple[str, ...]] = {
    "magnitude": (),
    "random": (),
    "saliency": ("saliency_batches",),
    "fisher": ("fisher",),
}
"""Fields that mean something only under each score."""
ALLOCATION_FIELDS: dict[str, tuple[str, ...]] = {
    "global": (),
    "uniform": (),
    "erk": (),
    "er": (),
    "explicit": (),
}
"""Fields that mean something only under each allocation."""
