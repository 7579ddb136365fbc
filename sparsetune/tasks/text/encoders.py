"""Text encoders with a classification head: from the hub, from local folders, or untrained.

transformers takes seconds to import, so functions import it where they need it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from sparsetune.errors import DataError, DeclarationError, Problem, first_line
from sparsetune.sparsity.layers import matches_name
from sparsetune.tasks.model_folder import (
    find_model_folder,
    folder_digest,
    model_folder,
    quiet_transformers,
)
from sparsetune.tasks.text.encoder_shapes import PUBLISHED_ENCODERS, UNTRAINED_ENCODERS
from sparsetune.tasks.text.word_piece import trained_tokenizer

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

__all__ = [
    "UNTRAINED_ENCODERS",
    "build_encoder",
    "encoder_config",
    "encoder_weights",
    "find_model_folder",
    "max_tokens",
    "meta_encoder",
    "model_digest",
    "model_folder",
    "tokenizer_of",
]

PADDED_POSITIONS = (
    "roberta",
    "xlm-roberta",
    "camembert",
    "roberta-prelayernorm",
    "mpnet",
    "longformer",
)
"""Model types whose positions start after the padding token's number."""

VOCABULARY_PATTERNS = ("tokenizer.json", "vocab.*", "*.model")
"""Patterns of a tokenizer's vocabulary files, of which it has at least one."""


def encoder_config(name: str, outputs: int, data_root: Path | None) -> PretrainedConfig:
    """Configuration of a model with ``outputs`` outputs.

    It needs neither files nor a download for `UNTRAINED_ENCODERS` and `PUBLISHED_ENCODERS`.

    Raises:
        DeclarationError: if no model has that name, or transformers does not know its type.
        DataError: if its configuration can be read neither from a folder nor from the hub.
    """
    hub_id = name.partition("@")[0]
    if name in UNTRAINED_ENCODERS:
        config = UNTRAINED_ENCODERS[name]()
    elif hub_id in PUBLISHED_ENCODERS and find_model_folder(name, data_root) is None:
        config = PUBLISHED_ENCODERS[hub_id]()
    else:
        config = _read_config(name, model_folder(name, data_root, weights=False))
    config.problem_type = None  # a saved one may not fit another number of outputs
    config.num_labels = outputs
    return config


def _read_config(name: str, folder: Path) -> PretrainedConfig:
    from transformers import AutoConfig

    path = folder / "config.json"
    try:
        known = json.loads(path.read_bytes())["model_type"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        rule = f"`{path}` must be a model's configuration with its `model_type`"
        advice = "name a folder that `save_pretrained` wrote"
        raise DataError(f"{rule}, got {_describe_error(error)}; {advice}") from error
    try:
        with quiet_transformers():
            return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # a library's checks may raise anything
        found = f"of type {known!r} ({_describe_error(error)})"
        rule = f"transformers must know the model's configuration, {found}"
        raise _model_error(rule, name) from error


def build_encoder(name: str, outputs: int, data_root: Path | None) -> PreTrainedModel:
    """Model in float32 and in training mode, with pre-trained weights below its head.

    The head is drawn from torch's global generator, unless the folder has one with as many outputs.
    All of an untrained model is drawn.

    Raises:
        DeclarationError: as `encoder_config` does, or if transformers cannot put a classification
            head on it.
        DataError: if its weights are missing, torn, or those of another model.
    """
    config = encoder_config(name, outputs, data_root)
    if name in UNTRAINED_ENCODERS:
        return _draw_encoder(name, config).train()
    return _load_pretrained(name, config, data_root).train()


def meta_encoder(name: str, outputs: int, data_root: Path | None) -> PreTrainedModel:
    """Model on the meta device: all shapes, and no memory.

    Raises:
        DeclarationError: as `build_encoder` does.
        DataError: as `encoder_config` does.
    """
    config = encoder_config(name, outputs, data_root)
    with torch.device("meta"):
        return _draw_encoder(name, config)


def _draw_encoder(name: str, config: PretrainedConfig) -> PreTrainedModel:
    from transformers import AutoModelForSequenceClassification

    _require_classifier(name, config)
    with quiet_transformers():
        return AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)


def _load_pretrained(
    name: str, config: PretrainedConfig, data_root: Path | None
) -> PreTrainedModel:
    from transformers import AutoModelForSequenceClassification

    _require_classifier(name, config)
    folder = model_folder(name, data_root)
    try:
        with quiet_transformers():
            model, info = AutoModelForSequenceClassification.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except Exception as error:  # a torn file may raise anything
        rule = f"`{folder}` must hold the model's weights whole"
        raise DataError(f"{rule}, got {_describe_error(error)}; save or fetch it again") from error
    mismatched = [key for key, *_ in info["mismatched_keys"]]
    drawn = {*info["missing_keys"], *mismatched}
    # A head may be drawn, and the pooler with it: many checkpoints come without. A drawn weight
    # anywhere else would pass for a trained one.
    base = f"{model.base_model_prefix}."
    faults = sorted(key for key in drawn if key.startswith(base) and ".pooler." not in key)
    if faults:
        rule = f"`{folder}` must hold all weights of its `config.json`"
        got = f"{len(faults)} missing or of another shape, such as `{faults[0]}`"
        raise DataError(f"{rule}, got {got}; save or fetch it again")
    return model


def _require_classifier(name: str, config: PretrainedConfig) -> None:
    from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

    if type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        rule = f"transformers must have a sequence classifier of type {config.model_type!r}"
        raise _model_error(rule, name)


def tokenizer_of(
    name: str, data_root: Path | None, texts: Callable[[], Iterable[str]], key: str
) -> PreTrainedTokenizerBase:
    """Tokenizer of a model; an untrained model's is trained on the texts once, and cached.

    Args:
        name: Name of the model.
        data_root: Folder that data sets and models lie in.
        texts: Gives the texts; called only where a tokenizer must be trained.
        key: Digest of the texts.

    Raises:
        DeclarationError: if no model has that name.
        DataError: if the model's tokenizer is missing or torn.
    """
    from transformers import AutoTokenizer

    if name in UNTRAINED_ENCODERS:
        vocabulary_size = UNTRAINED_ENCODERS[name]().vocab_size
        folder = trained_tokenizer(f"{key}-{name}", vocabulary_size, texts)
    else:
        folder = model_folder(name, data_root, weights=False)
    rule = f"`{folder}` must hold the model's tokenizer"
    # Without a vocabulary, transformers would make a tokenizer that knows no word.
    if not any(any(folder.glob(pattern)) for pattern in VOCABULARY_PATTERNS):
        files = ", ".join(VOCABULARY_PATTERNS)
        raise DataError(f"{rule}, got none of {files}; save it there too")
    try:
        with quiet_transformers():
            return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # a torn file may raise anything
        raise DataError(f"{rule}, got {_describe_error(error)}; save or fetch it again") from error


def model_digest(name: str, data_root: Path | None) -> str:
    """Twelve hexadecimal digits of a model's weights, configuration and tokenizer.

    For an untrained model, they name its shape.

    Raises:
        DeclarationError: if no model has that name.
        DataError: if it is neither in a folder nor can be downloaded.
    """
    if name not in UNTRAINED_ENCODERS:
        return folder_digest(model_folder(name, data_root))
    fields = UNTRAINED_ENCODERS[name]().to_diff_dict()
    fields.pop("transformers_version", None)
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]


def encoder_weights(
    name: str, model: nn.Module, named: Sequence[str] = ()
) -> dict[str, nn.Parameter]:
    """Weights that are pruned unless `sparsity.layers` says otherwise, in the model's order.

    They belong to the linear layers in its stack of equal blocks. Embeddings, pooler, head and
    LayerNorms are outside of the stack, or no linear layers.

    Args:
        name: Name of the model, for messages.
        model: The model.
        named: Patterns of parameters that the declaration names.

    Raises:
        DeclarationError: if the model has no such stack, or several, or its blocks hold matrices of
            another kind that are not named.
    """
    stack = _block_stack_name(name, model)
    prunable: set[str] = set()
    for path, module in model.named_modules():
        if not path.startswith(f"{stack}."):
            continue
        if isinstance(module, nn.Linear):
            prunable.add(f"{path}.weight")
        elif not isinstance(module, nn.Embedding):
            _require_no_matrix(name, path, module, named)
    return {key: weight for key, weight in model.named_parameters() if key in prunable}


def _require_no_matrix(name: str, path: str, module: nn.Module, named: Sequence[str]) -> None:
    """Refuse a module whose matrices pruning would leave out of what is most of the model."""
    for key, parameter in module.named_parameters(recurse=False):
        if parameter.ndim > 1 and not _is_named(f"{path}.{key}", named):
            found = f"`{path}.{key}` of a {type(module).__name__}"
            rule = f"matrices in its blocks must belong to linear layers, not {found}"
            raise _model_error(f"{rule}; or be named in `sparsity.layers`", name)


def _is_named(parameter: str, named: Sequence[str]) -> bool:
    return any(matches_name(parameter, pattern) for pattern in named)


def _block_stack_name(name: str, model: nn.Module) -> str:
    """Module name of the base model's only list of equal blocks."""
    base = getattr(model, "base_model_prefix", "")
    stacks: list[str] = []
    for path, module in model.named_modules():
        is_inner = any(path.startswith(f"{stack}.") for stack in stacks)
        if path.startswith(f"{base}.") and not is_inner and _are_equal_blocks(module):
            stacks.append(path)
    if len(stacks) == 1:
        return stacks[0]
    found = ", ".join(f"`{stack}`" for stack in stacks) or "none"
    rule = "must have one stack of equal blocks, whose linear layers are pruned"
    raise _model_error(f"{rule}; {type(model).__name__} has {found}", name)


def _are_equal_blocks(module: nn.Module) -> bool:
    if not isinstance(module, nn.ModuleList):
        return False
    kinds = {type(block) for block in module}
    return len(kinds) == 1 and any(parameter.ndim > 1 for parameter in module.parameters())


def max_tokens(config: PretrainedConfig) -> int:
    """Most tokens that a model takes, special ones included.

    It is `sys.maxsize` for a model without learned positions.
    """
    positions = getattr(config, "max_position_embeddings", None) or 0
    if config.model_type in PADDED_POSITIONS:
        positions -= config.pad_token_id + 1
    return positions if positions > 0 else sys.maxsize


def _describe_error(error: Exception) -> str:
    return f"{type(error).__name__} ({first_line(error)})"


def _model_error(rule: str, name: str) -> DeclarationError:
    return DeclarationError([Problem("task.model", rule, repr(name))], "the model")
