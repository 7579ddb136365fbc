"""Sentences on published results."""

from __future__ import annotations

from .template import Template

REFERENCE_SENTENCES = {
    "paper_source": Template(
        "the published figure is drawn",
        "Numbers were read off the figure of arXiv 2308.02060, with an error of about 0.03 points;"
        " the method is inferred.",
    ),
    "paper_lines": Template(
        "the published figure is drawn: its lines",
        "Top-1 accuracy over training epochs, a line for each sparsity.",
    ),
    "paper_large": Template(
        "the published figure is drawn: its large marks",
        "Large marks are the best length of each line, at its right end where the line still"
        " rises.",
    ),
    "paper_no_intervals": Template(
        "the published figure is drawn: no intervals",
        "The number of seeds is not known, so there are no intervals.",
    ),
    "published_length": Template(
        "published lengths are drawn",
        "Published networks were trained for longer with their schedule stretched, each by its"
        " source's own recipe.",
    ),
    "published_lines": Template(
        "published lengths are drawn: what may be compared",
        "Only points of one line may be compared.",
    ),
    "published_length_bars": Template(
        "published lengths are drawn: what bars are",
        "Bars are the standard deviation over 3 seeds, where it was published; other points are"
        " single runs.",
    ),
    "published_stretch": Template(
        "published stretches are drawn",
        "Networks were trained from scratch under a fixed mask for one or two times the steps (Gale"
        " and others, 2019).",
    ),
    "published_stretch_gain": Template(
        "published stretches are drawn: the gain",
        "Shown is the top-1 accuracy gained over one time the steps, as means of 9 seeds.",
    ),
    "published_stretch_bars": Template(
        "published stretches are drawn: what bars are",
        "Bars are two standard errors of the difference.",
    ),
    "overlay_marks": Template(
        "published points lie over a curve", "Hollow marks are published results."
    ),
    "overlay_stars": Template(
        "some published points are the best of a sweep",
        "Stars are the best of a sweep, so optimistic.",
    ),
    "overlay_diamonds": Template(
        "some published points were read off a figure",
        "Diamonds were read off a figure, with an error of about 0.03 points.",
    ),
    "overlay_sources": Template(
        "published points lie over a curve: sources", "Sources: {sources}."
    ),
    "overlay_dense": Template(
        "published points have different dense networks",
        "Published points start from different dense networks ({each}): compare each with its own.",
    ),
    "overlay_dense_unknown": Template(
        "the dense network of some published points is not known",
        "The dense baseline of {methods} is not known.",
    ),
    "overlay_no_dense": Template(
        "the curve below published points has no dense network",
        "The curve shows no dense network, so the baselines cannot be compared.",
    ),
    "overlay_other_dense": Template(
        "the study's dense networks are not those of the published points",
        "The study's own dense networks reach {mean} ({numbers}), published ones {theirs}: other"
        " starting points.",
    ),
}
