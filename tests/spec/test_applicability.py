"""Fields that apply: every choice lists its own, or the package does not import."""

from __future__ import annotations

import pytest

from sparsetune.spec import TrialSpec
from sparsetune.spec.applicability import require_every_choice
from sparsetune.spec.sparsity import SCORE_FIELDS


def test_a_score_without_a_line_is_refused_by_name() -> None:
    without = {name: fields for name, fields in SCORE_FIELDS.items() if name != "saliency"}
    with pytest.raises(LookupError, match=r"`sparsity\.score`: list the fields of saliency"):
        require_every_choice("sparsity.score", without)


def test_a_line_without_a_score_is_refused_by_name() -> None:
    with pytest.raises(LookupError, match=r"`sparsity\.score`: its table lists wanda"):
        require_every_choice("sparsity.score", [*SCORE_FIELDS, "wanda"])


@pytest.mark.parametrize("score", SCORE_FIELDS)
def test_a_trial_has_the_fisher_columns_of_the_score_fisher_alone(score: str) -> None:
    spec = TrialSpec().with_values(
        {"sparsity.method": "gmp", "sparsity.target": 0.5, "sparsity.score": score}
    )
    assert ("sparsity.fisher.block" in spec.columns()) is (score == "fisher")
