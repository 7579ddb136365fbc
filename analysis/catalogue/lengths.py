"""Sentences on the length of training."""

from __future__ import annotations

from .template import Template

LENGTH_SENTENCES = {
    "verdicts_no_margin": Template(
        "the study swept lengths, and its score has no usual size",
        "Not shown is whether training was long enough: nothing says how large a gain in {measure}"
        " matters.",
    ),
    "verdicts_give_margin": Template(
        "the same: what to do",
        "Give `epsilon` to `analysis.undertraining` or `analysis.epochs_needed`.",
    ),
    "verdicts_none": Template(
        "no cell has a longer one with an interval",
        "No cell can be judged: that takes two lengths of training and two report seeds that"
        " differ.",
    ),
    "verdicts_under": Template(
        "verdicts on lengths are drawn: the letter U",
        "U, under-trained: the next longer training improves {measure} by more than {margin} and"
        " lowers the training loss.",
    ),
    "verdicts_over": Template(
        "verdicts on lengths are drawn: the letters O and E",
        "O, over-trained: it makes {measure} worse; E, enough: it gains at most {margin}.",
    ),
    "verdicts_open": Template(
        "verdicts on lengths are drawn: the question mark",
        "Not settled (?): several of these are possible, or nothing longer was run.",
    ),
    "verdicts_on_test": Template(
        "verdicts on lengths are drawn for a table without validation",
        "Judged on the test set, for want of validation: do not choose a length by it.",
    ),
    "verdicts_no_loss": Template(
        "verdicts on lengths are drawn, and no training loss was measured",
        "Under-training is not judged: no training loss was measured.",
    ),
    "verdicts_gain": Template(
        "verdicts on lengths are drawn: the numbers",
        "Below each letter the {gain}, paired by seed ({n}).",
    ),
    "verdicts_together": Template(
        "verdicts on lengths are drawn: how sure they are, {wrong} in percent",
        "Any of the {count} verdicts is wrong in at most {wrong} % of repetitions.",
    ),
    "needed": Template(
        "the shortest sufficient lengths are drawn",
        "Marks are the shortest training within {margin} of the best {measure}, among the lengths"
        " that were run ({n}).",
    ),
    "needed_bars": Template(
        "the shortest sufficient lengths are drawn: what bars are",
        "Bars are the lengths that may be the shortest sufficient one, by {level} % intervals over"
        " seeds.",
    ),
    "needed_hollow": Template(
        "no length of some arm and sparsity is shown to be enough",
        "Hollow marks are not settled: no length is shown to be enough.",
    ),
    "needed_bare": Template(
        "some arm and sparsity has no interval", "Marks without a bar have no interval."
    ),
    "needed_open": Template(
        "lengths beyond the longest may still be needed",
        "Triangles: training longer than all of these may still gain.",
    ),
    "gain_marks": Template(
        "gains beyond dense are drawn",
        "Shown is the gain in {measure} from {epochs} epochs on, minus the gain of the dense"
        " network, seed by seed ({n}).",
    ),
    "gain_start": Template(
        "gains beyond dense are drawn: where they start",
        "Gains start at the shortest length at which the dense network is within {tolerance} of its"
        " best.",
    ),
    "gain_bars": Template(
        "gains beyond dense are drawn: what bars are",
        "Bars are 95 % t intervals over seeds, each for its own gain alone.",
    ),
    "gain_selected": Template(
        "gains beyond dense are drawn: how they are flattered, in points",
        "The same dense runs choose the start, which may make gains 0.1 to 0.3 points too large"
        " with three seeds.",
    ),
    "gain_selected_spread": Template(
        "the same for a score that is no fraction",
        "The same dense runs choose the start, which may make gains too large by up to the spread"
        " over seeds.",
    ),
}
