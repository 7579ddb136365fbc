"""Scenarios: what is true, what is drawn from it, and how far reports may err."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from tests.answers.simulation.generator import Floats, World, draw
from tests.answers.simulation.rates import Rates, Study, rates, reports_of
from tests.answers.simulation.searched import searched
from tests.answers.simulation.settling import settled_report
from tests.answers.simulation.truths import at_margin, gains, mixed, nothing, one_true

Truth = Callable[[np.random.Generator, float], Floats]
"""Accuracies of all runs, from a source of numbers and the margin."""

MAX_ERROR = 0.06
MAX_ERROR_WITH_LOOKS = 0.07
STAGES = 4
"""Reports of one study with looks: each adds the seeds that the last one advised."""
MAX_SEEDS = 12


@dataclass(frozen=True)
class Scenario:
    """One line of the table.

    Args:
        name: What is true and what varies, in words.
        world: What studies draw from.
        truth: Accuracies, or None for winners of searches.
        stages: Number of reports at most.
        gain: Gain of each doubling where runs are winners of searches.
        moves: Whether the best recipe moves with sparsity there.
        until_settled: Whether seeds double from 3 to 12 where an answer is open.
    """

    name: str
    world: World
    truth: Truth | None = None
    stages: int = 1
    gain: float = 0.0
    moves: bool = False
    until_settled: bool = False

    def study(self, rng: np.random.Generator) -> Study:
        """Draw one study."""
        world = self.world
        first = world.seeds
        if self.stages > 1 or self.until_settled:
            world = replace(world, seeds=MAX_SEEDS)
        if self.truth is not None:
            drawn = draw(world, self.truth(rng, world.margin), rng)
            return Study(drawn, world.margin, first)
        found = searched(rng, self.gain, moves=self.moves)
        drawn = draw(world, found.found, rng, found.same)
        return Study(drawn, world.margin, first, found.best)

    def rates(self, draws: int, seed: int = 0) -> Rates:
        """Error rates over so many draws."""
        report = settled_report if self.until_settled else partial(reports_of, stages=self.stages)
        return rates(self.study, draws, report, seed)

    @property
    def max_error(self) -> float:
        """Rate of reports with a false answer that is allowed."""
        return MAX_ERROR if self.stages == 1 else MAX_ERROR_WITH_LOOKS


EQUAL = World(spreads=(0.002, 0.002, 0.002, 0.002), is_heavy=False)
"""Everything as the bounds assume it: normal, one spread."""
NORMAL = World(is_heavy=False)
"""Spreads from 0.1 to 1 point."""
HEAVY = World()
"""The same with heavy tails."""
ROUGH = World(within=1.5, missing=0.05)
"""The same, with unequal spreads within a sparsity too, and runs and cells missing."""
PRECISE = World(spreads=(0.0002, 0.0003, 0.0004, 0.0006), dense_spread=0.0002, is_heavy=False)
"""Spreads small enough that most contrasts are settled: where a false answer is most likely."""
TESTED = World(examples=360, margin=0.02)
"""Right and wrong answers on 360 test examples."""
COLLAPSING = replace(PRECISE, seeds=5, collapsing=0.03)

NULLS = (
    Scenario("nothing, one spread", EQUAL, nothing),
    Scenario("nothing, 2 seeds", replace(NORMAL, seeds=2), nothing),
    Scenario("nothing, normal", NORMAL, nothing),
    Scenario("nothing, heavy tails", HEAVY, nothing),
    Scenario("nothing, heavy, rough, missing", ROUGH, nothing),
    Scenario("nothing, 10 seeds, rough", replace(ROUGH, seeds=10), nothing),
    Scenario("nothing, precise", PRECISE, nothing),
    Scenario("nothing, 360 test examples", TESTED, nothing),
    Scenario("nothing, 360 test examples, 2 seeds", replace(TESTED, seeds=2), nothing),
    Scenario("nothing, 872 test examples", replace(TESTED, examples=872, seeds=5), nothing),
)
MARGINS = (
    Scenario("at the margin, one spread", EQUAL, at_margin),
    Scenario("at the margin, heavy, rough, missing", ROUGH, at_margin),
    Scenario("at the margin, precise", PRECISE, at_margin),
    Scenario("at the margin, precise, 2 seeds", replace(PRECISE, seeds=2), at_margin),
    Scenario("at the margin, precise, 10 seeds", replace(PRECISE, seeds=10), at_margin),
    Scenario("at the margin, 360 test examples", TESTED, at_margin),
)
MIXTURES = (
    Scenario("mixed effects, rough", ROUGH, mixed),
    Scenario("mixed effects, precise", PRECISE, mixed),
    Scenario("mixed effects, 872 test examples", replace(TESTED, examples=872), mixed),
    Scenario("one true effect, rough", ROUGH, one_true),
    Scenario("mixed effects, precise, 3 % of runs collapse", COLLAPSING, mixed),
)
SEARCHES = (
    Scenario("searched, nothing", HEAVY),
    Scenario("searched, nothing, precise", PRECISE),
    Scenario("searched, gains, best recipe moves", ROUGH, gain=0.01, moves=True),
)
LOOKS = (
    Scenario("looks: nothing, normal", NORMAL, nothing, STAGES),
    Scenario("looks: nothing, precise", PRECISE, nothing, STAGES),
    Scenario("looks: nothing, heavy, rough", ROUGH, nothing, STAGES),
    Scenario("looks: at the margin, precise", PRECISE, at_margin, STAGES),
    Scenario("looks: mixed effects, rough", ROUGH, mixed, STAGES),
    Scenario("looks: searched, nothing", HEAVY, None, STAGES),
)
SETTLED = (
    Scenario("until settled: nothing, normal", NORMAL, nothing, until_settled=True),
    Scenario("until settled: nothing, precise", PRECISE, nothing, until_settled=True),
    Scenario("until settled: nothing, heavy, rough", ROUGH, nothing, until_settled=True),
    Scenario("until settled: at the margin, precise", PRECISE, at_margin, until_settled=True),
    Scenario("until settled: mixed effects, rough", ROUGH, mixed, until_settled=True),
)
ERRORS = (*NULLS, *MARGINS, *MIXTURES, *SEARCHES, *LOOKS, *SETTLED)
"""Every scenario whose error rate is bounded."""


def power_scenarios() -> dict[tuple[float, float, int], Scenario]:
    """Scenarios of power, by gain, spread over seeds and number of seeds."""
    found = {}
    for gain in (0.005, 0.01, 0.02):
        for spread in (0.002, 0.003, 0.005):
            for seeds in (3, 5):
                world = World(
                    spreads=(spread, spread, spread, spread), dense_spread=spread / 2, seeds=seeds
                )
                name = f"{100 * gain:g} points, sd {100 * spread:g}, n = {seeds}"
                found[gain, spread, seeds] = Scenario(name, world, gains(gain))
    return found
