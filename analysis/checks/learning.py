"""Check that the networks that are compared have learned something."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from ..catalogue import write
from ..catalogue.template import Sentence
from ..estimates.learning import COMPARED_ROLES, compared_trials
from .evidence import Evidence, has_value
from .finding import Finding, MissingEvidenceError, Severity


def cells_that_learned_nothing(evidence: Evidence) -> Iterator[Finding]:
    """Find cells whose networks give every test example one answer, twins among them."""
    parts = [compared_trials(evidence.results, role).assign(role=role) for role in COMPARED_ROLES]
    rows = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    rows = rows[rows["cell"].isin(evidence.cells["cell"])].drop_duplicates(["cell", "trial_id"])
    if len(rows) and ("learned_nothing" not in rows or rows["learned_nothing"].isna().all()):
        raise MissingEvidenceError(["`learned_nothing`, which newer versions record"])
    for cell in evidence.cells.to_dict("records"):
        own = rows[rows["cell"] == cell["cell"]]
        name = evidence.name_cells([cell["cell"]])
        is_twin = own["role"].eq("twin")
        for networks, words in ((own[~is_twin], "network"), (own[is_twin], "dense twin")):
            found = networks[has_value(networks["learned_nothing"], True)]
            if len(found):
                every = found.groupby("role").size().eq(networks.groupby("role").size()).any()
                severity: Severity = "error" if every else "warning"
                count = _count_words(len(found), len(networks), words)
                said = _answer(name, count, found)
                yield Finding(str(cell["arm"]), [str(cell["cell"])], [said], severity)


def _count_words(found: int, total: int, words: str) -> str:
    if total == 1:
        return f"the only {words}"
    if found == total:
        return f"all {total} {words}s"
    return f"{found} of {total} {words}s"


def _answer(network: str, count: str, found: pd.DataFrame) -> Sentence:
    """What such networks answer: of a classification, how often that is right."""
    is_one = len(found) == 1
    accuracy = found["test_accuracy"].astype("float64").dropna()
    if accuracy.empty:
        predict = "predicts" if is_one else "predict"
        return write("found_constant", network=network, count=count, predict=predict)
    low, high = (f"{100 * value:.2f}" for value in (accuracy.min(), accuracy.max()))
    share = low if low == high else f"{low} to {high}"
    answer = "answers" if is_one else "answer"
    return write("found_one_answer", network=network, count=count, answer=answer, share=share)
