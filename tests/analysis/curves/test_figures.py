"""Curves as drawn: names and colours of dense networks, histories."""

from __future__ import annotations

from typing import Any

import matplotlib
import pandas as pd
import pytest

from analysis.curves import exhibits
from analysis.curves.figures import _draw_arms
from analysis.measure import Measure

matplotlib.use("Agg")


def arms(dense: dict[str, float]) -> pd.DataFrame:
    """Two arms at 90 % and their dense networks, named as `add_dense_points` names them.

    Args:
        dense: Mean of each dense network.
    """
    points = [(arm, 0.9, 0.8) for arm in ("standard", "extended")] + [
        (arm, 0.0, mean) for arm, mean in dense.items()
    ]
    frame = pd.DataFrame(points, columns=["arm", "sparsity", "mean"])
    return frame.assign(low=frame["mean"] - 0.01, high=frame["mean"] + 0.01, n=3)


def dense_lines(frame: pd.DataFrame) -> dict[str, Any]:
    """Line style of each dense network, all of which are black."""
    (axis,) = _draw_arms(frame, [Measure.by_name("test_accuracy")]).axes
    lines = [line for line in axis.get_lines() if "dense" in line.get_label()]
    assert {line.get_color() for line in lines} == {"black"}
    return {line.get_label(): line.get_linestyle() for line in lines}


def test_dense_networks_of_several_arms_are_told_apart() -> None:
    found = dense_lines(arms({"standard": 0.90, "extended": 0.92}))
    assert list(found) == ["standard (dense)", "extended (dense)"]
    assert len(set(found.values())) == 2
    assert list(dense_lines(arms({"dense-standard": 0.90, "dense-extended": 0.92}))) == [
        "dense-standard (dense)",
        "dense-extended (dense)",
    ]


@pytest.mark.parametrize("dense", [{"standard": 0.9, "extended": 0.9}, {"dense": 0.9}])
def test_the_only_dense_network_is_called_dense(dense: dict[str, float]) -> None:
    assert dense_lines(arms(dense)) == {"dense": "--"}


@pytest.mark.parametrize(("evaluations", "shown"), [(1, 0), (2, 1)])
def test_a_history_needs_two_evaluations(
    monkeypatch: pytest.MonkeyPatch, evaluations: int, shown: int
) -> None:
    rows = [
        {
            "arm": "gmp",
            "sparsity": s,
            "epochs": 8.0,
            "seed": 0,
            "trial_id": f"{s}",
            "progress": (k + 1) / evaluations,
        }
        for s in (0.8, 0.9)
        for k in range(evaluations)
    ]
    history = pd.DataFrame(rows).assign(val_loss=0.5, train_loss=float("nan"), sparsity_now=0.0)
    monkeypatch.setattr(exhibits, "winners_history", lambda results, where: history)

    class Short:
        class design:
            lengths = staticmethod(list)

        measure = staticmethod(Measure.by_name)

    assert len([*exhibits.history_exhibits(Short())]) == shown  # type: ignore[arg-type]
