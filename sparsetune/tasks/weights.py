"""Trained weights to start from: a local file whose name says its bytes, as those of `torch.hub` do.

A name such as ``resnet50-11ad3fa6.pth`` ends in digits of the file's SHA-256, so that a declaration that holds it names
the weights themselves. Give it without a folder, and the declaration is the same on every machine.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TypeGuard

import torch
from safetensors.torch import load_file as tensors
from torch import nn

from sparsetune.errors import DataError
from sparsetune.tasks.data_roots import given_root

WEIGHT_SUFFIXES = (".pth", ".pt", ".safetensors")
NESTED_STATE_KEYS = ("state_dict", "model")
"""Where a training script's checkpoint keeps the network's weights."""
LEAST_DIGITS = 8
MAX_NAMED_KEYS = 5
"""How many keys an error names."""

State = dict[str, torch.Tensor]


def load_weights(model: nn.Module, name: str, data_root: Path | None = None) -> None:
    """Put trained weights into a freshly drawn network, in place, in its own types and on its own device.

    The head, which is the weight and bias of the network's last `torch.nn.Linear`, stays as drawn when, and only when,
    the file's has another number of outputs. A batch-norm's count of batches may be missing, as in older files.

    Args:
        model: On any device but ``meta``.
        name: ``task.weights``, as `weights_file` looks for it.
        data_root: The folder that data sets lie in; by default ``$SPARSETUNE_DATA``.

    Raises:
        DataError: in one line, if the file is missing, torn, not what its name says, or of another network.
    """
    state = fitting_weights(model, name, data_root)
    own = model.state_dict()
    with torch.no_grad():
        for (
            key,
            tensor,
        ) in (
            state.items()
        ):  # `load_state_dict` of some networks asks for a version, which files may lack
            own[key].copy_(tensor)


def fitting_weights(model: nn.Module, name: str, data_root: Path | None = None) -> State:
    """What `load_weights` puts into a network, by key; the network may be on the meta device, and stays as it is.

    Raises:
        DataError: as `load_weights` does.
    """
    path = weights_file(name, data_root)
    state = _read_state(path)
    own = model.state_dict()
    kept = _mismatched_head(model, state)
    faults = {
        "missing": [
            key for key in own if key not in state and not key.endswith("num_batches_tracked")
        ],
        "unexpected": [key for key in state if key not in own],
        "misshapen": [
            f"{key} {tuple(state[key].shape)} for {tuple(own[key].shape)}"
            for key in own
            if key in state and key not in kept and state[key].shape != own[key].shape
        ],
    }
    if any(faults.values()):
        got = "; ".join(f"{fault} {_list_keys(keys)}" for fault, keys in faults.items() if keys)
        raise DataError(
            f"`{path}` must hold the weights of the task's model, got {got}; set `task.model` to theirs"
        )
    return {key: tensor for key, tensor in state.items() if key not in kept}


def weights_file(name: str, data_root: Path | None = None) -> Path:
    """The file of that name: a path, or in the data root, its ``weights/``, or where `torch.hub` downloads to.

    Raises:
        DataError: if there is none, or its name does not end in digits of its SHA-256.
    """
    given = given_root(data_root)
    roots = [given / name, given / "weights" / name] if given else []
    places = [Path(name).expanduser(), *roots, Path(torch.hub.get_dir()) / "checkpoints" / name]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        looked = ", ".join(f"`{path}`" for path in dict.fromkeys(places))
        advice = "put it there, or set --data-root or SPARSETUNE_DATA to the folder that holds it"
        raise DataError(
            f"`task.weights` must name a local file, got {name!r}, which is none of {looked}; {advice}"
        )
    if found.suffix not in WEIGHT_SUFFIXES:
        raise DataError(
            f"`task.weights` must end in {', '.join(WEIGHT_SUFFIXES[:-1])} or {WEIGHT_SUFFIXES[-1]}, got {name!r}"
        )
    _check_digits(found)
    return found


def _check_digits(path: Path) -> None:
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            f"`{path}` must be readable, got {type(error).__name__}; see to its permissions"
        ) from error
    named = re.search(r"-([0-9a-f]*)$", path.stem)
    if named is None or len(named[1]) < LEAST_DIGITS:
        would_do = f"{path.stem}-{digest[:LEAST_DIGITS]}{path.suffix}"
        rule = f"must end in `-` and at least {LEAST_DIGITS} digits of the file's SHA-256"
        raise DataError(
            f"the name of `{path}` {rule}; rename it to {would_do!r}, and `task.weights` with it"
        )
    if not digest.startswith(named[1]):
        raise DataError(
            f"`{path}` must have the SHA-256 that its name says, got {digest[: len(named[1])]}; fetch it again, or name"
            " it by its own digits"
        )


def _read_state(path: Path) -> State:
    """The state dict that the file holds, maybe one level down."""
    try:
        safe = path.suffix == ".safetensors"
        content = tensors(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a torn file may raise anything
        rule = "must be a whole file of tensors and plain values, as `torch.load(weights_only=True)` or safetensors reads"
        advice = "fetch it again, or save the state dict alone"
        raise DataError(f"`{path}` {rule}, got {type(error).__name__}; {advice}") from error
    inner = (
        [content[key] for key in NESTED_STATE_KEYS if key in content]
        if isinstance(content, dict)
        else []
    )
    for state in (content, *inner):
        if _is_state_dict(state):
            return state
    got = (
        f"a dict of {_list_keys(map(str, content))}"
        if isinstance(content, dict) and content
        else f"{content!r:.40}"
    )
    where = " or ".join(f'"{key}"' for key in NESTED_STATE_KEYS)
    advice = "save `model.state_dict()`"
    raise DataError(
        f"`{path}` must hold a state dict, tensors by key, by itself or under {where}, got {got}; {advice}"
    )


def _is_state_dict(content: object) -> TypeGuard[State]:
    return (
        isinstance(content, dict)
        and len(content) > 0
        and all(
            isinstance(key, str) and isinstance(value, torch.Tensor)
            for key, value in content.items()
        )
    )


def _mismatched_head(model: nn.Module, state: State) -> set[str]:
    """The keys of the network's last linear layer, if the file's differs from it by the number of its outputs alone."""
    linear = [
        (name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)
    ]
    if not linear:
        return set()
    name, head = linear[-1]
    own = {f"{name}.{key}".removeprefix("."): tensor for key, tensor in head.state_dict().items()}
    if any(key not in state or state[key].ndim != tensor.ndim for key, tensor in own.items()):
        return set()
    same_inputs = all(state[key].shape[1:] == tensor.shape[1:] for key, tensor in own.items())
    outputs = {len(state[key]) for key in own}
    return (
        set(own) if same_inputs and len(outputs) == 1 and outputs != {head.out_features} else set()
    )


def _list_keys(keys: Iterable[str]) -> str:
    """The first five, and how many more."""
    listed = list(keys)
    return ", ".join(listed[:MAX_NAMED_KEYS]) + (
        f" and {len(listed) - MAX_NAMED_KEYS} more" if len(listed) > MAX_NAMED_KEYS else ""
    )
