"""Sentences on curves: against sparsity, length and cost, arms side by side, during training."""

from __future__ import annotations

from .template import Template

CURVE_SENTENCES = {
    "curve_gap_means": Template(
        "a curve is of gaps between means that a table gives",
        "Shown is each network's mean minus that of the dense network with its recipe.",
    ),
    "curve_gap_twin": Template(
        "a curve is of gaps to the dense twin",
        "Shown is each network minus its dense twin, seed by seed.",
    ),
    "curve_gap_control": Template(
        "a curve is of gaps to the dense recipe",
        "Shown is each re-tuned network minus the same network with the dense recipe, seed by"
        " seed.",
    ),
    "curve_unsettled": Template(
        "a few points may not differ from the baseline: one of them",
        "It is not settled whether {point} differs from {baseline}.",
    ),
    "curve_unsettled_count": Template(
        "many points may not differ from the baseline",
        "It is not settled whether {count} of {compared} points differ from {baseline}.",
    ),
    "curve_unsettled_seeds": Template(
        "only very many seeds would settle the closest of these points",
        "Settling the closest of these would take more than {most} seeds.",
    ),
    "comparison_marks": Template(
        "arms are compared side by side",
        "Arms are listed in the order in which their lines end, and marks of one sparsity stand a"
        " little apart.",
    ),
    "comparison_flops": Template(
        "arms are compared side by side: what their cost is",
        "Training FLOPs count all passes, relative to one dense training of {epochs} epochs.",
    ),
    "history_lines": Template(
        "losses over training are drawn", "There is a line for each seed of each network."
    ),
    "history_first_seed": Template(
        "the sparsity over training is drawn", "There is a line for the first seed of each network."
    ),
    "history_lengths": Template(
        "more than three lengths were trained",
        "Of more than three training lengths the shortest, middle and longest are drawn.",
    ),
}
