"""Sentences on means and their intervals, which the captions of many figures share."""

from __future__ import annotations

from .template import Template

ESTIMATE_SENTENCES = {
    "means_none": Template("no run behind a figure has finished", "No run has finished."),
    "means": Template("a figure shows means", "Marks are means over {n}."),
    "means_pooled": Template(
        "all means are over several configurations, of which none was chosen",
        "Marks are means over {n}, which are no repetitions: they have no interval.",
    ),
    "means_some_pooled": Template(
        "some means are over several configurations, of which none was chosen",
        "Some marks are means over {n}, which are no repetitions: they have no interval.",
    ),
    "bars_spread": Template(
        "means over several configurations: what is drawn at them",
        "Dotted bars there are a spread of configurations, from the lowest mean of one to the"
        " highest.",
    ),
    "differences_unpaired": Template(
        "differences of means that a table gives",
        "Means that a table gives are compared unpaired: differences have Welch's t interval.",
    ),
    "bars_t": Template(
        "all intervals of means are t intervals",
        "Bars are {level} % t intervals over seeds, each for its own mean alone.",
    ),
    "bars_bootstrap": Template(
        "all intervals of means are bootstrapped",
        "Bars are {level} % bootstrap intervals over seeds, each for its own mean alone.",
    ),
    "bars_both": Template(
        "some intervals of means are t intervals, others bootstrapped",
        "Bars are {level} % intervals over seeds, each for its own mean alone: t up to {last}"
        " seeds, bootstrap from {first} on.",
    ),
    "bars_pooled": Template(
        "spreads are pooled over several networks",
        "Networks of one {like} are taken to have one spread over seeds ({df} degrees of freedom).",
    ),
    "bars_pooled_study": Template(
        "spreads are pooled over the whole study",
        "All networks are taken to have one spread over seeds ({df} degrees of freedom).",
    ),
    "bars_not_of_equal": Template(
        "some means are over equal values, others are not",
        "Seeds that are all equal give no interval.",
    ),
    "no_bars_equal": Template(
        "no mean has an interval, since seeds are equal",
        "All seeds are equal, which proves nothing, so there is no interval.",
    ),
    "no_bars_single": Template(
        "no mean has an interval, since each is over one run",
        "There is one run each, so there is no interval.",
    ),
    "diverged_without_mean": Template(
        "a run of some network diverged", "Networks of which a run diverged have no mean."
    ),
}
