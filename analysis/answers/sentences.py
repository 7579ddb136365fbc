"""Catalogue of every sentence that answers print, each with the condition on which it is printed.

Names in braces are filled in when a sentence is written. They stand for words and numbers of the
study; three of them are clauses: ``{after}``, " after 8 epochs" or nothing; ``{whether}``, such as
"whether GMP at 98 % is under-trained after 8 epochs"; and ``{numbers}``, such as "3.1 points,
interval 1.9 to 4.3, 5 seeds".
"""

from __future__ import annotations

from ..catalogue.template import MAX_WORDS, Sentence, Template, capitalised

__all__ = ["CATALOGUE", "MAX_WORDS", "Sentence", "Template", "capitalised", "write"]

CATALOGUE: dict[str, Template] = {
    # Length of training, beyond dense
    "extension_yes": Template(
        "the gain beyond dense is shown to be above 0",
        "From {epochs} to {longer} epochs {at} gains {sparse_gain}, {dense} {dense_gain}: {numbers}"
        " more ({interval}).",
    ),
    "extension_no": Template(
        "the gain beyond dense is shown to be below the margin",
        "From {epochs} to {longer} epochs {at} gains {sparse_gain}, {dense} {dense_gain}: at most"
        " {margin} more ({interval}).",
    ),
    "extension_parts": Template(
        "the gain beyond dense was measured, and is not settled: its two parts",
        "From {epochs} to {longer} epochs {at} gains {sparse_gain}, {dense} {dense_gain}.",
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
        "{at} beats {other}{after} in {measure} ({numbers}).",
    ),
    "arms_opposite": Template(
        "the second arm is shown to be better",
        "{at} loses to {other}{after} in {measure} ({numbers}).",
    ),
    "arms_no": Template(
        "the arms are shown to differ by less than the margin",
        "{at} and {other} differ by less than {margin}{after} ({numbers}).",
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
    # Other sparsities
    "others_same": Template(
        "the primary answer holds for other contrasts of its question too",
        "The answer is the same for {places}.",
    ),
    "others_differ": Template(
        "other contrasts of a question have another answer than the primary one",
        "For {places} the answer is {verdict}.",
    ),
    # What remains
    "remaining": Template(
        "a score was measured at a sparsity, and the dense network's after as many epochs",
        "{at} reaches a {measure} of {value}{after} ({numbers}); the dense network {dense}.",
    ),
    "remaining_alone": Template(
        "a score was measured at a sparsity, and no dense network's after as many epochs",
        "{at} reaches a {measure} of {value}{after} ({numbers}).",
    ),
    "remaining_configurations": Template(
        "a score at a sparsity is a mean over configurations, of which none was chosen",
        "{at} reaches a {measure} of {value}{after} on average over {configurations}, from {low} to"
        " {high}: no interval.",
    ),
    "remaining_nothing_learned": Template(
        "all networks of a sparsity give every test example one answer",
        "{at} has learned nothing: all its networks give every test example one answer, with"
        " {value} in {measure}.",
    ),
    "remaining_unmeasured": Template(
        "no score was measured at a sparsity",
        "{at} has no score{after}.",
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
    "later_longer": Template(
        "a table without a training loss has a longer training of a network",
        "Asked after the data: {at} gains from longer training than {epochs} epochs ({numbers}).",
    ),
    "later_no_training_loss": Template(
        "the same: what is not judged",
        "Under-training is not judged: no training loss was measured.",
    ),
    "later_unmeasured": Template(
        "a question was asked after the data, and has no interval",
        "Asked after the data, and not measured: {whether}.",
    ),
    # How sure
    "sure": Template(
        "the study asked before its first trial",
        "If this study were repeated with other {over}, 95 % of the repetitions would have no wrong"
        " yes or no at all.",
    ),
    "sure_recipes": Template(
        "the same, where the study searched",
        "Repetitions keep the hyperparameters that this search found.",
    ),
    "sure_looks": Template(
        "report seeds were added: the level is spent over the looks",
        "These are answers of look {stage}: adding seeds was counted, so intervals are wider.",
    ),
    "sure_declared_looks": Template(
        "report seeds doubled where an answer was open: the declared looks share the level",
        "Seeds were added where answers were open: looks at {seeds} seeds were counted. Each answer"
        " is of the look that settled it.",
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
    "step_seeds_others": Template(
        "the same, where the first answers are settled and one further down is not",
        "Add about {more} to settle more answers below, first {whether}.",
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
        "With {examples} test examples and these seeds, differences below about {smallest} cannot"
        " be shown.",
    ),
    "warn_seeds_only": Template(
        "test outcomes were not kept for all answers",
        "Intervals are over seeds only: other test examples may give other numbers.",
    ),
    "warn_nothing_learned": Template(
        "all networks of a compared cell give every test example one answer",
        "{at} has learned nothing{after}: all its networks give every test example one answer.",
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
