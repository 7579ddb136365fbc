"""Text encoders with a classification head: of the Hugging Face hub, from local folders, or untrained by name.

transformers takes seconds to import, so functions import it where they need it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from sparsetune.errors import DataError, DeclarationError, Problem, first_line
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
"""Model types that number positions from the padding token's number on."""

VOCABULARY_PATTERNS = ("tokenizer.json", "vocab.*", "*.model")
"""Files of which a tokenizer has at least one."""


def encoder_config(name: str, outputs: int, data_root: Path | None) -> PretrainedConfig:
    """The configuration of a model with so many outputs; those of `PUBLISHED_ENCODERS` need neither network nor files.

    Raises:
        DeclarationError: if the name is that of no model, or of one that transformers does not know.
        DataError: if its configuration can be read neither from a folder nor from the hub.
    """
    if name in UNTRAINED_ENCODERS:
        config = UNTRAINED_ENCODERS[name]()
    elif (
        find_model_folder(name, data_root) is None
        and (hub_id := name.partition("@")[0]) in PUBLISHED_ENCODERS
    ):
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
        raise DataError(
            f"{rule}, got {_describe_error(error)}; name a folder that `save_pretrained` wrote"
        ) from error
    try:
        with quiet_transformers():
            return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # a library's checks may raise anything
        rule = f"transformers must know the model's configuration, of type {known!r} ({_describe_error(error)})"
        raise _model_error(rule, name) from error


def build_encoder(name: str, outputs: int, data_root: Path | None) -> PreTrainedModel:
    """A model in float32, in training mode: pre-trained but for its head, which torch's global generator draws.

    A folder's own head is kept where it has as many outputs; all of an untrained model is drawn.

    Raises:
        DeclarationError: as `encoder_config` does, or if transformers cannot put a classification head on it.
        DataError: if its weights are missing, torn, or those of another model.
    """
    config = encoder_config(name, outputs, data_root)
    model = (
        _draw_encoder(name, config)
        if name in UNTRAINED_ENCODERS
        else _load_pretrained(name, config, data_root)
    )
    return model.train()


def meta_encoder(name: str, outputs: int, data_root: Path | None) -> PreTrainedModel:
    """A model of that name on the meta device: all shapes, and no memory.

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
    options = {"dtype": torch.float32, "ignore_mismatched_sizes": True, "output_loading_info": True}
    try:
        with quiet_transformers():
            model, info = AutoModelForSequenceClassification.from_pretrained(
                folder, config=config, **options
            )
    except Exception as error:  # a torn file may raise anything
        raise DataError(
            f"`{folder}` must hold the model's weights whole, got {_describe_error(error)}; save or fetch it again"
        ) from error
    lacking = {*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])}
    drawn = sorted(
        key
        for key in lacking
        if key.startswith(f"{model.base_model_prefix}.") and ".pooler." not in key
    )
    if drawn:
        got = f"{len(drawn)} missing or of another shape, such as `{drawn[0]}`"
        raise DataError(
            f"`{folder}` must hold all weights of its `config.json`, got {got}; save or fetch it again"
        )
    return model


def _require_classifier(name: str, config: PretrainedConfig) -> None:
    from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

    if type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        raise _model_error(
            f"transformers must have a sequence classifier of type {config.model_type!r}", name
        )


def tokenizer_of(
    name: str, data_root: Path | None, texts: Callable[[], Iterable[str]], key: str
) -> PreTrainedTokenizerBase:
    """The model's tokenizer; that of an untrained model is trained on the texts, once, and kept in the cache.

    Args:
        name: The model's.
        data_root: The folder that data sets and models lie in.
        texts: Called only where a tokenizer must be trained.
        key: A digest of the texts.

    Raises:
        DeclarationError: if the name is that of no model.
        DataError: if the model's tokenizer is missing or torn.
    """
    from transformers import AutoTokenizer

    if name in UNTRAINED_ENCODERS:
        folder = trained_tokenizer(f"{key}-{name}", UNTRAINED_ENCODERS[name]().vocab_size, texts)
    else:
        folder = model_folder(name, data_root, weights=False)
    if not any(path for pattern in VOCABULARY_PATTERNS for path in folder.glob(pattern)):
        # transformers would make one that knows no word.
        files = ", ".join(VOCABULARY_PATTERNS)
        raise DataError(
            f"`{folder}` must hold the model's tokenizer, got none of {files}; save it there too"
        )
    try:
        with quiet_transformers():
            return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # a torn file may raise anything
        raise DataError(
            f"`{folder}` must hold the model's tokenizer, got {_describe_error(error)}; save or fetch it again"
        ) from error


def model_digest(name: str, data_root: Path | None) -> str:
    """Twelve hexadecimal digits of a model's weights, configuration and tokenizer; of an untrained one's shape.

    Raises:
        DeclarationError: if the name is that of no model.
        DataError: if it is neither in a folder nor can be downloaded.
    """
    if name not in UNTRAINED_ENCODERS:
        return folder_digest(model_folder(name, data_root))
    fields = {
        key: value
        for key, value in UNTRAINED_ENCODERS[name]().to_diff_dict().items()
        if key != "transformers_version"
    }
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]


def encoder_weights(name: str, model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights that may be pruned, by name, in the model's order: the linear layers in its stack of equal blocks.

    Embeddings, pooler, head and LayerNorms are outside of the stack, or no linear layers.

    Raises:
        DeclarationError: if the model has no such stack, or several, or its blocks hold matrices of another kind.
    """
    stack = _block_stack_name(name, model)
    inside = {where: part for where, part in model.named_modules() if where.startswith(f"{stack}.")}
    for where, part in inside.items():
        matrices = [
            of for of, parameter in part.named_parameters(recurse=False) if parameter.ndim > 1
        ]
        if matrices and not isinstance(part, nn.Linear | nn.Embedding):
            kind = type(part).__name__
            rule = f"matrices in its blocks must belong to linear layers, not `{where}.{matrices[0]}` of a {kind}"
            raise _model_error(rule, name)
    linear = {f"{where}.weight" for where, part in inside.items() if isinstance(part, nn.Linear)}
    return {where: weight for where, weight in model.named_parameters() if where in linear}


def _block_stack_name(name: str, model: nn.Module) -> str:
    """Where the base model's only list of equal blocks is."""
    base = getattr(model, "base_model_prefix", "")
    found = list[str]()
    for where, module in model.named_modules():
        inner = any(where.startswith(f"{stack}.") for stack in found)
        if where.startswith(f"{base}.") and not inner and _are_equal_blocks(module):
            found.append(where)
    if len(found) == 1:
        return found[0]
    got = f"{type(model).__name__} has {', '.join(f'`{stack}`' for stack in found) or 'none'}"
    raise _model_error(
        f"must have one stack of equal blocks, whose linear layers are pruned; {got}", name
    )


def _are_equal_blocks(module: nn.Module) -> bool:
    kinds = {type(block) for block in module} if isinstance(module, nn.ModuleList) else set()
    return len(kinds) == 1 and any(parameter.ndim > 1 for parameter in module.parameters())


def max_tokens(config: PretrainedConfig) -> int:
    """Tokens that a model takes at most, special ones included; without learned positions, any number."""
    positions = getattr(config, "max_position_embeddings", None) or 0
    if config.model_type in PADDED_POSITIONS:
        positions -= config.pad_token_id + 1
    return positions if positions > 0 else sys.maxsize


def _describe_error(error: Exception) -> str:
    return f"{type(error).__name__} ({first_line(error)})"


def _model_error(rule: str, name: str) -> DeclarationError:
    return DeclarationError([Problem("task.model", rule, repr(name))], "the model")
