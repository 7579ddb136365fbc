"""Initialisation of a user's network: drawn for each seed, the same at equal ones, or declared."""

from __future__ import annotations

import hashlib
import sys
import types
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sparsetune.errors import DataError, DeclarationError, Problem
from sparsetune.imports import is_import_path
from sparsetune.seeds import GeneratorStates, derived_seed, seeded_generators
from sparsetune.spec.task import TaskSpec
from sparsetune.tasks.kinds import network_of
from sparsetune.tasks.network import Network
from sparsetune.tasks.weights import fitting_weights
from sparsetune.train.process_state import restored_process_state

FIXED = "fixed"
TRIED_SEEDS = (0, 1)
"""Seeds of two trials whose initialisations are compared."""
LOADING_FUNCTIONS = frozenset({"load_state_dict", "from_pretrained", "load_file", "load_model"})
"""Names of functions that put trained weights into a network or read them."""
LOADING_CODE = (torch.load.__code__, np.load.__code__)
"""Those whose names others have too."""
MAX_NAMED = 3


def initialisation_seed(task: TaskSpec, seed: int) -> int:
    """Seed of the global generators while the network of a trial is built.

    Args:
        task: The trial's task.
        seed: The trial's seed.
    """
    return derived_seed(0 if task.initialisation == FIXED else seed, "initialisation")


@dataclass(frozen=True)
class Initialisation:
    """What a network looked like when it was built.

    Args:
        weights: Digest of each parameter and buffer, by name.
        parameters: Names of the parameters.
        constant: Names of the tensors whose numbers are all equal.
        left: Global generators as the network left them.
        loaded: True if a function ran that loads trained weights.
    """

    weights: dict[str, str]
    parameters: frozenset[str]
    constant: frozenset[str]
    left: GeneratorStates
    loaded: bool


def initialisation_problems(task: TaskSpec, data_root: Path | None = None) -> list[Problem]:
    """Problems of how a user's own network is initialised; an empty list for a built-in one.

    It is built three times, one after the other, on the CPU.

    Args:
        task: The task, with the sizes of its data.
        data_root: Folder that data sets lie in.
    """
    if not is_import_path(task.model):
        return []
    network = network_of(task, data_root)
    try:
        given = _given_weights(task, network, data_root)
        first = _build(network, initialisation_seed(task, TRIED_SEEDS[0]))
        again = _build(network, initialisation_seed(task, TRIED_SEEDS[0]))
        if differing := _names(first.weights, again.weights, equal=False):
            return [_problem(task, UNREPEATABLE_RULE, f"other values in {_list(differing)}")]
        if task.initialisation == FIXED:
            return []
        other = _build(network, initialisation_seed(task, TRIED_SEEDS[1]))
    except DeclarationError as error:
        return error.problems
    except DataError as error:
        return [Problem("task.weights", str(error))]
    except Exception as error:  # the user's function may raise anything
        rule = f"must build a network ({type(error).__name__}: {error})"
        return [Problem("task.model", rule, repr(task.model))]
    drawn = first.parameters - given
    same = drawn.intersection(_names(first.weights, other.weights, equal=True))
    # What is constant, as in a normalisation, is no sign of a seed that was set.
    reset = first.left.equal_to(other.left)
    suspicious = same - first.constant
    # A loaded body is the same everywhere, under whatever seed, where the head is not.
    if reset and suspicious and not (first.loaded and same < drawn):
        return [_problem(task, RESEEDED_RULE, f"the same {_list(suspicious)} at every seed")]
    if drawn and same == drawn and not first.loaded:
        return [_problem(task, SAME_RULE, f"the same {_list(same)} at every seed")]
    return []


REMEDY = 'or declare `task.initialisation="fixed"`, if all seeds are meant to share one'
RESEEDED_RULE = (
    "must leave the seeds of random generators alone, or trials of different seeds share their"
    f" initialisation: remove what seeds them (`torch.manual_seed(…)`), {REMEDY}"
)
SAME_RULE = (
    "must draw other weights at another seed: draw them from the global generators of torch, numpy"
    f" or Python, which are seeded for each trial, {REMEDY}"
)
UNREPEATABLE_RULE = (
    "must draw the same weights at the same seed, or no trial can be repeated: draw them from the"
    " global generators of torch, numpy or Python, which are seeded for each trial, not from a"
    " generator of its own, the time or the process"
)


def _problem(task: TaskSpec, rule: str, got: str) -> Problem:
    return Problem("task.model", rule, f"{got}, from {task.model!r}", "first_launch")


def _given_weights(task: TaskSpec, network: Network, data_root: Path | None) -> set[str]:
    """Names of the tensors that `task.weights` replaces."""
    if task.weights is None:
        return set()
    return set(fitting_weights(network.meta(), task.weights, data_root))


def _build(network: Network, seed: int) -> Initialisation:
    """Build the network once; global generators are as before afterwards."""
    with restored_process_state(), seeded_generators(seed):
        with _noticing_loads() as loads:
            model = network.build()
        left = GeneratorStates.now()
    tensors = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    parameters = frozenset(name for name, _ in model.named_parameters())
    constant = frozenset(name for name, tensor in tensors.items() if _is_constant(tensor))
    digests = {name: _digest(tensor) for name, tensor in tensors.items()}
    return Initialisation(digests, parameters, constant, left, bool(loads))


def _is_constant(tensor: torch.Tensor) -> bool:
    return bool((tensor == tensor.flatten()[:1]).all())


def _digest(tensor: torch.Tensor) -> str:
    content = tensor.contiguous().view(-1).view(torch.uint8)
    return hashlib.sha256(content.numpy().data).hexdigest()


@contextmanager
def _noticing_loads() -> Iterator[list[str]]:
    """Names of the functions that load weights which ran in this thread while it is open."""
    seen: list[str] = []
    earlier = sys.getprofile()

    def notice(frame: types.FrameType, event: str, argument: Any) -> None:
        if event == "call":
            code = frame.f_code
            if code.co_name in LOADING_FUNCTIONS or code in LOADING_CODE:
                seen.append(code.co_name)

    sys.setprofile(notice)
    try:
        yield seen
    finally:
        sys.setprofile(earlier)


def _names(first: dict[str, str], second: dict[str, str], *, equal: bool) -> list[str]:
    """Names of tensors that both have with equal, or with different, values."""
    if first.keys() != second.keys():
        # Of another structure, nothing is equal.
        return [] if equal else sorted(first.keys() ^ second.keys())
    return [name for name in first if (first[name] == second[name]) is equal]


def _list(found: Collection[str]) -> str:
    names = sorted(found)
    rest = len(names) - MAX_NAMED
    listed = ", ".join(f"`{name}`" for name in names[:MAX_NAMED])
    return f"{listed} and {rest} more" if rest > 0 else listed
