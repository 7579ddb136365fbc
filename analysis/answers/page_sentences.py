"""Second part of the catalogue: what the page says around the answers, each with its condition.

The first part, `analysis.answers.sentences`, holds the answers themselves.
"""

from __future__ import annotations

from .sentences import Sentence, Template, capitalised

PAGE_CATALOGUE: dict[str, Template] = {
    "asked_as": Template(
        "the study's own question differs from the one that is answered first",
        "Asked as: {question}",
    ),
    "word_for": Template(
        "the first answer is a yes or a no: the networks that it is about",
        "{word} for {networks}.",
    ),
    # Headings of sections on several arms
    "heading_extension": Template(
        "several arms are asked for their gain beyond dense",
        "Does longer training help sparse networks more than the dense one?",
    ),
    "heading_under": Template(
        "several arms are asked whether they are under-trained",
        "Are the sparse networks under-trained?",
    ),
    "heading_retuning": Template(
        "several arms are asked what re-tuning gains",
        "Does re-tuning gain over the dense recipe?",
    ),
    "heading_arms": Template("several pairs of arms are compared", "Do these methods differ?"),
    "heading_value": Template(
        "several best values are compared", "Do the best hyperparameters move?"
    ),
    "heading_remaining": Template(
        "several arms are asked what they score", "What score is left at each sparsity?"
    ),
    # Captions
    "caption_lines": Template(
        "the first figure has intervals",
        "Marks are means over seeds; bands are the 95 % interval of each, with the spread over"
        " seeds pooled over lengths.",
    ),
    "caption_points": Template(
        "the first figure has one run per mark",
        "Marks are single runs or means, without intervals.",
    ),
    "caption_spread": Template(
        "the first figure has means over several configurations",
        "Dotted bars are no interval: they reach from the lowest configuration to the highest.",
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
        "the questions have a margin", "Shaded: effects below {margin}, too small to matter."
    ),
    "caption_remaining": Template(
        "the score at each sparsity",
        "Each network after its longest training, with a 95 % interval from its own seeds alone.",
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
        "SPT003 found few seeds", "Some networks have fewer than three seeds."
    ),
    "check_SPT003_note": Template(
        "SPT003 found differences that are not settled",
        "Some networks are not shown to differ from their dense twins.",
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
        "Some networks learned from a teacher, others from labels: compare accuracies, not losses.",
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
    "check_SPT014_warning": Template(
        "SPT014 found best values that are read off the test set, where nothing was chosen",
        "For want of validation, what is best here is read off the test set, which flatters it.",
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
    "check_SPT026": Template(
        "SPT026 found something",
        "Sparsities that were reached look like the share of weights left: read them as density.",
    ),
    "check_SPT027": Template(
        "SPT027 found something",
        "Validation and test values are the same numbers, so one of them is not what it says.",
    ),
    "check_SPT028": Template(
        "SPT028 found something",
        "Some networks score exactly what chance scores: they may have learned nothing.",
    ),
    "check_SPT029": Template(
        "SPT029 found something",
        "Some runs have exactly the numbers of another run, as copied rows have.",
    ),
    "check_SPT030": Template(
        "SPT030 found something",
        "The sparsity of some runs falls during training, though their method prunes only.",
    ),
    "check_SPT031": Template(
        "SPT031 found something",
        "Some runs have no result, so their networks show no mean of the rest.",
    ),
    "check_SPT032": Template(
        "SPT032 found something",
        "The sparser the network, the fewer runs have a result: the curve shows the survivors.",
    ),
    "check_SPT033": Template(
        "SPT033 found something", "Two columns look swapped: check what each one holds."
    ),
    "check_SPT034": Template(
        "SPT034 found something",
        "Some values are means over several runs, others single runs: they vary differently.",
    ),
    "check_SPT035": Template(
        "SPT035 found something",
        "Some marks are means over different configurations: they have a spread, no interval.",
    ),
    "check_SPT036": Template(
        "SPT036 found something",
        "Networks lack different seeds, as if bad runs were left out.",
    ),
    "check_other": Template(
        "a check without a sentence of its own found something",
        "A check found something that may mislead: see the checks under More.",
    ),
    # Around the answers
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
    "warnings_elsewhere": Template(
        "no warning could change an answer, and checks found something",
        "What checks found stands at the figures, and with a remedy under More.",
    ),
    "step_declare": Template(
        "all questions were asked after the data",
        "A yes or a no takes new runs, with the questions declared before the first of them.",
    ),
    "no_step": Template("there is no advice", "Nothing is left to run for these questions."),
    "open_later": Template(
        "a group of later questions", "Asked after the data: estimates, without a yes or no."
    ),
    "exploration": Template(
        "figures below the answers",
        "Everything below is exploration: not asked beforehand, with intervals that hold one by"
        " one, it settles nothing.",
    ),
}
"""Every sentence by its name."""


def write_on_page(name: str, **values: object) -> Sentence:
    """A sentence of the page with its values; it begins with a capital letter.

    Args:
        name: Its name in `PAGE_CATALOGUE`.
        values: A text for each name in braces.
    """
    return Sentence(name, capitalised(PAGE_CATALOGUE[name].text.format(**values)))
