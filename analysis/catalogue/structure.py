"""Sentences on the structure of sparse networks."""

from __future__ import annotations

from .template import Template

STRUCTURE_SENTENCES = {
    "account": Template(
        "what is pruned is listed",
        "Means are over the seeds of each network, from the record of its final mask.",
    ),
    "account_targets": Template(
        "what is pruned is listed: what a target is a fraction of",
        "A target is a fraction of the prunable weights.",
    ),
    "account_left": Template(
        "what is pruned is listed: what is left dense",
        "Every parameter of two or more dimensions is pruned, or left dense for the reason given.",
    ),
    "density_none": Template(
        "no record says how dense the layers are", "No record says how dense the layers are."
    ),
    "density_marks": Template(
        "density by layer is drawn",
        "Density of each prunable layer, input first, as means over {n}.",
    ),
    "density_bars": Template(
        "density by layer is drawn: what bars are",
        "Bars are {level} % t intervals over seeds, each for its own mean alone.",
    ),
    "density_dotted": Template(
        "density by layer is drawn: the whole network",
        "Dotted: the density of the whole network.",
    ),
    "structure_lengths": Template(
        "a figure of structure leaves lengths out",
        "Only the shortest and the longest training are drawn.",
    ),
    "density_dead": Template(
        "some layer has no weight left: one of them", "No weight is left (crosses): {where}."
    ),
    "masks_none": Template(
        "no run left a record of its masks", "No sparse network left a record of its masks."
    ),
    "masks_lines": Template(
        "masks over training are drawn", "There is a line for each run ({n} each)."
    ),
    "masks_overlap": Template(
        "masks over training are drawn: what overlap is",
        "It shows the overlap of each mask with the one before it, as intersection over union.",
    ),
    "masks_ramp": Template(
        "masks over training are drawn: overlap on a ramp",
        "On a ramp the later mask is smaller, so that even nested masks overlap less than 1.",
    ),
    "masks_nested": Template(
        "every mask held the whole final one",
        "Every mask held the whole final one: no weight came back to stay.",
    ),
    "masks_final": Template(
        "some mask did not hold the whole final one",
        "The other panel shows which share of the final mask's weights was active, where the mask"
        " was kept.",
    ),
    "active": Template(
        "weights that were ever active are listed",
        "Ever active: share of the prunable weights that were in a mask at some time.",
    ),
    "active_intervals": Template(
        "weights that were ever active are listed: the intervals",
        "Intervals are 95 % t intervals over seeds, each for its own mean alone.",
    ),
    "active_masks": Template(
        "weights that were ever active are listed: the masks",
        "The last columns count the masks of a run, and give the overlap of two in a row at the"
        " target.",
    ),
    "active_no_masks": Template(
        "weights that were ever active are listed, and no final mask was kept",
        "No final mask was kept, so overlaps between seeds or recipes cannot be given.",
    ),
    "overlap": Template(
        "overlaps of final masks are drawn",
        "Fields are overlaps of final masks in percent, as intersection over union.",
    ),
    "overlap_halves": Template(
        "overlaps of final masks are drawn: the two halves",
        "On and below the diagonal two seeds are compared, above it two recipes with one seed and"
        " the same initial weights.",
    ),
    "overlap_same_start": Template(
        "networks of two seeds start from the same weights",
        "All start from one pre-trained network, two seeds too.",
    ),
    "overlap_chance": Template(
        "overlaps of final masks are drawn: random masks",
        "In brackets: what random masks of the same density in every layer give.",
    ),
    "overlap_table": Template(
        "overlaps of final masks are drawn: where intervals are",
        "The table has {level} % intervals over seeds, each for its own number alone.",
    ),
    "overlap_missing": Template(
        "some runs left no final mask", "{runs} left no final mask and are not in it."
    ),
    "overlap_layers": Template(
        "overlaps of final masks are drawn by layer",
        "Overlap of the final masks of two seeds of a recipe, layer by layer, as intersection over"
        " union.",
    ),
    "overlap_layers_bars": Template(
        "overlaps of final masks are drawn by layer: what bars are",
        "Bars are 95 % t intervals over seeds, by the jackknife, each for its own layer alone.",
    ),
    "overlap_layers_dotted": Template(
        "overlaps of final masks are drawn by layer: random masks",
        "Dotted: random masks of the same density.",
    ),
}
