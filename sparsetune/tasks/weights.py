"""Trained weights to start from: a local file whose name says its bytes, as in `torch.hub`.

A name such as ``resnet50-11ad3fa6.pth`` ends in digits of the file's SHA-256, so that a declaration
that holds it names the weights themselves. Given without a folder, the name makes the declaration
the same on every machine.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TypeGuard

import torch
from safetensors.torch import load_file
from torch import nn

from sparsetune.errors import DataError
from sparsetune.tasks.data_roots import given_root

WEIGHT_SUFFIXES = (".pth", ".pt", ".safetensors")
NESTED_STATE_KEYS = ("state_dict", "model")
"""Keys under which a training script's checkpoint may keep the network's weights."""
MIN_DIGEST_DIGITS = 8
"""Digits of the SHA-256 that a file's name must have at least."""
MAX_NAMED_KEYS = 5
"""Keys that an error names at most."""

StateDict = dict[str, torch.Tensor]


def load_weights(model: nn.Module, name: str, data_root: Path | None = None) -> None:
    """Put trained weights into a freshly drawn network, in place, in its own types and device.

    The head is the weight and bias of the network's last `torch.nn.Linear`. It stays as drawn if,
    and only if, the file's head has another number of outputs. A batch-norm's count of batches may
    be missing, as in older files.

    Args:
        model: Network on any device but ``meta``.
        name: ``task.weights``, as `weights_file` looks for it.
        data_root: Folder that data sets lie in; by default ``$SPARSETUNE_DATA``.

    Raises:
        DataError: in one line, if the file is missing, torn, not what its name says, or of another
            network.
    """
    state = fitting_weights(model, name, data_root)
    own = model.state_dict()
    # `load_state_dict` of some networks asks for a version, which files may lack.
    with torch.no_grad():
        for key, tensor in state.items():
            own[key].copy_(tensor)


def fitting_weights(model: nn.Module, name: str, data_root: Path | None = None) -> StateDict:
    """Tensors that `load_weights` puts into a network, by key.

    The network may be on the meta device; it is not changed.

    Raises:
        DataError: as `load_weights` does.
    """
    path = weights_file(name, data_root)
    state = _read_state(path)
    own = model.state_dict()
    head = _mismatched_head(model, state)
    missing = []
    misshapen = []
    for key, tensor in own.items():
        if key not in state:
            # Older files lack a batch-norm's count of batches.
            if not key.endswith("num_batches_tracked"):
                missing.append(key)
        elif key not in head and state[key].shape != tensor.shape:
            misshapen.append(f"{key} {tuple(state[key].shape)} for {tuple(tensor.shape)}")
    unexpected = [key for key in state if key not in own]
    faults = {"missing": missing, "unexpected": unexpected, "misshapen": misshapen}
    parts = [f"{fault} {_list_keys(keys)}" for fault, keys in faults.items() if keys]
    if parts:
        rule = "must hold the weights of the task's model"
        raise DataError(f"`{path}` {rule}, got {'; '.join(parts)}; set `task.model` to theirs")
    return {key: tensor for key, tensor in state.items() if key not in head}


def weights_file(name: str, data_root: Path | None = None) -> Path:
    """File of that name: a path, or in the data root, its ``weights/`` or the cache of `torch.hub`.

    Raises:
        DataError: if there is none, or its name does not end in digits of its SHA-256.
    """
    candidates = [Path(name).expanduser()]
    if root := given_root(data_root):
        candidates += [root / name, root / "weights" / name]
    candidates.append(Path(torch.hub.get_dir()) / "checkpoints" / name)
    files = [path for path in candidates if path.is_file()]
    if not files:
        # An absolute name is the same path below every folder.
        looked = ", ".join(f"`{path}`" for path in dict.fromkeys(candidates))
        rule = f"`task.weights` must name a local file, got {name!r}, which is none of {looked}"
        advice = "put it there, or set --data-root or SPARSETUNE_DATA to the folder that holds it"
        raise DataError(f"{rule}; {advice}")
    found = files[0]
    if found.suffix not in WEIGHT_SUFFIXES:
        suffixes = f"{', '.join(WEIGHT_SUFFIXES[:-1])} or {WEIGHT_SUFFIXES[-1]}"
        raise DataError(f"`task.weights` must end in {suffixes}, got {name!r}")
    _check_digest(found)
    return found


def _check_digest(path: Path) -> None:
    """Check that a file's name ends in digits of its SHA-256.

    Raises:
        DataError: if it does not, or the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        got = type(error).__name__
        raise DataError(f"`{path}` must be readable, got {got}; see to its permissions") from error
    named = re.search(r"-([0-9a-f]*)$", path.stem)
    if named is None or len(named[1]) < MIN_DIGEST_DIGITS:
        valid_name = f"{path.stem}-{digest[:MIN_DIGEST_DIGITS]}{path.suffix}"
        rule = f"must end in `-` and at least {MIN_DIGEST_DIGITS} digits of the file's SHA-256"
        advice = f"rename it to {valid_name!r}, and `task.weights` with it"
        raise DataError(f"the name of `{path}` {rule}; {advice}")
    if not digest.startswith(named[1]):
        got = digest[: len(named[1])]
        advice = "fetch it again, or name it by its own digits"
        raise DataError(f"`{path}` must have the SHA-256 that its name says, got {got}; {advice}")


def _read_state(path: Path) -> StateDict:
    """State dict that a file holds, at its top or one level down.

    Raises:
        DataError: if the file is torn, or holds no state dict.
    """
    try:
        if path.suffix == ".safetensors":
            content: object = load_file(path)
        else:
            # Weights only: a pickle from elsewhere could run any code.
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a torn file may raise anything
        readers = "`torch.load(weights_only=True)` or safetensors"
        rule = f"must be a whole file of tensors and plain values, as {readers} reads"
        advice = "fetch it again, or save the state dict alone"
        raise DataError(f"`{path}` {rule}, got {type(error).__name__}; {advice}") from error
    candidates = [content]
    if isinstance(content, dict):
        candidates += [content[key] for key in NESTED_STATE_KEYS if key in content]
    for state in candidates:
        if _is_state_dict(state):
            return state
    if isinstance(content, dict) and content:
        got = f"a dict of {_list_keys(map(str, content))}"
    else:
        got = f"{content!r:.40}"
    where = " or ".join(f'"{key}"' for key in NESTED_STATE_KEYS)
    rule = f"must hold a state dict, tensors by key, by itself or under {where}"
    raise DataError(f"`{path}` {rule}, got {got}; save `model.state_dict()`")


def _is_state_dict(content: object) -> TypeGuard[StateDict]:
    if not isinstance(content, dict) or not content:
        return False
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            return False
    return True


def _mismatched_head(model: nn.Module, state: StateDict) -> set[str]:
    """Keys of the network's last linear layer, if the file's differs only in its outputs.

    Returns:
        An empty set where the file's head fits, lacks a key, or differs in more than that number.
    """
    # Heads have many names, but all are the last linear layer.
    linear = [item for item in model.named_modules() if isinstance(item[1], nn.Linear)]
    if not linear:
        return set()
    name, head = linear[-1]
    outputs = set()
    keys = set()
    for part, tensor in head.state_dict().items():
        key = f"{name}.{part}".removeprefix(".")  # a network that is a linear layer has no name
        if key not in state or state[key].ndim != tensor.ndim:
            return set()
        if state[key].shape[1:] != tensor.shape[1:]:
            return set()
        keys.add(key)
        outputs.add(len(state[key]))
    # Weight and bias must agree, or the file is damaged and not of another task.
    differs = len(outputs) == 1 and outputs != {head.out_features}
    return keys if differs else set()


def _list_keys(keys: Iterable[str]) -> str:
    """First `MAX_NAMED_KEYS` keys in words, and how many more there are."""
    listed = list(keys)
    named = ", ".join(listed[:MAX_NAMED_KEYS])
    rest = len(listed) - MAX_NAMED_KEYS
    return f"{named} and {rest} more" if rest > 0 else named
