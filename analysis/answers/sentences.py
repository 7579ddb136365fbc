"""Catalogue of every sentence that answers print, each with the condition on which it is printed.

Names in braces are filled in when a sentence is written. They stand for words and numbers of the
study; two of them are whole clauses: ``{whether}``, such as "whether GMP at 98 % is under-trained
after 8 epochs", and ``{numbers}``, such as "3.1 points, 1.9 to 4.3, 5 seeds".
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_WORDS = 30
"""Most words of a sentence."""


@dataclass(frozen=True)
class Template:
    """One sentence of the catalogue.

    Args:
        condition: When it is printed.
        text: The sentence, with names in braces.
    """

    condition: str
    text: str


@dataclass(frozen=True)
class Sentence:
    """A sentence as it is printed.

    Args:
        name: Its name in `CATALOGUE`.
        text: Its text.
    """

    name: str
    text: str

    def __str__(self) -> str:
        return self.text


CATALOGUE: dict[str, Template] = {
    # Length of training, beyond dense
    "extension_yes": Template(
        "the gain beyond dense is shown to be above 0",
        "{at} gains more from {times} than the dense network does ({numbers}).",
    ),
    "extension_no": Template(
        "the gain beyond dense is shown to be below the margin",
        "{at} gains at most {margin} more from {times} than the dense network does ({numbers}).",
    ),
    "extension_parts": Template(
        "the gain beyond dense was measured: its two parts",
        "Its own gain is {sparse_gain}, that of the dense network {dense_gain}.",
    ),
    "extension_parts_twin": Template(
        "the same, where the dense network is the winners' twin",
        "Its own gain is {sparse_gain}, that of its dense twin {dense_gain}.",
    ),
    # Length of training
    "under_yes": Template(
        "longer training is shown to raise the score",
        "{at} is under-trained after {epochs} epochs: {longer} epochs improve {measure}"
        " ({numbers}).",
    ),
    "under_opposite": Template(
        "longer training is shown to lower the score",
        "{at} is over-trained after {longer} epochs: {epochs} epochs give better {measure}"
        " ({numbers}).",
    ),
    "under_no": Template(
        "longer training is shown to change the score by less than the margin",
        "For {at} {epochs} epochs are enough: {longer} epochs change {measure} by less than"
        " {margin} ({numbers}).",
    ),
    # Re-tuning
    "retuning_yes": Template(
        "the winner is shown to beat the dense recipe",
        "Re-tuning {at} improves {measure} over the dense recipe ({numbers}).",
    ),
    "retuning_no": Template(
        "the winner is shown to gain less than the margin",
        "Re-tuning {at} with {configurations} found nothing worth more than {margin} ({numbers}).",
    ),
    "retuning_chosen": Template(
        "the cell's search chose the dense recipe, so that the winner is the control",
        "Re-tuning {at} with {configurations} gains nothing: the search chose the dense recipe"
        " itself.",
    ),
    "retuning_control": Template(
        "a study asks for the gain of re-tuning: what the dense recipe is",
        "The dense recipe is the best one found for the dense network, run unchanged.",
    ),
    # Arms
    "arms_yes": Template(
        "the first arm is shown to be better",
        "{at} beats {other} after {epochs} epochs in {measure} ({numbers}).",
    ),
    "arms_opposite": Template(
        "the second arm is shown to be better",
        "{at} loses to {other} after {epochs} epochs in {measure} ({numbers}).",
    ),
    "arms_no": Template(
        "the arms are shown to differ by less than the margin",
        "{at} and {other} differ by less than {margin} after {epochs} epochs ({numbers}).",
    ),
    # Best values
    "value_yes": Template(
        "the best value is shown to be higher in the first cell",
        "The best {field} is higher for {at} than for {other} ({numbers}).",
    ),
    "value_opposite": Template(
        "the best value is shown to be lower in the first cell",
        "The best {field} is lower for {at} than for {other} ({numbers}).",
    ),
    "value_no": Template(
        "the best values are shown to differ by less than the margin",
        "The best {field} moves by less than {margin} from {other} to {at} ({numbers}).",
    ),
    # What remains
    "remaining": Template(
        "a score was measured at a sparsity, and the dense network's after as many epochs",
        "{at} reaches {value} in {measure} after {epochs} epochs ({numbers}); the dense network"
        " {dense}.",
    ),
    "remaining_alone": Template(
        "a score was measured at a sparsity, and no dense network's after as many epochs",
        "{at} reaches {value} in {measure} after {epochs} epochs ({numbers}).",
    ),
    "remaining_nothing_learned": Template(
        "all networks of a sparsity give every test example one answer",
        "{at} has learned nothing: all its networks give every test example one answer, with"
        " {value} in {measure}.",
    ),
    "remaining_unmeasured": Template(
        "no score was measured at a sparsity",
        "{at} has no score after {epochs} epochs.",
    ),
    # Headings of sections on several arms
    "heading_extension": Template(
        "several arms are asked for their gain beyond dense",
        "Does longer training gain more than it gains the dense network?",
    ),
    "heading_under": Template(
        "several arms are asked whether they are under-trained",
        "Are the sparse networks under-trained?",
    ),
    "heading_retuning": Template(
        "several arms are asked what re-tuning gains",
        "Does re-tuning gain over the dense recipe?",
    ),
    "heading_arms": Template("several pairs of arms are compared", "Which arm is better?"),
    "heading_value": Template(
        "several best values are compared", "Do the best hyperparameters move?"
    ),
    "heading_remaining": Template(
        "several arms are asked what they score", "What remains at each sparsity?"
    ),
    # Captions
    "caption_lines": Template(
        "the first figure has intervals",
        "Marks are means over seeds, bands are 95 % intervals of each mean alone.",
    ),
    "caption_points": Template(
        "the first figure has one run per mark", "Marks are single runs or means, without intervals."
    ),
    "caption_cut": Template(
        "a band is so wide that it leaves the picture",
        "Bands that reach the edge of the picture are wider than it.",
    ),
    "caption_effects": Template(
        "effects of questions that were asked before the data",
        "Bars are intervals that hold together for all answers of this study.",
    ),
    "caption_effects_later": Template(
        "effects of questions that were asked after the data",
        "Bars are 95 % intervals of each number alone: they settle nothing.",
    ),
    "caption_margin": Template(
        "the questions have a margin", "Shaded: effects below {margin} count as none."
    ),
    "caption_remaining": Template(
        "the score at each sparsity",
        "Each network after its longest training, with the 95 % interval of each mean alone.",
    ),
    # Faults that checks found
    "check_SPT001": Template(
        "SPT001 found something",
        "Some runs did not end at the sparsity that was asked for: leave them out.",
    ),
    "check_SPT002": Template(
        "SPT002 found something",
        "Some best values lie at the edge of their range, so a better one may lie outside.",
    ),
    "check_SPT003": Template(
        "SPT003 found something",
        "Some networks have fewer than three seeds, or intervals wider than their effect.",
    ),
    "check_SPT004": Template(
        "SPT004 found something",
        "Some networks are unfinished, so curves may still change.",
    ),
    "check_SPT005": Template(
        "SPT005 found something",
        "Some runs failed for reasons outside training, and are missing.",
    ),
    "check_SPT006": Template(
        "SPT006 found something",
        "Some runs diverged: what is shown leaves their networks out.",
    ),
    "check_SPT007": Template(
        "SPT007 found something",
        "Some runs were stopped before their target sparsity, which favours late pruning.",
    ),
    "check_SPT008": Template(
        "SPT008 found something",
        "Label smoothing differs between these networks, so their entropies do not compare.",
    ),
    "check_SPT009": Template(
        "SPT009 found something",
        "Some networks learned from a teacher and others from labels: compare accuracies, not losses.",
    ),
    "check_SPT010": Template(
        "SPT010 found something",
        "Sparsities here are fractions of different numbers of weights, and do not compare.",
    ),
    "check_SPT011": Template(
        "SPT011 found something",
        "These networks were trained or tested on different data, and do not compare.",
    ),
    "check_SPT012": Template(
        "SPT012 found something",
        "The dense networks differ, so gaps to them do not compare.",
    ),
    "check_SPT013": Template(
        "SPT013 found something",
        "More runs are missing the sparser the network is, so the curve shows the survivors.",
    ),
    "check_SPT014": Template(
        "SPT014 found something",
        "The best recipes were chosen on the test set, which flatters them.",
    ),
    "check_SPT015": Template(
        "SPT015 found something",
        "Some runs are judged by their best evaluation instead of their last, which flatters them.",
    ),
    "check_SPT016": Template(
        "SPT016 found something",
        "Some seeds are not independent runs, so intervals are too narrow.",
    ),
    "check_SPT017": Template(
        "SPT017 found something",
        "Some layers have no weight left, so nothing passes through them.",
    ),
    "check_SPT018": Template(
        "SPT018 found something",
        "Recipes were chosen by another measure than the one shown.",
    ),
    "check_SPT019": Template(
        "SPT019 found something",
        "Some runs have evaluations twice, or lack some.",
    ),
    "check_SPT020": Template(
        "SPT020 found something",
        "Runs used different hardware or package versions: last digits and times may differ.",
    ),
    "check_SPT021": Template(
        "SPT021 found something",
        "The best recipes are shown on the runs that chose them, which flatters them.",
    ),
    "check_SPT022": Template(
        "SPT022 found something",
        "Sparse networks did not get the same training FLOPs as their dense twins.",
    ),
    "check_SPT023": Template(
        "SPT023 found something",
        "Runs behind one mean used different code: the mean is of two experiments.",
    ),
    "check_SPT024": Template(
        "SPT024 found something",
        "Records are damaged or incomplete, so some runs may be missing.",
    ),
    "check_SPT025": Template(
        "SPT025 found something",
        "Some networks have learned nothing: they give every test example one answer.",
    ),
    "check_other": Template(
        "a check without a sentence of its own found something",
        "A check found something that may mislead: see the checks under More.",
    ),
    # Around the answers
    "asked": Template("the study's question is in its own words", "Asked here: {question}"),
    "nothing_measured": Template(
        "no answer is known since no report run has ended", "No result has been measured yet."
    ),
    "nothing_asked": Template(
        "nothing was asked and nothing follows from the axes",
        "Nothing here compares networks: this page shows what was measured.",
    ),
    "no_warning": Template(
        "no warning could change an answer", "No check found anything that could change the answer."
    ),
    "no_step": Template("there is no advice", "Nothing is left to run for these questions."),
    "step_retry": Template(
        "some runs failed for reasons outside training",
        "Run {failed} again, once their reason is fixed.",
    ),
    "open_later": Template(
        "a group of later questions", "Asked after the data: estimates, without a yes or no."
    ),
    "exploration": Template(
        "figures below the answers",
        "Everything below is exploration: it was not asked beforehand, its intervals hold one by one,"
        " and it settles nothing.",
    ),
    "table_note": Template(
        "a table of answers", "The first column names a network by its method and sparsity."
    ),
    # Nothing to say yet
    "unsettled": Template(
        "the interval leaves more than one verdict open",
        "{whether} is not settled ({numbers}).",
    ),
    "unsettled_collapses": Template(
        "some runs collapsed, and the two sides may collapse at different rates",
        "{whether} is not settled: {collapsed} of {runs} runs collapsed, perhaps more on one side.",
    ),
    "unsettled_one_seed": Template(
        "there is one pair of runs only",
        "{whether} is not settled: one seed gives no interval.",
    ),
    "unsettled_no_spread": Template(
        "all pairs of runs have the same difference",
        "{whether} is not settled: all {n} differ by the same {mean}, which gives no interval.",
    ),
    "unsettled_nothing_learned": Template(
        "all networks of one side give every test example one answer",
        "{whether} cannot be said: all networks of one side give every test example one answer.",
    ),
    "unsettled_control_diverged": Template(
        "the dense recipe diverged in the cell",
        "{whether} has no number: the dense recipe diverged on {seeds}.",
    ),
    "unsettled_missing": Template(
        "there is no pair of runs, or one without a value",
        "{whether} is not settled: runs to compare are missing.",
    ),
    "open": Template(
        "the study has not ended, or seeds that were added have not",
        "{whether} is open until the study has finished.",
    ),
    # Asked after the data
    "later": Template(
        "a question was asked after the data, and was measured",
        "Asked after the data: {whether} ({numbers}).",
    ),
    "later_unmeasured": Template(
        "a question was asked after the data, and has no interval",
        "Asked after the data, and not measured: {whether}.",
    ),
    # How sure
    "sure": Template(
        "the study asked before its first trial",
        "A study like this gives any wrong yes or no in at most 5 % of repetitions, over"
        " {over}{recipes}.",
    ),
    "sure_looks": Template(
        "report seeds were added: the level is spent over the looks",
        "These are answers of look {stage}: adding seeds was counted, so intervals are wider.",
    ),
    "sure_later": Template(
        "all questions were asked after the data",
        "All questions were asked after the data: each 95 % interval holds alone, and none is a yes"
        " or no.",
    ),
    # What to do next
    "step_finish": Template(
        "the study is not finished",
        "Finish the study: {unfinished} of {cells} networks are open.",
    ),
    "step_seeds": Template(
        "a number of seeds, not too large, would settle a question",
        "Add about {more} to settle {whether}.",
    ),
    "step_first_seeds": Template(
        "a question has fewer seeds than an interval needs",
        "Add {more} for an interval on {whether}.",
    ),
    "step_longer": Template(
        "a network is under-trained at its base length, and was trained at a longest one",
        "{at} may gain beyond {longer} epochs.",
    ),
    "step_too_many": Template(
        "only very many seeds would settle a question",
        "Settling {whether} would take more than {most} seeds: another question may be worth more.",
    ),
    "step_examples": Template(
        "no number of seeds would settle a question, since the test set is too small",
        "Seeds alone will not settle {whether}: the test set is too small.",
    ),
    "step_margin": Template(
        "the score is no fraction, and the study gave no margin",
        "Declare a `margin` to hear that an effect is too small to matter.",
    ),
    # Before relying on it
    "warn_test_set": Template(
        "test outcomes were kept, and the margin is below what the test set can show",
        "The test set has {examples} examples; differences below about {smallest} cannot be seen"
        " with it.",
    ),
    "warn_seeds_only": Template(
        "test outcomes were not kept for all answers",
        "Intervals are over seeds only: other test examples may give other numbers.",
    ),
    "warn_nothing_learned": Template(
        "all networks of a compared cell give every test example one answer",
        "{at} has learned nothing after {epochs} epochs: all its networks give every test example"
        " one answer.",
    ),
    "warn_diverged": Template(
        "some runs of a cell that a question compares diverged",
        "{diverged} of {runs} runs of {at} diverged, so it is not compared.",
    ),
    "warn_collapsed": Template(
        "some runs of a contrast collapsed and are left out of its mean",
        "{collapsed} of {runs} runs behind {whether} collapsed; means are over the others.",
    ),
    "warn_two_seeds": Template(
        "an answer is over two seeds",
        "Two seeds give wide intervals: three are the least to rely on.",
    ),
    "warn_selected": Template(
        "winners are reported on the runs that chose them, as in a table of search runs",
        "Winners are shown on the runs that chose them, which flatters them.",
    ),
}
"""Every sentence by its name."""


def write(name: str, **values: object) -> Sentence:
    """A sentence of the catalogue with its values; it begins with a capital letter.

    Args:
        name: Its name in `CATALOGUE`.
        values: A text for each name in braces.
    """
    text = CATALOGUE[name].text.format(**values)
    return Sentence(name, capitalised(text))


def capitalised(text: str) -> str:
    """The text with a capital letter at its start."""
    return f"{text[:1].upper()}{text[1:]}"
