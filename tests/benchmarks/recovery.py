"""Do the analyses find what is there, and only that? Rates over simulated studies whose truth is
known.

    uv run python -m tests.benchmarks.recovery [--draws 200] [--json FILE]

Each draw is a study directory of 60 trials (three report seeds in every cell of five sparsities and
four lengths) or of some 90 (a search of 23 learning rates in each of three sparsities), written as
a launch writes it, read with `analysis.load`. 200 draws take some 10 minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

import analysis
from analysis.lengths.needed import epochs_needed
from analysis.lengths.verdicts import undertraining
from tests.analysis.planted import LENGTHS, LINES, Planted, Truth, lengths_study, rates_study

SATED = dict.fromkeys((0.0, 0.9, 0.98), "sated")
SHIFT = 0.6
"""Decades by which the planted optimum moves from dense to 98 %."""

Found = dict[str, float]
"""What one draw says: 1 where the event of that name happened, 0 where not; rates are their means.
"""


def lengths_draw(draw: int, lines: bool = True) -> Found:
    """One study of training lengths: each planted line with what it was judged, or with nothing
    planted.
    """
    truth = Truth(LINES if lines else dict.fromkeys(LINES, "sated"))
    with tempfile.TemporaryDirectory() as folder:
        path = Planted(lengths_study(truth.lines), Path(folder) / "study", truth, draw).run()
        results = analysis.load(path)
        judged = undertraining(results).frame().dropna(subset="gain_low")
        needed = epochs_needed(results).frame().set_index("sparsity")
    if not lines:
        called = judged["verdict"].isin(["under-trained", "over-trained"])
        return {"a cell is called under- or over-trained, nothing planted": float(called.mean())}
    return dict(_of_lines(judged, needed))


def _of_lines(judged: pd.DataFrame, needed: pd.DataFrame) -> Iterator[tuple[str, float]]:
    verdict = judged.set_index(["sparsity", "epochs"])["verdict"]
    hungry, limited, over = (
        next(s for s, kind in LINES.items() if kind == k) for k in ("hungry", "limited", "over")
    )
    for length, longer in itertools.pairwise(LENGTHS):
        gain = 100 * (
            Truth(LINES).error(hungry, length, 0.1) - Truth(LINES).error(hungry, longer, 0.1)
        )
        name = f"under-trained where {longer} epochs gain {gain:.2g} points"
        yield name, float(verdict[hungry, length] == "under-trained")
    yield (
        "over-trained where a doubling loses 1.2 points",
        float((verdict[over] == "over-trained").mean()),
    )
    yield "under-trained at the capacity limit", float((verdict[limited] == "under-trained").mean())
    yield (
        "a hungry network needs the longest training",
        float(needed.at[hungry, "epochs"] == LENGTHS[-1]),
    )
    sated = needed.loc[0.8]
    yield (
        "the interval of a sated network's needs holds the shortest",
        float(sated["low"] <= LENGTHS[0]),
    )


def rates_draw(draw: int, shift: float = SHIFT) -> Found:
    """One study of learning rates: whether the shift from dense to 98 % was seen, and its interval
    holds the truth.
    """
    truth = Truth(SATED, shift)
    with tempfile.TemporaryDirectory() as folder:
        path = Planted(rates_study(), Path(folder) / "study", truth, draw).run()
        best = analysis.optima(analysis.load(path))
        shifts = best.shifts("optim.lr")
        places = best.frame().set_index("sparsity.target")
    if not shift:
        claimed = shifts["verdict"].str.contains("higher|lower").any()
        return {"a shift is claimed anywhere in a study, nothing planted": float(claimed)}
    far = shifts[shifts["to"] == 0.98].iloc[0]
    held = [places.at[s, "low"] <= truth.best_lr(s) <= places.at[s, "high"] for s in SATED]
    return {
        f"the optimum at 98 % is seen {10**shift:.1f} times higher": float(
            "higher" in far["verdict"]
        ),
        "the interval of the shift holds the truth": float(far["low"] <= 10**shift <= far["high"]),
        "the interval of an optimum holds the truth": sum(held) / len(held),
    }


def draws(count: int) -> Iterator[list[Found]]:
    """Every kind of study, drawn ``count`` times, in two processes."""
    kinds: list[Callable[[int], Found]] = [lengths_draw, rates_draw]
    kinds += [partial(lengths_draw, lines=False), partial(rates_draw, shift=0.0)]
    with ProcessPoolExecutor(2) as pool:
        for kind in kinds:
            yield list(pool.map(kind, range(count), chunksize=5))


def rates(found: list[Found]) -> dict[str, tuple[float, float]]:
    """Of each event, its rate over the draws, and the rate's standard error."""
    table = pd.DataFrame(found)
    return {
        str(name): (float(x.mean()), float(x.std() / math.sqrt(len(x))))
        for name, x in table.items()
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--json", type=Path)
    parsed = parser.parse_args()
    everything: dict[str, tuple[float, float]] = {}
    table = Table(
        "event", "rate", "standard error", title=f"Over {parsed.draws} simulated studies each"
    )
    for found in draws(parsed.draws):
        for name, (rate, error) in rates(found).items():
            table.add_row(name, f"{100 * rate:.1f} %", f"{100 * error:.1f}")
            everything[name] = rate, error
    Console().print(table)
    if parsed.json:
        parsed.json.write_text(json.dumps({"draws": parsed.draws, "rates": everything}, indent=1))


if __name__ == "__main__":
    main()
