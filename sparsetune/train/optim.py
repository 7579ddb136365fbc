"""Optimizers by name or import path, the parameters that they decay, and the clip of gradients."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from sparsetune.errors import DeclarationError, Problem, first_line
from sparsetune.imports import import_function, is_import_path
from sparsetune.sparsity.methods.registry import method_of
from sparsetune.spec import OptimSpec, TrialSpec
from sparsetune.spec.optimizer import ARGUMENT_FIELDS, BETAS

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "adamax": torch.optim.Adamax,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "adafactor": torch.optim.Adafactor,
    "asgd": torch.optim.ASGD,
    "rprop": torch.optim.Rprop,
}
"""Classes of torch by name."""
FUSED = ("sgd", "adamw", "adam")
"""Optimizers of which torch has fused steps on every device, so that a step is one call."""
UNDECLARED = ("params", "foreach", "fused", "capturable", "differentiable", "maximize")
"""Arguments of torch's classes that say how a step is computed, or turn the loss around."""


def build_optimizer(spec: OptimSpec, model: nn.Module) -> torch.optim.Optimizer:
    """Declared optimizer over all parameters of ``model``.

    Raises:
        DeclarationError: if the user's own function cannot be imported, or returns something else.
    """
    groups = decay_groups(spec, model)
    if is_import_path(spec.name):
        return _build_own(spec, groups)
    arguments = {**_field_arguments(spec), **spec.arguments}
    optimizer: Any = OPTIMIZERS[spec.name]
    built: torch.optim.Optimizer = optimizer(groups, lr=spec.lr, **arguments)
    if spec.name == "sgd" and spec.momentum > 0:
        built.register_step_pre_hook(_start_late_momentum)
    return built


def _start_late_momentum(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Start the momentum of parameters that get their first gradient later than others, at zero.

    Torch's fused SGD starts all of them or none, and fails where an expert that no example was
    routed to is trained at last.
    """
    for group in optimizer.param_groups:
        trained = [parameter for parameter in group["params"] if parameter.grad is not None]
        late = [one for one in trained if "momentum_buffer" not in optimizer.state.get(one, {})]
        if len(late) < len(trained):
            for parameter in late:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def _build_own(spec: OptimSpec, groups: list[dict[str, object]]) -> torch.optim.Optimizer:
    build = import_function(spec.name, "optim.name")
    built = build(groups, lr=spec.lr, **spec.arguments)
    if not isinstance(built, torch.optim.Optimizer):
        rule = "the function must return a torch.optim.Optimizer"
        got = f"{type(built).__name__} from {spec.name!r}"
        raise DeclarationError([Problem("optim.name", rule, got)])
    return built


def _field_arguments(spec: OptimSpec) -> dict[str, Any]:
    """Arguments of a class of torch that the declaration has fields of their own for."""
    arguments: dict[str, Any] = {}
    if spec.name in FUSED:
        arguments["fused"] = True
    if spec.name in BETAS:
        arguments["betas"] = (spec.beta1, spec.beta2)
    if spec.name == "sgd":
        arguments["momentum"] = spec.momentum
        arguments["nesterov"] = spec.nesterov and spec.momentum > 0
    return arguments


def decay_groups(spec: OptimSpec, model: nn.Module) -> list[dict[str, object]]:
    """Parameter groups of an optimizer: those with weight decay, and those without.

    Parameters of fewer than two dimensions (biases, norms) are not decayed, unless the declaration
    says so with ``decay_bias_and_norm``.
    """
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        if parameter.dim() >= 2 or spec.decay_bias_and_norm:
            decayed.append(parameter)
        else:
            spared.append(parameter)
    return [
        {"params": decayed, "weight_decay": spec.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]


def held_parameters(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """Parameters that the optimizer moves, in the model's order, which decides a sum's last bit."""
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    return [parameter for parameter in model.parameters() if id(parameter) in held]


def optimizer_problems(spec: TrialSpec) -> list[Problem]:
    """Problems that one step of the declared optimizer on a small network shows; empty without.

    They are unknown arguments, a function of the user's that does not work, and state that cannot
    be reset where weights come back, as the trial's method asks.
    """
    optim = spec.optim
    if optim.name in ("sgd", "adamw") and not optim.arguments:
        return []  # without waiting for torch to load what a first step needs
    reset = "none"
    if method_of(spec.sparsity.method).resets:
        reset = spec.sparsity.resolved().reset or "none"
    return list(_examine_optimizer(optim, reset))


@lru_cache(maxsize=1024)
def _examine_optimizer(spec: OptimSpec, reset: str) -> tuple[Problem, ...]:
    if unknown := _argument_problems(spec):
        return tuple(unknown)
    weight = nn.Parameter(torch.ones(3, 4))
    bias = nn.Parameter(torch.ones(3))
    try:
        optimizer = build_optimizer(spec, nn.ParameterList([weight, bias]))
        weight.grad = torch.ones_like(weight)
        bias.grad = torch.ones_like(bias)
        optimizer.step()
    except DeclarationError as error:
        return tuple(error.problems)
    except Exception as error:  # a user's function may raise anything, and torch does
        cause = f"{type(error).__name__}: {first_line(error)}"
        rule = f"must make a step on a layer with its weights and biases ({cause})"
        return (Problem("optim.name", rule, _call_text(spec)),)
    problem = reset_problem(spec.name, reset, optimizer.state.get(weight, {}), weight.shape)
    # A method's own reset of plain gradient descent is one of nothing, as it always was.
    return () if problem is None or spec.name == "sgd" else (problem,)


def _call_text(spec: OptimSpec) -> str:
    """The declared call, for a message."""
    given = ", ".join(f"{name}={value!r}" for name, value in spec.arguments.items())
    return f"{spec.name}({given})"


def _argument_problems(spec: OptimSpec) -> list[Problem]:
    """Arguments that a class of torch does not take."""
    if is_import_path(spec.name):
        return []
    optimizer = OPTIMIZERS[spec.name]
    fields = ARGUMENT_FIELDS[spec.name]
    known = [name for name in inspect.signature(optimizer).parameters if name not in UNDECLARED]
    valid = ", ".join(f"`{name}`" for name in known if name not in fields)
    found = []
    for name in spec.arguments:
        if name not in known:
            rule = f"unknown argument of torch's {optimizer.__name__}; valid are {valid}"
            found.append(Problem(f"optim.arguments.{name}", rule))
    return found


def reset_problem(
    name: str, reset: str, slots: Mapping[str, object], shape: torch.Size
) -> Problem | None:
    """Problem of state that cannot be reset, or None.

    Args:
        name: Name of the optimizer.
        reset: What becomes zero where weights come back: none, grown or all.
        slots: State of a weight after a step.
        shape: Shape of the weight.
    """
    if reset == "none":
        return None
    tensors = [slot for slot in slots.values() if isinstance(slot, torch.Tensor) and slot.dim()]
    follows_mask = any(slot.shape == shape for slot in tensors)
    is_factored = any(slot.shape != shape for slot in tensors)
    if is_factored and reset == "grown":
        rule = (
            f"`{name}` keeps moments of whole rows and columns, which cannot be reset for the"
            " weights that come back: set `sparsity.reset` to `all` or `none`, or take another"
            " optimizer"
        )
        return Problem("optim.name", rule)
    if not follows_mask and not is_factored:
        rule = (
            f"a `sparsity.reset` of `{reset}` needs an optimizer with momentum or moments to reset:"
            " set the reset to `none`"
        )
        return Problem("optim.name", rule, repr(name))
    return None
