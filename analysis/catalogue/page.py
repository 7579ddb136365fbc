"""Sentences that the page itself writes under More, around figures and tables."""

from __future__ import annotations

from .template import Template

PAGE_SENTENCES = {
    # What cannot be shown
    "not_shown": Template("an analysis lacks what it needs", "Not shown: {reason}."),
    "not_shown_fault": Template(
        "an analysis or a figure failed",
        "Not shown for a fault of sparsetune, please report it: {subject} ({error}).",
    ),
    # The main table
    "summary_intervals": Template(
        "the main table is shown",
        "Intervals of 95 % are over seeds, each for its own number alone.",
    ),
    "summary_best_length": Template(
        "the main table chose among lengths",
        "The length of a row is the best by {objective}, never by the test set.",
    ),
    "summary_every_length": Template(
        "the main table has several lengths, and nothing was selected",
        "Nothing was selected, so there is a row for every length.",
    ),
    "summary_equal_flops": Template(
        "the study equals training FLOPs",
        "The study equals training FLOPs: a sparse network trains longer than its dense twin, which"
        " has its recipe and seed.",
    ),
    "summary_equal_lengths": Template(
        "the study equals training FLOPs: what lengths are",
        "Lengths are those of the dense twin, in epochs.",
    ),
    "summary_twins": Template(
        "the study equals epochs", "Twins have the same recipe, seed and epochs."
    ),
    "summary_flops": Template(
        "the main table is shown: what FLOPs are",
        "Training FLOPs are in percent of one dense training of the same length, inference FLOPs"
        " of the dense network's.",
    ),
    "summary_mask_flops": Template(
        "the main table has FLOPs of mask choice",
        "Mask choice counts the passes for saliency, Fisher or growth, which training leaves out.",
    ),
    "summary_active": Template(
        "the main table has weights that were ever active",
        "Ever active are prunable weights that were in a mask at some time, or at some evaluation"
        " where it changes at every step.",
    ),
    "summary_gains": Template(
        "the main table has gains",
        "Gains start at the shortest length at which the dense network is within {tolerance} of its"
        " best.",
    ),
    "summary_gains_below": Template(
        "the main table has gains: shorter lengths",
        "Below that length the dense network is under-trained too.",
    ),
    # Checks and networks
    "task_lacks": Template(
        "a task has no accuracy or no entropy",
        "This task has no {absent}, so nothing shows {them}.",
    ),
    "cells_searched": Template(
        "each network was searched",
        "Each network has a search of its own; the values are its winner's, chosen by {objective}"
        " at the last step.",
    ),
    "cells_search_seeds": Template(
        "each network was searched, on several seeds",
        "A configuration is judged by its mean over {seeds} search seeds.",
    ),
    "cells_not_searched": Template(
        "nothing was searched", "Nothing was searched: each network is one configuration."
    ),
    "cells_not_best": Template(
        "nothing was searched: what follows",
        "An arm that wants another recipe is not shown at its best.",
    ),
    "cells_counted": Template(
        "prunable weights are known",
        "The sparsity of `{model}` is a fraction of {prunable} prunable weights, of {parameters}"
        " parameters.",
    ),
    "memory_gpu": Template(
        "peak memory is listed: on a GPU",
        "On a GPU it is what torch reserved; the suggestion adds a fifth, and half a GiB for CUDA.",
    ),
    "memory_cpu": Template(
        "peak memory is listed: on a CPU",
        "On a CPU it is the resident memory of the worker's process with its libraries; the"
        " suggestion adds a fifth.",
    ),
    # Provenance
    "origin_manuscript": Template(
        "the page is written",
        "For a manuscript, `tables/` has {tables} as Markdown and LaTeX.",
    ),
    "origin_read": Template("the results were read by a line of Python", "Read with `{code}`."),
    "origin_table": Template(
        "the results are a table of runs", "Read from a table of runs: {name}, {runs}."
    ),
    "origin_made": Template("the page is written: when", "Report made {time} with `{command}`."),
    "origin_open": Template(
        "some runs are open", "The status of {runs} proposed so far: {counts}."
    ),
}
