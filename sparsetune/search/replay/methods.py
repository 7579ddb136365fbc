"""Searches as they are named on a command line: sampler, number of configurations, stopping rule.

``gp:16+asha:3`` is a search of 16 configurations that a Gaussian process proposes, stopped by ASHA
with a reduction of 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import NamedTuple

from sparsetune.errors import DeclarationError, Problem
from sparsetune.search.replay.clock import SchedulerFactory, build_halving
from sparsetune.search.replay.searches import SearchMethod
from sparsetune.study.samplers import GP, MIN_GP_CONFIGURATIONS, Sampler, Sobol
from sparsetune.study.stopping import EARLY_HALVING, Halving

SAMPLERS: Mapping[str, Sampler] = {"sobol": Sobol(), "gp": GP()}
"""Samplers by name. ``sobol`` takes configurations in the order in which they were recorded."""
ONE_EPOCH = "epoch"
"""Name of the rule that judges all configurations at one fraction of training."""
WHOLE = "sobol"
"""The search that others are compared with: every configuration, trained to its end."""
DEFAULT_METHODS = (
    WHOLE,
    "sobol:1/2",
    "sobol:1/4",
    "epoch:1/3",
    "epoch:2/3",
    *(f"{rule}:{eta}" for rule in ("asha", "hyperband") for eta in (2, 3, 4)),
    "median",
    "halving",
    "early",
)
"""What is compared unless methods are named."""
DEFAULT_GP_METHODS = ("gp:{}", "gp:{}+halving", "gp:{}+early")
"""What is compared too where the record gives the process a choice."""
GP_CHOICE = 1.5
"""Recorded configurations for each that `GP` proposes by default: it chooses among the recorded."""


class StoppingRule(NamedTuple):
    """A stopping rule that a method may name.

    Args:
        build: Makes its scheduler, given a reduction if the rule has one.
        reduction: The reduction unless one is named; None for a rule without one.
        words: What it is, for labels.
    """

    build: Callable[..., SchedulerFactory]
    reduction: float | None
    words: str


def _halving(rule: Halving, reduction: float) -> SchedulerFactory:
    return partial(build_halving, rule=rule.model_copy(update={"reduction": reduction}))


OWN_RULES: Mapping[str, StoppingRule] = {
    "halving": StoppingRule(partial(_halving, Halving()), Halving().reduction, "halving at target"),
    "early": StoppingRule(
        partial(_halving, EARLY_HALVING), EARLY_HALVING.reduction, "early halving"
    ),
}
"""Stopping rules of this project by name."""


class NamedSearch(NamedTuple):
    """A search and what it is called.

    Args:
        method: The search; its name is the text that names it.
        words: A label for people, such as ``GP 16, early halving``.
    """

    method: SearchMethod
    words: str


class _MethodError(ValueError):
    """One thing that is wrong with the text of a method."""


def default_methods(size: int, recorded: int) -> list[str]:
    """Texts of the methods that are compared unless some are named.

    Args:
        size: Configurations of the whole search.
        recorded: Configurations that the record has.
    """
    count = max(MIN_GP_CONFIGURATIONS, size // 2)
    has_choice = count <= size and recorded >= GP_CHOICE * count
    by_process = [text.format(count) for text in DEFAULT_GP_METHODS] if has_choice else []
    return [*DEFAULT_METHODS, *by_process]


def parse_methods(
    texts: Sequence[str], rules: Mapping[str, StoppingRule], size: int
) -> list[NamedSearch]:
    """Searches from their texts, each ``SAMPLER[:COUNT][+RULE[:NUMBER]]``.

    A rule alone stops the whole recorded sequence. The count is a number of configurations, or a
    fraction of all; the number of `ONE_EPOCH` is a fraction of training, that of other rules their
    reduction.

    Args:
        texts: One for each search.
        rules: Stopping rules by name.
        size: Configurations of the whole search.

    Raises:
        DeclarationError: naming everything that is wrong.
    """
    problems = []
    found = []
    for text in dict.fromkeys(texts):
        try:
            found.append(_parse(text, rules, size))
        except _MethodError as error:
            problems.append(Problem("methods", str(error), repr(text)))
    if problems:
        raise DeclarationError(problems, "--methods")
    return found


def _parse(text: str, rules: Mapping[str, StoppingRule], size: int) -> NamedSearch:
    first, plus, second = text.partition("+")
    is_rule_alone = first.partition(":")[0] not in SAMPLERS and not plus
    proposal, stopping = (WHOLE, first) if is_rule_alone else (first, second)
    sampler, _, count_text = proposal.partition(":")
    rule, _, number = stopping.partition(":")
    rule_names = (ONE_EPOCH, *rules)
    if sampler not in SAMPLERS:
        raise _MethodError(f"samplers are {', '.join(SAMPLERS)}")
    if (rule or plus or is_rule_alone) and rule not in rule_names:
        names = ", ".join(rule_names)
        others = f"; samplers are {', '.join(SAMPLERS)}" if is_rule_alone else ""
        raise _MethodError(f"stopping rules are {names}{others}")
    count = _count(count_text, size) if ":" in proposal else size
    name = str(count) if sampler == "sobol" else f"GP {count}"
    method = SearchMethod(text, SAMPLERS[sampler], count)
    if not rule:
        return NamedSearch(method, f"{name} whole")
    start = "" if count == size and sampler == "sobol" else f"{name}, "
    if rule == ONE_EPOCH:
        if sampler != "sobol":
            raise _MethodError(f"{ONE_EPOCH} follows the recorded sequence: write sobol")
        fraction = _fraction(number)
        words = _capital(f"{start}all to {fraction}")
        return NamedSearch(method._replace(fraction=float(fraction)), words)
    scheduler, words = _scheduler(rules[rule], rule, number, ":" in stopping)
    return NamedSearch(method._replace(scheduler=scheduler), _capital(f"{start}{words}"))


def _scheduler(
    rule: StoppingRule, name: str, number: str, is_numbered: bool
) -> tuple[SchedulerFactory, str]:
    """Factory of a rule's schedulers, and the rule in words."""
    if rule.reduction is None:
        if is_numbered:
            raise _MethodError(f"{name} takes no number")
        return rule.build(), rule.words
    if not is_numbered:
        return rule.build(rule.reduction), rule.words
    reduction = _number(number)
    if reduction is None or reduction <= 1:
        raise _MethodError(f"the reduction of {name} must be a number greater than 1")
    return rule.build(float(reduction)), f"{rule.words} {float(reduction):g}"


def _count(text: str, size: int) -> int:
    """A number of configurations, or a fraction of all that a search has, rounded."""
    number = _number(text)
    if number is not None and "/" in text and number <= 1:
        number = Fraction(max(1, round(number * size)))
    if number is None or number.denominator != 1 or not 1 <= number <= size:
        raise _MethodError(
            f"the number of configurations must be whole, from 1 to {size}, or a fraction of"
            " them such as 1/2"
        )
    return int(number)


def _fraction(text: str) -> Fraction:
    number = _number(text)
    if number is None or not 0 < number < 1:
        raise _MethodError(
            f"{ONE_EPOCH} needs a fraction of training between 0 and 1, such as {ONE_EPOCH}:1/3"
        )
    return number


def _number(text: str) -> Fraction | None:
    """A positive number such as ``3``, ``0.5`` or ``1/3``; None if it is none."""
    try:
        number = Fraction(text)
    except (ValueError, ZeroDivisionError):
        return None
    return number if number > 0 else None


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
