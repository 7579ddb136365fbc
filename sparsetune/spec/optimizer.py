"""The declaration of the optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from sparsetune.imports import name_or_import_path
from sparsetune.spec.declaration import MAX_COUNT, Declaration

OptimizerName = Literal[
    "sgd",
    "adamw",
    "adam",
    "adamax",
    "nadam",
    "radam",
    "rmsprop",
    "adagrad",
    "adadelta",
    "adafactor",
    "asgd",
    "rprop",
]
"""Classes of `torch.optim`, in lower case."""
BETAS = ("adamw", "adam", "adamax", "nadam", "radam")
"""Optimizers with Adam's two moments."""
UNFIT_OPTIMIZERS = {
    "lbfgs": "evaluates the loss several times in a step, on one and the same batch",
    "sparseadam": "takes gradients in sparse storage; here pruned weights are zeros of dense ones",
    "muon": "takes matrices alone; give a path to a function that adds an optimizer for the others",
}
"""Classes of `torch.optim` that cannot train every network here, each with the reason."""


def _argument_fields() -> dict[str, dict[str, str]]:
    """Arguments of each optimizer of torch that have a field of their own, with that field."""
    common = {"lr": "`optim.lr`", "weight_decay": "`optim.weight_decay`"}
    fields_of = dict.fromkeys(get_args(OptimizerName), common)
    for name in BETAS:
        fields_of[name] = {**common, "betas": "`optim.beta1` and `optim.beta2`"}
    sgd = {"momentum": "`optim.momentum`", "nesterov": "`optim.nesterov`"}
    fields_of["sgd"] = {**common, **sgd}
    return fields_of


ARGUMENT_FIELDS = _argument_fields()
"""The field that declares an argument, by optimizer and argument."""

Argument = bool | int | float | str | tuple[float | None, ...]


def _check_name(name: str) -> str:
    unfit = UNFIT_OPTIMIZERS.get(name.lower().replace("_", ""))
    if unfit:
        raise ValueError(f"cannot be {name!r}, which {unfit}")
    return name_or_import_path(get_args(OptimizerName))(name)


def _check_arguments(arguments: Any) -> Any:
    if not isinstance(arguments, Mapping):
        raise ValueError('must be a dictionary of arguments by name, as in {"eps": 1e-6}')
    for name, value in arguments.items():
        if not _is_argument(value):
            rule = "must be a number, a text, a truth value or a tuple of numbers"
            raise ValueError(f"`{name}` {rule}, got {value!r}")
    return arguments


def _is_argument(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(isinstance(item, int | float | None) for item in value)
    return isinstance(value, bool | int | float | str)


class OptimSpec(Declaration):
    """The optimizer. Weight decay spares biases and norms unless ``decay_bias_and_norm``."""

    name: Annotated[str, AfterValidator(_check_name)] = "sgd"
    """Optimizer: a class of `torch.optim` in lower case (``sgd adamw adam adamax nadam radam
    rmsprop adagrad adadelta adafactor asgd rprop``); or your own ``package.module:function``, which
    is called with parameter groups, the keyword ``lr`` and the arguments, and returns a
    `torch.optim.Optimizer`."""
    lr: float = Field(default=0.1, gt=0)
    """Peak learning rate."""
    lr_batch: int | None = Field(default=None, ge=1, le=MAX_COUNT)
    """Batch size that ``lr`` is given for; ``lr`` is scaled in proportion to the task's batch size
    (Goyal et al. 2017). None: ``lr`` is used as it is."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """Weight decay of every decayed parameter."""
    decay_bias_and_norm: bool = False
    """Decay biases and the weights of norms too."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """``sgd`` only: momentum."""
    nesterov: bool = False
    """``sgd`` only: use Nesterov's momentum."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """``adamw adam adamax nadam radam``: decay per step of the mean of gradients."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """``adamw adam adamax nadam radam``: decay per step of the mean of squared gradients."""
    arguments: Annotated[dict[str, Argument], BeforeValidator(_check_arguments)] = {}
    """Further arguments of the optimizer by name, such as ``{"eps": 1e-6}``; one of them is swept
    and searched as ``optim.arguments.eps``."""
    clip_norm: float | None = Field(default=None, gt=0)
    """Largest norm of the gradient that the optimizer applies, over all parameters together; a
    longer one is scaled down to it (Pascanu et al. 2013). Weights outside the mask do not count.
    None: gradients are not clipped."""
    ema: float = Field(default=0, ge=0, lt=1)
    """Decay per step of a masked moving average of the weights, which is then what is evaluated and
    saved; 0 for none."""

    @model_validator(mode="after")
    def _has_no_argument_twice(self) -> OptimSpec:
        if not self.arguments:
            return self
        fields = ARGUMENT_FIELDS.get(self.name, {})
        twice = [name for name in self.arguments if name in fields]
        if twice:
            said = [f"`arguments.{name}` is declared by {fields[name]}: set that" for name in twice]
            raise ValueError("; ".join(said))
        return self

    def __hash__(self) -> int:
        # A dictionary has no hash of its own.
        arguments = tuple(sorted(self.arguments.items()))
        return hash(tuple({**self.__dict__, "arguments": arguments}.values()))
