"""The simulation's results as the tables of docs/answers/simulation.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.answers.simulation.coverage import (
    SEEDS,
    SPREADS,
    TEST_SETS,
    collapsing_coverage,
    coverage,
)
from tests.answers.simulation.rates import Rates
from tests.answers.simulation.scenarios import ERRORS, Scenario, power_scenarios
from tests.answers.simulation.sequence import compare
from tests.answers.simulation.settling import DECLARED, GAINS, SHARES, stopping

DRAWS = 2_000
COLLAPSE_RATES = (0.02, 0.1)
SEQUENCE_CONTRASTS = (2, 4, 8)


def lines(draws: int = DRAWS) -> Iterator[str]:
    """Every line of the tables, each as soon as it is known."""
    yield from error_lines(draws)
    yield from power_lines(draws)
    yield from coverage_lines(draws)
    yield from collapse_lines(draws)
    yield from sequence_lines()
    yield from settling_lines()


def error_lines(draws: int) -> Iterator[str]:
    """Reports with a false answer, scenario by scenario."""
    yield from _head(
        "Reports with a false answer",
        ("scenario", "false yes", "false no", "either", "allowed", "of the optima", "settled", "n"),
    )
    for scenario in ERRORS:
        yield error_line(scenario, scenario.rates(draws))


def error_line(scenario: Scenario, found: Rates) -> str:
    """One scenario's line."""
    missed = _percent(found.missed_optimum) if scenario.truth is None else ""
    return _row(
        (
            scenario.name,
            _percent(found.false_yes),
            _percent(found.false_no),
            _percent(found.either),
            f"{100 * scenario.max_error:.0f} %",
            missed,
            f"{100 * found.settled:.0f} %",
            f"{found.seeds:.1f}",
        )
    )


def power_lines(draws: int) -> Iterator[str]:
    """Contrasts answered "yes", where every effect is the same."""
    yield from _head(
        "Contrasts answered yes",
        ("gain, points", "sd, points", "n", "primary contrasts", "all contrasts", "settled"),
    )
    for (gain, spread, seeds), scenario in power_scenarios().items():
        found = scenario.rates(draws)
        yield _row(
            (
                f"{100 * gain:g}",
                f"{100 * spread:g}",
                f"{seeds}",
                f"{100 * found.primary_yes:.0f} %",
                f"{100 * found.yes:.0f} %",
                f"{100 * found.settled:.0f} %",
            )
        )


def coverage_lines(draws: int) -> Iterator[str]:
    """Coverage of 95 % intervals over seeds and test examples."""
    yield from _head(
        "Coverage of 95 % intervals for the gap in the population",
        ("test examples", "n", "sd, points", "covered", "width, points", "by seeds alone"),
    )
    for n_examples in TEST_SETS:
        for seeds in SEEDS:
            for spread in SPREADS:
                found = coverage(n_examples, seeds, spread, draws)
                yield _row(
                    (
                        f"{n_examples:,}",
                        f"{seeds}",
                        f"{100 * spread:g}",
                        _percent(found.covered),
                        f"{100 * found.width:.2f}",
                        _percent(found.by_seeds),
                    )
                )


def collapse_lines(draws: int) -> Iterator[str]:
    """Coverage of 95 % intervals where runs collapse."""
    yield from _head(
        "Coverage of 95 % intervals where runs collapse",
        ("rate of collapses", "n", "mean of all runs", "mean of the rest", "rate"),
    )
    for rate in COLLAPSE_RATES:
        for seeds in SEEDS[1:]:
            found = collapsing_coverage(rate, seeds, draws)
            yield _row(
                (
                    f"{100 * rate:g} %",
                    f"{seeds}",
                    _percent(found.of_all),
                    _percent(found.of_rest),
                    _percent(found.of_rate),
                )
            )


def sequence_lines() -> Iterator[str]:
    """The fixed sequence beside Bonferroni."""
    yield from _head(
        "Reports with a false yes where nothing is there",
        ("sparsities", "fixed sequence", "Bonferroni"),
    )
    for contrasts in SEQUENCE_CONTRASTS:
        found = compare(contrasts)
        yield _row((f"{contrasts}", _percent(found.sequence), _percent(found.bonferroni)))


def settling_lines() -> Iterator[str]:
    """What looks at 3, 6 and 12 seeds give for one contrast, beside 12 seeds at once."""
    yield from _head(
        "One answer, with looks at 3, 6 and 12 seeds beside 12 seeds at once",
        (
            "true gain, sd",
            "of the level",
            "yes",
            "no",
            "seeds",
            "bias, sd",
            "of answers",
            "12 at once: yes",
            "no",
        ),
    )
    for name, share in SHARES.items():
        for gain in GAINS:
            found = stopping(gain, share)
            fixed = stopping(gain, share, DECLARED[-1:])
            yield _row(
                (
                    f"{gain:g}",
                    name,
                    _percent(found.yes),
                    _percent(found.no),
                    f"{found.seeds:.1f}",
                    f"{found.bias:+.2f}",
                    f"{found.settled_bias:+.2f}",
                    _percent(fixed.yes),
                    _percent(fixed.no),
                )
            )


def _head(title: str, columns: Sequence[str]) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""
    yield _row(columns)
    yield "|" + "---|" * len(columns)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
