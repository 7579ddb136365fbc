"""Sparsity and cost of every prunable layer of a model, before any run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from sparsetune.errors import DeclarationError, Problem
from sparsetune.sparsity.account.account import Account
from sparsetune.sparsity.combinations import layer_problems
from sparsetune.sparsity.flops import ForwardFlops, prunable_flops
from sparsetune.sparsity.layers import Layer
from sparsetune.sparsity.masks.allocation import allocate
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.study.rules.combinations import combination_problems
from sparsetune.tasks.models import MODELS
from sparsetune.tasks.network import ImageNetwork, Outline, outline_of
from sparsetune.terminal import TextConsole

DATA_BY_MODEL = {"mlp": ((1, 8, 8), 10), "lenet_300_100": ((1, 28, 28), 10)}
"""Shape of an example and number of classes of the data that a model is known for."""
CIFAR10_DATA = ((3, 32, 32), 10)
"""Shape and classes for all other models of `MODELS`."""
IMAGENET_DATA = ((3, 224, 224), 1000)
"""Shape and classes for the models of torchvision."""
MISSING_TEXT = "–"  # noqa: RUF001


def layer_table(
    model: str,
    sparsity: SparsitySpec,
    input_shape: tuple[int, ...] | None = None,
    n_classes: int | None = None,
) -> dict[str, Any]:
    """Facts about every prunable layer and their totals, as plain JSON values.

    Args:
        model: Name of a model, as in a task.
        sparsity: The request; of its method only the defaults count.
        input_shape: Shape of one example; by default that of the data that the model is known for.
        n_classes: Number of classes, with the same default.

    Returns:
        ``model input_shape classes allocation pattern sparsity``; ``inference_flops``, a fraction
        of dense; ``layers``, each with ``name shape weights pruned sparsity flops sparse_flops``;
        and the totals ``prunable pruned prunable_sparsity parameters parameter_sparsity flops
        sparse_flops other_flops``; and ``account``, every parameter of two or more dimensions with
        ``name shape status reason``. FLOPs are those of one example's forward pass; ``other_flops``
        are in both totals, and stay dense. Values that depend on the weights themselves are None.

    Raises:
        DeclarationError: naming what is wrong with the model or the request.
    """
    spec = sparsity.checked().resolved()
    _raise_problems(combination_problems(spec), "the sparsity")
    shape, classes = _example_shape(model, input_shape, n_classes)
    outline = _examine(ImageNetwork(model, shape, classes))
    account = outline.account(spec)
    _raise_problems(account.problems, f"the sparsity of `{model}`")
    layers = account.layers
    flops = prunable_flops(outline.trace, [layer.name for layer in layers])
    faults = [each for each in layer_problems(layers, spec) if each.severity != "warning"]
    _raise_problems(faults, f"the sparsity of `{model}`")
    pruned = _pruned_counts(layers, spec)
    rows = [
        _layer_row(layer, pruned.get(layer.name), flops.weights[layer.name]) for layer in layers
    ]
    return {
        "model": model,
        "input_shape": list(shape),
        "classes": classes,
        "allocation": spec.allocation,
        "pattern": spec.pattern,
        "sparsity": spec.target,
        **_totals(account, spec),
        **_cost_fractions(flops, rows),
        "layers": rows,
        "account": account.facts(),
    }


def _pruned_counts(layers: Sequence[Layer], spec: SparsitySpec) -> dict[str, int]:
    """Number of pruned weights by layer, for layers where it is known before there are weights."""
    groups = allocate(layers, spec.target, spec)
    if spec.pattern == "unstructured":
        return {group.names[0]: group.pruned for group in groups if len(group.names) == 1}
    # Under N:M every group of M loses the same, even where layers share a group.
    pruned = dict.fromkeys([layer.name for layer in layers], 0)
    sparse = {name for group in groups if group.pruned for name in group.names}
    for layer in layers:
        if layer.name in sparse:
            pruned[layer.name] = round(spec.target * layer.weights)
    return pruned


def _totals(account: Account, spec: SparsitySpec) -> dict[str, Any]:
    pruned = sum(group.pruned for group in allocate(account.layers, spec.target, spec))
    prunable = sum(layer.weights for layer in account.layers)
    return {
        "prunable": prunable,
        "pruned": pruned,
        "prunable_sparsity": pruned / prunable,
        "parameters": account.parameters,
        "parameter_sparsity": pruned / account.parameters,
    }


def _cost_fractions(flops: ForwardFlops, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    fraction = None
    if all(row["sparsity"] is not None for row in rows):
        fraction = flops.fraction({row["name"]: 1 - row["sparsity"] for row in rows})
    return {
        "inference_flops": fraction,
        "flops": flops.total,
        "sparse_flops": None if fraction is None else round(fraction * flops.total),
        "other_flops": flops.other,
    }


def _layer_row(layer: Layer, pruned: int | None, flops: int) -> dict[str, Any]:
    sparsity = None
    sparse_flops = None
    if pruned is not None:
        sparsity = pruned / layer.weights
        sparse_flops = round(flops * (layer.weights - pruned) / layer.weights)
    return {
        "name": layer.name,
        "shape": list(layer.shape),
        "weights": layer.weights,
        "pruned": pruned,
        "sparsity": sparsity,
        "flops": flops,
        "sparse_flops": sparse_flops,
    }


def _raise_problems(problems: list[Problem], subject: str) -> None:
    if problems:
        raise DeclarationError(problems, subject)


def _example_shape(
    model: str, input_shape: tuple[int, ...] | None, n_classes: int | None
) -> tuple[tuple[int, ...], int]:
    """Shape of an example and number of classes: those given, or of the model's usual data.

    Raises:
        DeclarationError: if one is missing for a user's own function.
    """
    if ":" in model and None in (input_shape, n_classes):
        options = "--input-shape and --classes"
        rule = f"of your own function's network, give the input's shape and the classes: {options}"
        raise DeclarationError([Problem("task.model", rule, repr(model))], "the model")
    shape, classes = DATA_BY_MODEL.get(model, CIFAR10_DATA) if model in MODELS else IMAGENET_DATA
    return input_shape or shape, n_classes or classes


def _examine(network: ImageNetwork) -> Outline:
    try:
        return outline_of(network)
    except DeclarationError:
        raise
    except Exception as error:  # a network may raise anything
        cause = f"{type(error).__name__}: {error}"
        rule = f"must take inputs of shape {network.input_shape} ({cause})"
        problem = Problem("task.model", rule, repr(network.name))
        raise DeclarationError([problem], "the model") from error


def print_layer_table(facts: Mapping[str, Any]) -> None:
    """Print the facts of `layer_table` as a table."""
    console = TextConsole()
    pattern = "" if facts["pattern"] == "unstructured" else f" {facts['pattern']}"
    request = f"{facts['allocation']}{pattern}, sparsity {facts['sparsity']:g}"
    inputs = f"inputs {_format_shape(facts['input_shape'])}, {facts['classes']} classes"
    console.print(f"[bold]{escape(facts['model'])}[/]: {request}; {inputs}")
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("layer", overflow="fold")
    for column in ("shape", "weights", "sparsity", "FLOPs", "sparse"):
        table.add_column(column, justify="right", no_wrap=True)
    for layer in facts["layers"]:
        table.add_row(
            escape(layer["name"].removesuffix(".weight")),
            _format_shape(layer["shape"]),
            f"{layer['weights']:,}",
            _format_sparsity(layer),
            _format_flops(layer["flops"]),
            _format_flops(layer["sparse_flops"]),
        )
    if facts["other_flops"]:
        other = _format_flops(facts["other_flops"])
        table.add_row("not prunable", "", "", "", other, other)
    console.print(table)
    for line in _dense_lines(facts):
        console.print(escape(line), soft_wrap=True)
    console.print(_totals_text(facts))


def _dense_lines(facts: Mapping[str, Any]) -> list[str]:
    """What stays dense, a line for each reason."""
    names: dict[str, list[str]] = {}
    for row in facts["account"]:
        if row["status"] != "pruned":
            names.setdefault(row["reason"], []).append(row["name"])
    return [f"dense, {reason}: {', '.join(names[reason])}" for reason in names]


def _totals_text(facts: Mapping[str, Any]) -> str:
    pruned = f"{facts['pruned']:,} pruned: sparsity {facts['prunable_sparsity']:.4f}"
    parameters = f"{facts['parameters']:,} parameters: sparsity {facts['parameter_sparsity']:.4f}"
    dense = _format_flops(facts["flops"])
    sparse = _format_flops(facts["sparse_flops"])
    text = (
        f"\nprunable   {facts['prunable']:,} weights, {pruned}"
        f"\nall        {parameters}"
        f"\ninference  {dense}FLOPs an example, sparse {sparse}"
    )
    if facts["inference_flops"] is not None:
        return f"{text}: {facts['inference_flops']:.4f} of dense"
    reason = "under `global` a layer's sparsity depends on the weights themselves"
    return f"{text}\n{MISSING_TEXT}: {reason}"


def _format_sparsity(layer: Mapping[str, Any]) -> str:
    if layer["sparsity"] is None:
        return MISSING_TEXT
    return f"{layer['sparsity']:.4f}" if layer["pruned"] else "dense"


def _format_shape(shape: Sequence[int]) -> str:
    return "x".join(str(size) for size in shape)


def _format_flops(flops: int | None) -> str:
    """FLOPs with one decimal in the largest unit that they reach, followed by its prefix."""
    if flops is None:
        return MISSING_TEXT
    for prefix, unit in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if flops >= unit:
            return f"{flops / unit:.1f} {prefix}"
    return f"{flops:.1f} "
