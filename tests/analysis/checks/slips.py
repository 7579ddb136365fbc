"""Tables with a slip, by the code of its check, each with the sound twin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.tables.foreign import load_table
from analysis.tables.results import Results
from analysis.testing import MadeResults

Slip = Callable[[Any], Results]
"""Makes the results, whatever it is given."""
ACCURACIES = {0.0: 0.9234, 0.5: 0.9198, 0.9: 0.9021, 0.98: 0.8417}
"""Accuracy by sparsity of a sound table."""


def runs(**changes: Any) -> pd.DataFrame:
    """Three seeds at four sparsities with validation and test results; ``changes`` are columns."""
    rows = []
    for sparsity, accuracy in ACCURACIES.items():
        for seed in (0, 1, 2):
            noise = np.random.default_rng([seed, int(100 * sparsity)]).normal(size=4) / 400
            rows.append(
                {
                    "sparsity.target": sparsity,
                    "seed": seed,
                    "val_accuracy": round(accuracy + noise[0], 4),
                    "test_accuracy": round(accuracy - 0.005 + noise[1], 4),
                    "val_loss": round(1.1 - accuracy + noise[2], 5),
                    "test_loss": round(1.12 - accuracy + noise[3], 5),
                }
            )
    frame = pd.DataFrame(rows)
    values = {
        name: change(frame) if callable(change) else change for name, change in changes.items()
    }
    return frame.assign(**values)


def table(frame: pd.DataFrame, **options: Any) -> Slip:
    return lambda _: load_table(frame, name="gmp", **options)


def changed(**changes: Any) -> Slip:
    return table(runs(**changes))


def reached(of_target: Callable[[pd.Series], Any]) -> Callable[[pd.DataFrame], Any]:
    """Sparsities reached by those asked for; dense networks reach 0."""
    return lambda frame: of_target(frame["sparsity.target"]).where(frame["sparsity.target"] > 0, 0)


def at(sparsity: float, column: str, value: Any) -> Callable[[pd.DataFrame], Any]:
    """The column with another value at one sparsity."""
    return lambda frame: frame[column].mask(frame["sparsity.target"] == sparsity, value)


def pasted(*columns: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Columns of the first run at 98 % stand in the first at 90 % too."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        source = frame[frame["sparsity.target"] == 0.98].index[0]
        place = frame[frame["sparsity.target"] == 0.9].index[0]
        frame.loc[place, list(columns)] = frame.loc[source, list(columns)]
        return frame

    return change


def without_seeds(lost: dict[float, int]) -> Slip:
    """The table without one seed's run at some sparsities."""
    frame = runs()
    gone = [(frame["sparsity.target"] == s) & (frame["seed"] == seed) for s, seed in lost.items()]
    return table(frame[~np.any(gone, axis=0)])


MEASURES = ("val_accuracy", "test_accuracy", "val_loss", "test_loss")


def history(sparsities: Sequence[float], **more: Any) -> pd.DataFrame:
    """Two runs with an evaluation of each of these sparsities."""
    rows = [
        {
            "trial_id": f"run-{seed}",
            "seed": seed,
            "epoch": epoch,
            "sparsity": sparsity,
            "sparsity.target": 0.9,
            "val_accuracy": 0.5 + epoch / 20 + seed / 100,
            "val_loss": 1.5 - epoch / 20 - seed / 70,
        }
        for seed in (0, 1)
        for epoch, sparsity in enumerate(sparsities, 1)
    ]
    return pd.DataFrame(rows).assign(**more)


def outcomes(*status: str, lost: Sequence[int] = (), y: str = "test_accuracy", **more: Any) -> Slip:
    """Case 5.5 of three runs at each of two sparsities, of which some have no value."""
    values = [0.9, 0.91, 0.92, 0.8, 0.81, 0.79]
    frame = pd.DataFrame(
        {
            "sparsity": [0.5] * 3 + [0.9] * 3,
            "State": list(status) if len(status) > 1 else list(status) * 6,
            "acc": [np.nan if n in lost else value for n, value in enumerate(values)],
        }
    )
    columns = {"status": "State", y: "acc", "sparsity.target": "sparsity"}
    return table(frame.assign(**more), columns=columns)


def counts(by_sparsity: dict[float, int], lost: dict[float, int] | None = None) -> Slip:
    """So many runs at each sparsity, of which some failed."""
    rows = []
    for sparsity, count in by_sparsity.items():
        for n in range(count):
            is_lost = n < (lost or {}).get(sparsity, 0)
            rows.append(
                {
                    "sparsity.target": sparsity,
                    "optim.lr": round(0.01 * (n + 1), 4),
                    "val_accuracy": np.nan if is_lost else round(0.93 - sparsity / 9 - n / 999, 4),
                    "status": "failed" if is_lost else "finished",
                }
            )
    return table(pd.DataFrame(rows))


def with_means(n: int, digits: int = 6) -> Slip:
    """Single runs with four decimals, and two values that are means over ``n``."""
    frame = runs().drop(columns=["val_accuracy", "val_loss", "test_loss"])
    grid = np.array([0.8417, 0.8433])
    frame.loc[[9, 10], "test_accuracy"] = np.round(grid + 1e-4 / n, digits)
    return table(frame)


def swapped(frame: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    return frame.rename(columns={first: second, second: first})


counted = (runs() + 2e-5)[["test_accuracy", "val_accuracy"]].assign(
    sparsity=runs()["sparsity.target"]
)
"""Accuracies on 50,000 examples, without seeds."""


def published(choose: Callable[[Any], pd.Series], places: int) -> Callable[[MadeResults], Results]:
    """Case 5.10: test accuracies by epoch, of which each run's result is one, in some decimals."""

    def change(frames: MadeResults) -> Results:
        rows = frames.history()
        count = rows.groupby("trial_id").cumcount()
        # It rises, and falls at the last evaluation.
        rows["test_accuracy"] = 0.70123 + 0.04 * count.where(count < 3, 1)
        result = choose(rows.groupby("trial_id")["test_accuracy"]).round(places)
        return frames.replace(history=rows).with_values(
            "trials",
            "test_accuracy",
            lambda trials: trials["trial_id"].map(result),
            where=lambda trials: trials["trial_id"].isin(result.index),
        )

    return change


def untaken(shown: Sequence[float], name: str = "test_acc", **changes: Any) -> Slip:
    """Two runs of three evaluations and a result each; that it is their best stands nowhere."""
    rows = {
        "trial_id": ["a"] * 3 + ["b"] * 3,
        "epoch": [3, 1, 2, 1, 2, 3],
        "sparsity.target": 0.9,
        name: [0.65, 0.5, 0.7, 0.5, 0.71, 0.6],
        "final_acc": np.repeat(shown, 3),
    }
    frame = pd.DataFrame(rows).assign(**changes)
    return table(frame, columns={"test_accuracy": "final_acc"})


PUBLISHED = [
    (untaken([0.7, 0.71]), untaken([0.65, 0.6])),
    (untaken([0.7, 0.71], "x"), untaken([0.7, 0.6], "x")),
    (
        untaken([0.7, 0.71], test_acc=[65, 50, 70, 50, 71, 60.0]),
        # Rows out of order: the highest is the last.
        untaken([0.7, 0.71], test_acc=[70, 50, 65, 50, 60, 71.0]),
    ),
    (published(lambda tests: tests.max(), 9), published(lambda tests: tests.last(), 9)),
    (published(lambda tests: tests.max(), 4), published(lambda tests: tests.last(), 4)),
    # One decimal fits too many evaluations.
    (published(lambda tests: tests.max(), 4), published(lambda tests: tests.max(), 1)),
]
"""Maxima over epochs of the test set, each with the sound twin."""


def alone(**changes: Any) -> pd.DataFrame:
    """An arm with one run at 90 %, and one with one run at 98 %."""
    frame = runs().iloc[[6, 9]].assign(arm=["gmp", "rigl"])
    return frame.assign(**changes)


def as_errors(change: Callable[[pd.DataFrame], Any]) -> pd.DataFrame:
    """Errors in place of validation accuracies."""
    frame = runs().drop(columns="val_loss")
    frame["val_error"] = 1 - frame.pop("val_accuracy")
    return frame.assign(val_error=change(frame))


SLIPS: dict[str, list[tuple[Slip, Slip]]] = {
    "SPT026": [
        (
            changed(sparsity=reached(lambda target: 1 - target)),
            changed(sparsity=reached(lambda target: target)),
        ),
        # One run in each arm.
        (
            table(alone(sparsity=[0.1, 0.0201])),
            table(alone(sparsity=[0.9, 0.0201])),
        ),
        # A half is its own complement.
        (
            changed(sparsity=reached(lambda target: 1.0004 - target)),
            changed(**{"sparsity.target": 0.5, "sparsity": 0.5, "seed": range(12)}),
        ),
    ],
    "SPT027": [
        (
            changed(test_accuracy=lambda frame: frame["val_accuracy"]),
            changed(),
        ),
        (
            changed(test_loss=lambda frame: frame["val_loss"]),
            # Both at chance: one value is no wonder.
            changed(test_accuracy=0.1, val_accuracy=0.1),
        ),
        (
            table(
                runs().drop(columns="test_accuracy"),
                columns={"val_accuracy": "val_accuracy", "test_accuracy": "val_accuracy"},
            ),
            changed(),
        ),
        (changed(test_score=lambda frame: frame["val_accuracy"]), changed(test_score=0.5)),
    ],
    "SPT028": [
        (
            changed(test_accuracy=at(0.98, "test_accuracy", 0.1)),
            changed(test_accuracy=at(0.98, "test_accuracy", 0.1037)),
        ),
        (
            changed(
                test_accuracy=lambda frame: frame["test_accuracy"].where(
                    frame["sparsity.target"] < 0.98, 0.099 + frame["seed"] / 1000
                )
            ),
            changed(
                test_accuracy=lambda frame: frame["test_accuracy"].where(
                    frame["sparsity.target"] < 0.98, 0.099 + frame["seed"] / 100
                )
            ),
        ),
        (
            table(as_errors(at(0.98, "val_error", 0.9))),
            table(as_errors(at(0.98, "val_error", 0.86))),
        ),
        # Half right is the share of one of two classes, and of many a weak network.
        (
            changed(test_accuracy=at(0.98, "test_accuracy", 0.5)),
            table(
                runs().iloc[[0, 3, 6, 9]].assign(test_accuracy=[0.9, 0.8, 0.7, 0.5]), select="all"
            ),
        ),
        (
            changed(
                test_loss=at(0.98, "test_loss", 2.3026),
                test_accuracy=at(0.98, "test_accuracy", 0.1031),
            ),
            changed(
                test_loss=at(0.98, "test_loss", 2.3026),
                test_accuracy=at(0.98, "test_accuracy", 0.6031),
            ),
        ),
        (changed(val_accuracy=0.0), changed(val_accuracy=at(0.98, "val_accuracy", 0.0))),
    ],
    "SPT029": [
        (table(pasted(*MEASURES)(runs())), table(pasted("test_accuracy", "val_loss")(runs()))),
        (
            table(pd.concat([counted, counted.iloc[1:]], ignore_index=True)),
            table(counted),
        ),
        # With few digits runs may well agree.
        (
            table(pasted(*MEASURES)(runs())),
            table(pasted(*MEASURES)(runs()).round(2)),
        ),
        # One dense run may stand in several arms.
        (
            table(pasted(*MEASURES)(runs())),
            table(
                pd.concat(
                    [runs().assign(arm=arm) for arm in ("gmp", "rigl")], ignore_index=True
                ).query("`sparsity.target` == 0 or arm == 'gmp' or seed < 0")
            ),
        ),
    ],
    "SPT030": [
        (table(history([0.2, 0.9, 0.6, 0.9])), table(history([0.2, 0.6, 0.9, 0.8999]))),
        (
            table(history([0.9, 0.2, 0.9])),
            table(history([0.9, 0.2, 0.9], **{"sparsity.method": "acdc"})),
        ),
        (table(history([0.9, 0.2, 0.9])), table(history([0.9, 0.2, 0.9], arm="AC/DC, ours"))),
    ],
    "SPT031": [
        (outcomes("finished", lost=[4, 5]), outcomes("finished")),
        # A cell without any outcome has no survivors.
        (outcomes("finished", lost=[4]), outcomes("finished", lost=[3, 4, 5])),
        (
            outcomes("finished", "finished", "finished", "finished", "crashed", "finished"),
            outcomes("finished"),
        ),
        (
            outcomes(*["finished"] * 5, "stopped"),
            outcomes(*["finished"] * 3, *["stopped"] * 3),
        ),
        (
            outcomes(*["finished"] * 5, "running", lost=[5]),
            outcomes(*["finished"] * 3, *["running"] * 3, lost=[3, 4, 5]),
        ),
        # Where validation chooses, no configuration with a missing value can win.
        (
            outcomes("finished", lost=[4, 5], y="val_accuracy"),
            outcomes("finished", lost=[3, 4, 5], y="val_accuracy"),
        ),
        # A configuration that has all its values wins over one that has not.
        (
            outcomes(*["finished"] * 5, "crashed", y="val_accuracy"),
            outcomes("finished", lost=[5], y="val_accuracy", **{"optim.lr": [0.1] * 5 + [0.2]}),
        ),
    ],
    "SPT032": [
        (
            counts({0.5: 54, 0.7: 54, 0.8: 54, 0.9: 51, 0.95: 22, 0.98: 1}),
            counts({0.5: 54, 0.7: 54, 0.8: 54, 0.9: 53, 0.95: 54, 0.98: 54}),
        ),
        (
            counts(dict.fromkeys((0.5, 0.9, 0.98), 20), {0.9: 2, 0.98: 15}),
            counts(dict.fromkeys((0.5, 0.9, 0.98), 20), {0.5: 2, 0.9: 1, 0.98: 2}),
        ),
        (counts({0.5: 20, 0.9: 20, 0.98: 4}), counts({0.5: 3, 0.9: 3, 0.98: 2})),
    ],
    "SPT033": [
        (
            table(
                swapped(history([0.9] * 4), "val_accuracy", "val_loss").assign(
                    val_accuracy=lambda frame: frame["val_accuracy"] / 2
                )
            ),
            table(history([0.9] * 4)),
        ),
        (
            table(swapped(runs(), "test_accuracy", "test_loss")),
            changed(),
        ),
        (
            changed(
                **{
                    "sparsity": lambda frame: frame["sparsity.target"],
                    "sparsity.target": reached(lambda target: target - 0.0012345),
                }
            ),
            changed(sparsity=reached(lambda target: target - 0.0012345)),
        ),
    ],
    "SPT034": [
        (with_means(3), with_means(1)),
        (with_means(5), with_means(7)),
        # Half of the values have more digits: then all are such shares.
        (with_means(4), changed(test_accuracy=lambda frame: frame["test_accuracy"] + 1e-5 / 3)),
    ],
    "SPT036": [
        (without_seeds({0.5: 1, 0.9: 0, 0.98: 2}), without_seeds({0.5: 2, 0.9: 2, 0.98: 2})),
        (without_seeds({0.5: 1, 0.9: 0}), without_seeds({0.98: 1})),
        # Seeds of their own, as samplers number them, are no gaps.
        (
            without_seeds({0.5: 1, 0.9: 0}),
            changed(seed=lambda frame: frame.index.to_numpy()),
        ),
    ],
}
