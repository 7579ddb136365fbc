"""What a sparsity means for a model, before any run: the sparsity and cost of every prunable layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import nn

from sparsetune.errors import DeclarationError, Problem
from sparsetune.sparsity.combinations import combination_problems, layer_problems
from sparsetune.sparsity.flops import ForwardFlops, forward_flops
from sparsetune.sparsity.layers import Layer, layers_of
from sparsetune.sparsity.masks.allocation import allocate
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.tasks.models import MODELS, meta_model, require_prunable

DATA_BY_MODEL = {"mlp": ((1, 8, 8), 10), "lenet_300_100": ((1, 28, 28), 10)}
"""Shape of an example and number of classes of the data that a model is known for."""
CIFAR10_DATA = ((3, 32, 32), 10)
"""The same of all other models of ours."""
IMAGENET_DATA = ((3, 224, 224), 1000)
"""The same of all models of torchvision."""
MISSING_TEXT = "–"  # noqa: RUF001


def layer_table(
    model: str,
    sparsity: SparsitySpec,
    input_shape: tuple[int, ...] | None = None,
    n_classes: int | None = None,
) -> dict[str, Any]:
    """Every prunable layer and the totals, as plain JSON values; None where it depends on the weights themselves.

    Args:
        model: A name, as in a task.
        sparsity: The request; of its method only the defaults count.
        input_shape: Of one example; by default that of the data that the model is known for.
        n_classes: The same.

    Returns:
        ``model input_shape classes allocation pattern sparsity``; ``inference_flops``, a fraction of dense;
        ``layers``, each with ``name shape weights pruned sparsity flops sparse_flops``; and in all ``prunable
        pruned prunable_sparsity parameters parameter_sparsity flops sparse_flops other_flops``. FLOPs are those of one
        example's forward pass; ``other_flops`` are in both totals, and stay dense.

    Raises:
        DeclarationError: naming what is wrong with the model or the request.
    """
    spec = sparsity.checked().resolved()
    _raise_problems(combination_problems(spec), "the sparsity")
    shape, classes = _example_shape(model, input_shape, n_classes)
    network = meta_model(model, shape, classes)
    layers = layers_of(require_prunable(model, network))
    flops = _count_flops(model, network, shape)
    _raise_problems(layer_problems(layers, spec), f"the sparsity of `{model}`")
    pruned = _pruned_counts(layers, spec)
    rows = [
        _layer_row(layer, pruned.get(layer.name), flops.weights[layer.name]) for layer in layers
    ]
    request = {"allocation": spec.allocation, "pattern": spec.pattern, "sparsity": spec.target}
    names = {"model": model, "input_shape": list(shape), "classes": classes}
    return {
        **names,
        **request,
        **_totals(network, layers, spec),
        **_cost_fractions(flops, rows),
        "layers": rows,
    }


def _pruned_counts(layers: Sequence[Layer], spec: SparsitySpec) -> dict[str, int]:
    """How many weights each layer loses, of those where it is known before there are weights."""
    groups = allocate(layers, spec.target, spec)
    if spec.pattern != "unstructured":  # all groups of M lose the same, wherever else they compete
        sparse = {name for group in groups if group.pruned for name in group.names}
        return {
            layer.name: round(spec.target * layer.weights) if layer.name in sparse else 0
            for layer in layers
        }
    return {group.names[0]: group.pruned for group in groups if len(group.names) == 1}


def _totals(network: nn.Module, layers: Sequence[Layer], spec: SparsitySpec) -> dict[str, Any]:
    pruned = sum(group.pruned for group in allocate(layers, spec.target, spec))
    prunable = sum(layer.weights for layer in layers)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {
        "prunable": prunable,
        "pruned": pruned,
        "prunable_sparsity": pruned / prunable,
        "parameters": parameters,
        "parameter_sparsity": pruned / parameters,
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
    return {
        "name": layer.name,
        "shape": list(layer.shape),
        "weights": layer.weights,
        "pruned": pruned,
        "sparsity": None if pruned is None else pruned / layer.weights,
        "flops": flops,
        "sparse_flops": None
        if pruned is None
        else round(flops * (layer.weights - pruned) / layer.weights),
    }


def _raise_problems(problems: list[Problem], subject: str) -> None:
    if problems:
        raise DeclarationError(problems, subject)


def _example_shape(
    model: str, input_shape: tuple[int, ...] | None, n_classes: int | None
) -> tuple[tuple[int, ...], int]:
    if ":" in model and None in (input_shape, n_classes):
        rule = "of your own function's network, give the input's shape and the classes: --input-shape and --classes"
        raise DeclarationError([Problem("task.model", rule, repr(model))], "the model")
    shape, classes = DATA_BY_MODEL.get(model, CIFAR10_DATA) if model in MODELS else IMAGENET_DATA
    return input_shape or shape, n_classes or classes


def _count_flops(model: str, network: nn.Module, shape: tuple[int, ...]) -> ForwardFlops:
    try:
        return forward_flops(network, shape)
    except Exception as error:  # a network may raise anything
        rule = f"must take inputs of shape {shape} ({type(error).__name__}: {error})"
        raise DeclarationError([Problem("task.model", rule, repr(model))], "the model") from error


def print_layer_table(facts: Mapping[str, Any]) -> None:
    """Print the table for a person."""
    console = Console(highlight=False)
    pattern = "" if facts["pattern"] == "unstructured" else f" {facts['pattern']}"
    request = f"{facts['allocation']}{pattern}, sparsity {facts['sparsity']:g}"
    inputs = f"inputs {_format_shape(facts['input_shape'])}, {facts['classes']} classes"
    console.print(f"[bold]{escape(facts['model'])}[/]: {request}; {inputs}")
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("layer", overflow="fold")
    for column in ("shape", "weights", "sparsity", "FLOPs", "sparse"):
        table.add_column(column, justify="right", no_wrap=True)
    for layer in facts["layers"]:
        sparsity = (
            MISSING_TEXT
            if layer["sparsity"] is None
            else f"{layer['sparsity']:.4f}"
            if layer["pruned"]
            else "dense"
        )
        costs = (_format_flops(layer["flops"]), _format_flops(layer["sparse_flops"]))
        name = escape(layer["name"].removesuffix(".weight"))
        table.add_row(
            name, _format_shape(layer["shape"]), f"{layer['weights']:,}", sparsity, *costs
        )
    if facts["other_flops"]:
        table.add_row("not prunable", "", "", "", *[_format_flops(facts["other_flops"])] * 2)
    console.print(table)
    console.print(_totals_text(facts))


def _totals_text(facts: Mapping[str, Any]) -> str:
    pruned = f"{facts['pruned']:,} pruned: sparsity {facts['prunable_sparsity']:.4f}"
    lines = [
        "",
        f"prunable   {facts['prunable']:,} weights, {pruned}",
        f"all        {facts['parameters']:,} parameters: sparsity {facts['parameter_sparsity']:.4f}",
        f"inference  {_format_flops(facts['flops'])}FLOPs an example, sparse {_format_flops(facts['sparse_flops'])}",
    ]
    if facts["inference_flops"] is None:
        return "\n".join(
            [
                *lines,
                f"{MISSING_TEXT}: under `global` a layer's sparsity depends on the weights themselves",
            ]
        )
    return "\n".join(lines) + f": {facts['inference_flops']:.4f} of dense"


def _format_shape(shape: Sequence[int]) -> str:
    return "x".join(str(size) for size in shape)


def _format_flops(flops: int | None) -> str:
    """FLOPs with one decimal, in the largest unit that they reach, followed by its prefix."""
    if flops is None:
        return MISSING_TEXT
    prefix, unit = next(
        (pair for pair in (("G", 1e9), ("M", 1e6), ("k", 1e3)) if flops >= pair[1]), ("", 1.0)
    )
    return f"{flops / unit:.1f} {prefix}"
