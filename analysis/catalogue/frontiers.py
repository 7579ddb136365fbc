"""Sentences on what accuracy costs."""

from __future__ import annotations

from .template import Template

FRONTIER_SENTENCES = {
    "budget_best": Template(
        "the best network at each budget is listed",
        "For each limit in {unit}, the best network of each sparsity that costs no more is chosen"
        " by {by}.",
    ),
    "budget_shown": Template(
        "the best network at each budget is listed: what is shown of it",
        "Shown is the {measure} of the same runs.",
    ),
    "budget_unsure": Template(
        "some choice at a budget may be another",
        "In {count} of {limits} cases the choice is not settled: another network within the limit"
        " may be better.",
    ),
    "iso_flops_none": Template(
        "no two networks cost about the same",
        "No two networks of another sparsity or arm are within {tolerance} in training FLOPs.",
    ),
    "iso_flops": Template(
        "networks of about the same cost are compared",
        "Networks are compared that are within {tolerance} of each other's training FLOPs, seed by"
        " seed (at most {n}).",
    ),
    "iso_flops_found": Template(
        "networks of about the same cost are compared: what was found",
        "{settled} of {pairs} pairs are shown to differ, corrected together for all pairs (Holm, at"
        " {level} %).",
    ),
    "iso_flops_denser": Template(
        "pairs of two sparsities are shown to differ",
        "Of {pairs} that differ in sparsity, the denser one is better in {denser}.",
    ),
    "iso_flops_marks": Template(
        "networks of about the same cost are drawn",
        "Marks above one another cost the same.",
    ),
    "iso_flops_bars": Template(
        "networks of about the same cost are drawn: what bars are",
        "Bars are intervals of each mean alone, which may be wider than those of paired"
        " differences.",
    ),
    "frontier_on_test": Template(
        "networks are compared by cost in a measure of the test set",
        "Judged on the test set: do not choose a network by it.",
    ),
    "pareto_filled": Template(
        "the Pareto front is drawn: what is on it",
        "Filled: the {count} of {networks} networks that no other network beats in {measure}.",
    ),
    "pareto_rivals": Template(
        "the Pareto front is drawn: what a network is compared with",
        "Others must be at least as sparse and, to {tolerance} %, as cheap.",
    ),
    "pareto_hollow": Template(
        "the Pareto front is drawn: what is not on it", "Hollow: beaten by another."
    ),
    "pareto_unsure": Template(
        "intervals leave open on which side of the front some networks are",
        "Faint: for {count} networks intervals overlap, so their side is not settled.",
    ),
    "searches_marks": Template(
        "replayed searches are drawn",
        "Each mark is a way to search, replayed on configurations that trained to their end.",
    ),
    "searches_networks": Template(
        "replayed searches are drawn: means over several networks",
        "Regret and epochs are means over {networks} networks.",
    ),
    "searches_regret": Template(
        "replayed searches are drawn: what regret is",
        "Regret: how much worse the {measure} of the chosen recipe is than if all {configurations}"
        " had trained to their end, judged on fresh seeds.",
    ),
    "searches_failed": Template(
        "replayed searches are drawn: runs that failed",
        "Runs that diverged or collapsed on fresh seeds are counted apart, and not in the regret.",
    ),
    "searches_bars": Template(
        "replayed searches are drawn: what bars are",
        "Bars are 95 % intervals over {over}; some may leave the figure.",
    ),
    "searches_front": Template(
        "replayed searches are drawn: what the line is",
        "The line joins filled marks: no other search has both less regret and fewer epochs.",
    ),
    "searches_one_seed": Template(
        "replayed searches are drawn, and configurations have one seed",
        "With one seed there is no fresh one: recipes are judged on the seed that chose them, so"
        " regret is too low.",
    ),
    "searches_stopped": Template(
        "replayed searches are drawn, and some configurations did not train to their end",
        "Left out are {count} configurations that did not train to their end; stopping looks safer"
        " without them.",
    ),
    "searches_outdated": Template(
        "trials have ended since searches were replayed",
        "What other searches would have found is not shown, since trials have ended after"
        " `sparsetune replay`: run it again.",
    ),
}
