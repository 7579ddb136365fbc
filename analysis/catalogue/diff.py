"""Sentences of ``sparsetune diff``, which compares two studies."""

from __future__ import annotations

from .template import Template

DIFF_SENTENCES = {
    "diff_unlike": Template(
        "the studies learned other things", "The two studies are not comparable."
    ),
    "diff_unlike_field": Template(
        "the studies learned other things: one reason",
        "`{field}` is {before} in the first, {after} in the second.",
    ),
    "diff_nothing": Template(
        "no network was reported in both studies",
        "No network has report runs that finished in both studies, so there is nothing to compare.",
    ),
    "diff_paired": Template(
        "all differences are paired",
        "Differences are after minus before, of means over seeds, paired by seed.",
    ),
    "diff_welch": Template(
        "no difference is paired",
        "Differences are after minus before, of means over seeds that the studies do not share"
        " (Welch).",
    ),
    "diff_some_paired": Template(
        "some differences are paired",
        "Differences are after minus before, of means over seeds: paired in {paired}, Welch's in"
        " the others.",
    ),
    "diff_intervals": Template(
        "differences are shown",
        "Intervals of {level} % are over seeds, each for its own difference alone.",
    ),
    "diff_chance": Template(
        "differences are shown: what chance does",
        "If nothing had changed, about one in {one_in} of {networks} would show a change.",
    ),
}
