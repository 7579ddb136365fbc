"""Sentences on recipes: the best values, what matters, and what re-tuning gained."""

from __future__ import annotations

from .template import Template

RECIPE_SENTENCES = {
    # Best values
    "optimum_none": Template(
        "no search has enough configurations for an optimum",
        "Too few configurations: a best value needs {least} in a finished search.",
    ),
    "optimum_marks": Template(
        "best values are drawn",
        "Marks and bars show where {measure} is best on each axis, on average over the others:"
        " median and {level} % interval.",
    ),
    "optimum_shared": Template(
        "best values are drawn, from configurations that all networks share",
        "Best values come from {n} configurations that all networks share, by one surface for each"
        " network (an additive Gaussian process).",
    ),
    "optimum_own": Template(
        "best values are drawn, from configurations of each network's own",
        "Best values come from {n} configurations, each network's own, by one surface for each"
        " network (an additive Gaussian process).",
    ),
    "optimum_own_differ": Template(
        "best values come from few shared configurations: what follows",
        "Fewer than {least} configurations are shared, so networks may also differ by what was"
        " tried.",
    ),
    "optimum_not_asked": Template(
        "the same, and a sampler chose configurations by results",
        "Whether best values move is not asked: that takes {least} configurations that all networks"
        " share, as a search of 22 configurations has.",
    ),
    "optimum_drawn": Template(
        "best values are drawn, from part of very many configurations",
        "At most {most} configurations are used, drawn at random.",
    ),
    "optimum_diverged": Template(
        "best values are drawn: runs that diverged",
        "Configurations that diverged count as the worst.",
    ),
    "optimum_cross": Template(
        "best values are drawn: the winner",
        "A cross is the winner, the best configuration tried.",
    ),
    "optimum_interact": Template(
        "best values are drawn: the winner outside an interval",
        "A winner outside an interval hints that axes interact: values best on average need not be"
        " best together.",
    ),
    "optimum_flat": Template(
        "best values are drawn: the flat region",
        "Broad and pale: the flat region, where any loss is smaller than the spread between runs.",
    ),
    "optimum_cliff": Template(
        "best values are drawn: a steep end",
        "A cliff close above an optimum draws its estimate down.",
    ),
    "optimum_hollow": Template(
        "best values are drawn: those that were not located",
        "Hollow and faint: not located, the interval covers most of the range.",
    ),
    "optimum_triangle": Template(
        "best values are drawn: intervals that reach an end",
        "A triangle: the interval reaches the end of the searched range, which a panel shows from"
        " edge to edge.",
    ),
    "response_marks": Template(
        "the score of each configuration is drawn",
        "There is a mark for each configuration; triangles at the top are the worst, with those"
        " that diverged.",
    ),
    "response_band": Template(
        "the score of each configuration is drawn: the band",
        "Shaded: {level} % interval of the best value, on average over the other axes.",
    ),
    "shifts_none": Template("no best value is shown to move", "No best value is shown to move."),
    "shifts_found": Template(
        "some best values are shown to move",
        "{moved} of {all} comparisons show that a best value moves.",
    ),
    "shifts_corrected": Template(
        "moves of best values are listed: the correction",
        "The p values are corrected together for all {all} comparisons (Holm), the {level} %"
        " intervals are not.",
    ),
    "shifts_base": Template(
        "moves of best values are listed: what is compared",
        "Each network is compared with the lowest sparsity that searches the axis, or the shortest"
        " training, all else equal.",
    ),
    "shifts_units": Template(
        "moves of best values are listed: the units",
        "Moves are factors on logarithmic axes and differences on others.",
    ),
    "shifts_open": Template(
        "moves of best values are listed: intervals without an end",
        "An interval is open where an optimum reaches an end of its range and may lie beyond.",
    ),
    "shifts_own": Template(
        "moves of best values are listed, from configurations of each network's own",
        "Networks may also differ by which configurations were tried: each has its own.",
    ),
    "edges_sure": Template(
        "best values at an edge are listed: those that are sure",
        "Sure: the whole interval of the best value lies within 10 % of the range from that end.",
    ),
    "edges_unsure": Template(
        "best values at an edge are listed: those that are not sure",
        "Not sure: the interval reaches that end and holds places inside, or only the winner lies"
        " there.",
    ),
    "edges_winner": Template(
        "best values at an edge are listed: winners there",
        "A winner is there within 5 % of the range: one in ten is, where the axis does nothing.",
    ),
    "edges_wider": Template(
        "best values at an edge are listed: the range to search next",
        "Logarithmic ranges are widened by a factor 10^0.5, others by half of their width.",
    ),
    # Importance
    "importance_none": Template(
        "no band of sparsity has enough configurations for importance",
        "Too few configurations: importance needs {least} in a band of sparsity.",
    ),
    "importance_ped": Template(
        "importance is drawn, by PED-ANOVA",
        "Share of each axis in what decides the order by {measure} (PED-ANOVA of the better half,"
        " by Optuna).",
    ),
    "importance_fanova": Template(
        "importance is drawn, by fANOVA",
        "Share of each axis in what decides the order by {measure} (fANOVA, by Optuna).",
    ),
    "importance_from": Template(
        "importance is drawn: what it is from",
        "Shares come from {n} configurations, ranked within each network; those that diverged count"
        " as the worst.",
    ),
    "importance_filled": Template(
        "importance is drawn: axes that matter",
        "Filled: matters more than chance explains; hollow: no evidence that it matters.",
    ),
    "importance_false": Template(
        "importance is drawn: how often it misleads",
        "Where nothing matters, {share} % of reports have a filled mark ({shuffles} shuffled"
        " orders).",
    ),
    "importance_shares": Template(
        "importance is drawn: what shares are",
        "Shares have no interval, and add up to 100 % even where nothing matters.",
    ),
    # Re-tuning
    "control_recipe": Template(
        "gains of re-tuning are listed: the control",
        "The control is the best recipe of the dense network at its base length, run unchanged in"
        " the sparse one and stretched to its length.",
    ),
    "control_intervals": Template(
        "gains of re-tuning are listed: the intervals",
        "Gains are paired by seed, with 95 % t intervals over seeds, each for its own gain alone.",
    ),
    "control_pooled": Template(
        "gains of re-tuning are listed: the spread",
        "The standard deviation is pooled over an arm's networks of one sparsity.",
    ),
    "control_diverged": Template(
        "gains of re-tuning are listed: controls that diverged",
        "A control that diverged on some seeds has no value: the others would flatter it.",
    ),
    "optimism_none": Template(
        "no winner of a search was run again", "No winner of a search was run again."
    ),
    "optimism_marks": Template(
        "the luck of winners is drawn",
        "Shown is the {measure} of each winner.",
    ),
    "optimism_hollow": Template(
        "the luck of winners is drawn: in the search",
        "Hollow: in the search that chose it as the best of {tried}.",
    ),
    "optimism_fresh": Template(
        "the luck of winners is drawn: on fresh seeds",
        "Filled: over {n} that did not choose it, with {level} % intervals over these seeds.",
    ),
    "optimism_luck": Template(
        "the luck of winners is drawn: its mean",
        "The search flattered winners by {luck} on average over {networks}.",
    ),
    "optimism_alone": Template(
        "the luck of winners is drawn: what luck alone would give",
        "Were all configurations equally good, luck alone would give {alone}.",
    ),
    "optimism_left_out": Template(
        "the luck of winners is drawn: where it does not matter",
        "Curves leave this luck out, since they are over fresh seeds.",
    ),
    "optimism_same_seeds": Template(
        "winners were not run on fresh seeds",
        "Not shown is how much of the best is luck: that takes winners that ran again, on seeds"
        " that did not choose them.",
    ),
}
