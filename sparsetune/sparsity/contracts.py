"""Contracts of scores, ramps and allocations, as checks that a function keeps them.

What is built in keeps them, and a user's own is checked by them: ramps and allocations before a
study starts, scores in the user's own tests.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence

import torch

from sparsetune.errors import DeclarationError, Problem, first_line
from sparsetune.imports import import_function, is_import_path
from sparsetune.sparsity.layers import Layer
from sparsetune.sparsity.masks.allocation import (
    Allocation,
    LayerGroup,
    allocation_function,
    spared_layers,
)
from sparsetune.sparsity.methods.registry import method_of
from sparsetune.sparsity.plans.ramps import Ramp, ramp_function
from sparsetune.sparsity.scores import Score, ScoreContext, ScoreResult, Tensors
from sparsetune.spec.sparsity import FisherSpec, RampSpec, SparsitySpec

EVEN_FRACTIONS = tuple(index / 100 for index in range(101))
ROUNDING = 1e-12
"""Largest error of a sparsity that counts as rounding."""
RAMPS_TRIED = (RampSpec(), RampSpec(first=0.7))
TARGETS_TRIED = (0.5, 0.9, 0.99)
LAYERS_TRIED = (
    Layer("conv", (16, 3, 3, 3)),
    Layer("wide", (64, 128)),
    Layer("narrow", (5, 1)),
    Layer("head", (10, 64)),
)
SCORE_SPEC = SparsitySpec(method="gmp", target=0.5, fisher=FisherSpec(block=4, gradients=8))


def require(holds: bool, sentence: str) -> None:
    """Raise an AssertionError with a sentence unless it holds; also under ``python -O``."""
    if not holds:
        raise AssertionError(sentence)


def check_ramp(
    ramp: Ramp,
    *,
    declared: Sequence[RampSpec] = RAMPS_TRIED,
    targets: Sequence[float] = TARGETS_TRIED,
    fractions: Sequence[float] = EVEN_FRACTIONS,
) -> None:
    """Check that a ramp rises from its first sparsity to the target and never falls.

    Args:
        ramp: Function of the fraction of the ramp that is done, in [0, 1], its declaration, and the
            target; it returns a sparsity.
        declared: Declarations to try.
        targets: Targets to try, in (0, 1).
        fractions: Fractions to try, in [0, 1]; 0 and 1 are tried in any case.

    Raises:
        AssertionError: with a sentence that says what does not hold, and where.
    """
    for spec in declared:
        for target in targets:
            _check_ramp_to(ramp, spec, target, sorted({0.0, *fractions, 1.0}))


def _check_ramp_to(ramp: Ramp, spec: RampSpec, target: float, fractions: Sequence[float]) -> None:
    """Check one ramp to one target at rising fractions, the first 0 and the last 1."""
    first = min(spec.first, target)
    before = first
    for fraction in fractions:
        value = ramp(fraction, spec, target)
        at = f"{value!r} at {fraction:g} of a ramp from {first:g} to {target:g}"
        is_number = isinstance(value, int | float) and math.isfinite(value)
        require(is_number, f"a ramp must return a finite sparsity, got {at}")
        if fraction == 0:
            starts = math.isclose(value, first, abs_tol=ROUNDING)
            require(starts, f"a ramp must start at its first sparsity, got {at}")
        require(value >= before - ROUNDING, f"a ramp must not fall, got {before!r}, then {at}")
        require(value <= target + ROUNDING, f"a ramp must not exceed its target, got {at}")
        before = value
    reaches = math.isclose(before, target, abs_tol=ROUNDING)
    require(reaches, f"a ramp must end at its target, {target:g}, got {before!r}")


def check_allocation(
    allocation: Allocation,
    *,
    layers: Sequence[Layer] = LAYERS_TRIED,
    specs: Sequence[SparsitySpec] | None = None,
    fractions: Sequence[float] = EVEN_FRACTIONS,
) -> None:
    """Check that an allocation puts each layer in one group and prunes as many weights as asked.

    Args:
        allocation: Function of the layers, a sparsity in [0, 1), and the resolved declaration; it
            returns a list of `LayerGroup`.
        layers: Layers to share the sparsity among, at least one.
        specs: Declarations to try, whose targets are reached; by default three targets under GMP.
        fractions: Fractions of each target to try, in [0, 1]; 0 and 1 are tried in any case.

    Raises:
        AssertionError: with a sentence that says what does not hold, and where.
    """
    if specs is None:
        specs = [SparsitySpec(method="gmp", target=target).resolved() for target in TARGETS_TRIED]
    for spec in specs:
        before: dict[tuple[str, ...], int] = {}
        for fraction in sorted({0.0, *fractions, 1.0}):
            sparsity = spec.target * fraction
            groups = allocation(layers, sparsity, spec)
            _check_groups(groups, layers, sparsity)
            counts = {group.names: group.pruned for group in groups}
            for names, pruned in counts.items():
                fewer = before.get(names, 0)
                require(
                    pruned >= fewer,
                    f"no group may prune fewer weights as the sparsity rises, got {pruned} after"
                    f" {fewer} of {', '.join(names)} at a sparsity of {sparsity:g}",
                )
            same = not before or before.keys() == counts.keys()
            require(same, f"the groups must stay as they are, got others at {sparsity:g}")
            before = counts


def _check_groups(groups: Sequence[LayerGroup], layers: Sequence[Layer], sparsity: float) -> None:
    """Check the groups that an allocation gives at one sparsity."""
    at = f"at a sparsity of {sparsity:g}"
    are_groups = isinstance(groups, list) and all(isinstance(one, LayerGroup) for one in groups)
    require(are_groups, f"an allocation must return a list of LayerGroup, got {groups!r} {at}")
    named = sorted(name for group in groups for name in group.names)
    wanted = sorted(layer.name for layer in layers)
    require(named == wanted, f"each layer must be in one group, got {', '.join(named)} {at}")
    weights = {layer.name: layer.weights for layer in layers}
    for group in groups:
        size = sum(weights[name] for name in group.names)
        fits = isinstance(group.pruned, int) and 0 <= group.pruned <= size
        names = ", ".join(group.names)
        require(fits, f"{names} must prune 0 to {size} weights, got {group.pruned!r} {at}")
    asked = sparsity * sum(weights.values())
    pruned = sum(group.pruned for group in groups)
    require(sparsity > 0 or pruned == 0, f"nothing may be pruned {at}, got {pruned} weights")
    # Each group may round its own count.
    require(
        abs(pruned - asked) <= len(groups) / 2 + 1e-6,
        f"all groups together must prune {asked:.1f} weights, rounded by group, got {pruned} {at}",
    )


def check_score(score: Score, *, spec: SparsitySpec = SCORE_SPEC) -> None:
    """Check that a score gives finite numbers of the weights' shapes and leaves no trace.

    It is called with made weights and gradients, with and without a mask in force.

    Args:
        score: Function of a `ScoreContext`; it returns a `ScoreResult`.
        spec: Declaration that the context holds.

    Raises:
        AssertionError: with a sentence that says what does not hold, and in which layer.
    """
    for masked in (False, True):
        context = made_context(spec, masked=masked)
        weights = {name: weight.clone() for name, weight in context.weights.items()}
        generator = torch.get_rng_state()
        scores = _checked_scores(score, context)
        for name, weight in weights.items():
            unchanged = torch.equal(context.weights[name], weight)
            require(unchanged, f"a score must not change weights, got others in {name}")
        require(
            torch.equal(torch.get_rng_state(), generator),
            "a score must draw from a generator with the context's seed, not from torch's own",
        )
        again = _checked_scores(score, made_context(spec, masked=masked))
        for name, values in scores.items():
            same = torch.equal(values, again[name])
            require(same, f"the same context must give the same scores, got others in {name}")


def _checked_scores(score: Score, context: ScoreContext) -> Tensors:
    result = score(context)
    is_result = isinstance(result, ScoreResult)
    require(is_result, f"a score must return a ScoreResult, got {type(result).__name__}")
    names = list(result.values)
    require(
        sorted(names) == sorted(context.weights),
        f"each layer must have scores: {', '.join(context.weights)}; got {', '.join(names)}",
    )
    scores = result.absolute_values()
    for name, weight in context.weights.items():
        values = scores[name]
        shapes = f"{tuple(weight.shape)}, got {tuple(values.shape)}"
        require(values.shape == weight.shape, f"scores of {name} must have the shape {shapes}")
        require(bool(values.isfinite().all()), f"scores of {name} must be finite")
        require(
            bool((values >= 0).all()),
            f"scores of {name} must be at least 0, unless the result says `absolute=True`",
        )
    return scores


def made_context(
    spec: SparsitySpec = SCORE_SPEC, *, seed: int = 0, masked: bool = True
) -> ScoreContext:
    """Context of two small layers, ``a`` (3, 4) and ``b`` (2, 3), with random gradients.

    Args:
        spec: Declaration that it holds.
        seed: Seed of the context and of the gradients; weights stay the same.
        masked: Half the weights of ``a`` are outside the mask in force; else there is none.
    """
    generator = torch.Generator().manual_seed(0)
    weights = {
        "a": torch.randn(3, 4, generator=generator),
        "b": torch.randn(2, 3, generator=generator),
    }
    masks = {}
    if masked:
        masks["a"] = torch.arange(12).view(3, 4) % 2 == 0
        masks["b"] = torch.ones(2, 3, dtype=torch.bool)
        weights["a"] *= masks["a"]

    def gradients(batches: int, batch_size: int | None, training: bool) -> Iterator[Tensors]:
        drawn = torch.Generator().manual_seed(seed)
        for _ in range(batches):
            yield {
                name: torch.randn(weight.shape, generator=drawn) for name, weight in weights.items()
            }

    return ScoreContext(weights, masks, spec.resolved(), seed, gradients)


def own_function_problems(given: SparsitySpec) -> list[Problem]:
    """Problems of a user's own score and ramp, which are imported; empty without.

    The ramp is tried with its declaration and target. A score is not: it may need the network's own
    layers.
    """
    spec = given.resolved()
    found = []
    fields = method_of(spec.method).fields
    if "score" in fields and is_import_path(spec.score or ""):
        found += _problems_of("sparsity.score", lambda: _import_score(spec.score or ""))
    if "ramp" in fields and is_import_path(spec.ramp.shape):
        found += _problems_of("sparsity.ramp.shape", lambda: _try_ramp(spec))
    return found


def own_allocation_problems(layers: Sequence[Layer], spec: SparsitySpec) -> list[Problem]:
    """Problems of a user's own allocation with a network's layers; empty without one.

    Args:
        layers: All prunable layers.
        spec: Resolved declaration.
    """
    fields = method_of(spec.method).fields
    if "allocation" not in fields or not is_import_path(spec.allocation or ""):
        return []
    spared = spared_layers(layers, spec)
    others = [layer for layer in layers if layer not in spared]

    def try_allocation() -> None:
        check_allocation(allocation_function(spec.allocation), layers=others, specs=[spec])

    return _problems_of("sparsity.allocation", try_allocation)


def _import_score(path: str) -> None:
    score = import_function(path, "sparsity.score")
    try:
        inspect.signature(score).bind(...)
    except TypeError as error:
        raise AssertionError(f"a score must take one argument, a ScoreContext ({error})") from error


def _try_ramp(spec: SparsitySpec) -> None:
    check_ramp(ramp_function(spec.ramp.shape), declared=[spec.ramp], targets=[spec.target])


def _problems_of(field: str, trial: Callable[[], object]) -> list[Problem]:
    """Problem of a function of the user's, if a trial of it fails in any way."""
    try:
        trial()
    except DeclarationError as error:
        return error.problems
    except AssertionError as error:
        return [Problem(field, str(error))]
    except Exception as error:  # a user's function may raise anything
        cause = f"{type(error).__name__}: {first_line(error)}"
        return [Problem(field, f"the function must not raise ({cause})")]
    return []
