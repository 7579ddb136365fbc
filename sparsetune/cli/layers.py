"""``sparsetune layers``: show what a sparsity means for the layers of a model."""

from __future__ import annotations

import argparse
from pathlib import Path

from sparsetune.cli.arguments import (
    Commands,
    add_parser,
    add_search_path,
    parse_amount,
    parse_size,
    print_json,
)


def add_command(commands: Commands) -> None:
    """Add the command with its arguments."""
    summary = "show what a sparsity means for a model's layers; train nothing"
    examples = (
        "layers --model resnet50 --sparsity 0.95",
        "layers --model mylab.nets:build --sparsity 0.9 --input-shape 3x32x32 --classes 10",
    )
    parser = add_parser(commands, "layers", show_layers, summary, examples)
    add = parser.add_argument
    add("--model", required=True, help="mlp, resnet50, … or your own package.module:function")
    add("--sparsity", required=True, type=parse_amount, metavar="S", help="in [0, 1)")
    add(
        "--allocation",
        metavar="NAME",
        help="global (default), uniform, erk, er or explicit",
    )
    add("--pattern", default="unstructured", metavar="N:M", help="such as 2:4")
    add(
        "--spare",
        action="append",
        metavar="PATTERN",
        help="layers that stay dense; '' for none",
    )
    add(
        "--layer",
        action="append",
        default=[],
        type=_parse_layer_entry,
        metavar="PATTERN",
        help="a layer of another kind to prune; -PATTERN: one to leave dense (write --layer=-…);"
        " PATTERN=S, explicit: a layer's sparsity",
    )
    add(
        "--input-shape",
        type=_parse_shape,
        metavar="3x224x224",
        help="default: that of the model's data",
    )
    add("--classes", type=parse_size, metavar="N", help="default: that of the model's data")
    add_search_path(parser)


def _parse_shape(text: str) -> tuple[int, ...]:
    return tuple(parse_size(part) for part in text.split("x"))


def _parse_layer_entry(text: str) -> str | tuple[str, float]:
    pattern, separator, sparsity = text.rpartition("=")
    return (pattern, parse_amount(sparsity)) if separator else text


def show_layers(parsed: argparse.Namespace) -> int:
    """Print the table of layers."""
    from sparsetune.costs.layer_table import layer_table, print_layer_table
    from sparsetune.import_path import append_to_path
    from sparsetune.spec.sparsity import SparsitySpec

    # A user's own model may lie there.
    append_to_path([*map(Path.resolve, parsed.path), Path.cwd()])
    spared = None
    if parsed.spare is not None:
        spared = [pattern for pattern in parsed.spare if pattern]
    sparsity = SparsitySpec(
        method="one_shot",
        target=parsed.sparsity,
        allocation=parsed.allocation,
        pattern=parsed.pattern,
        spared=spared,
        layers=parsed.layer,
    )
    facts = layer_table(parsed.model, sparsity, parsed.input_shape, parsed.classes)
    if parsed.json:
        print_json(facts)
    else:
        print_layer_table(facts)
    return 0
