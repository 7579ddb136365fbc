"""Texts of a task as token ids, made once and cached by digest."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache as once
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray

from sparsetune.errors import DataError
from sparsetune.spec.task import TextTask
from sparsetune.tasks.data_roots import cache_root, given_root
from sparsetune.tasks.text.glue import Sentences
from sparsetune.tasks.text.texts import read_texts, require_train_size, texts_digest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CACHE_FORMAT_VERSION = 1
"""Version of the cached file's format; files of another version are made again."""
TEXTS_PER_CALL = 4096
"""Texts tokenised in one call: its lists of Python numbers take far more memory than tensors."""

TOKEN_FIELDS = ("dataset", "folder", "model", "max_length", *TextTask.hub_fields)
"""Fields of a task that its tokens depend on."""


@dataclass(frozen=True)
class Tokens:
    """Tokenised texts, one after the other, without padding.

    Args:
        ids: Token ids of all texts, (tokens,) int32.
        types: Sentence of a pair that each token belongs to, (tokens,) uint8; zeros where the
            tokenizer does not give it.
        starts: Start of each text in ``ids``, and the end of the last, (n + 1,) int64.
        labels: Class numbers as int64, or scores as float32, (n,).
        inputs: Names of the model's inputs, such as ``input_ids``.
        pad: Token id of padding.
    """

    ids: torch.Tensor
    types: torch.Tensor
    starts: torch.Tensor
    labels: torch.Tensor
    inputs: tuple[str, ...]
    pad: int

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: str) -> Tokens:
        """Tokens on a device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in TENSOR_FIELDS})


TENSOR_FIELDS = ("ids", "types", "starts", "labels")
"""Fields of `Tokens` that are tensors."""


def tokenised_task(task: TextTask, data_root: Path | None) -> dict[str, Tokens]:
    """Tokens of ``train`` and ``test``, cut to the task's ``max_length``; cached if possible.

    The tensors are shared between calls, and must not be changed.

    Raises:
        DataError: for texts or a tokenizer that are missing or wrong, or too few texts.
    """
    read = {name: getattr(task, name) for name in TOKEN_FIELDS}
    digest = texts_digest(task, data_root)
    sets = _tokenise_task(TextTask(**read), given_root(data_root), digest, cache_root())
    require_train_size(task, len(sets["train"]))
    return sets


def tokenizer_for(
    task: TextTask, data_root: Path | None, read: Callable[[], dict[str, Sentences]] | None = None
) -> PreTrainedTokenizerBase:
    """Tokenizer of a task's model; an untrained model's is trained on the task's training texts.

    Args:
        task: The declaration.
        data_root: Folder that data sets and models lie in.
        read: Gives the task's texts; by default `read_texts` does, where they are needed.

    Raises:
        DataError: if the tokenizer, or texts that it must be trained on, are missing or wrong.
    """
    from sparsetune.tasks.text.encoders import UNTRAINED_ENCODERS, tokenizer_of

    def texts() -> Iterable[str]:
        train = (read or partial(read_texts, task, data_root))()["train"]
        return chain(train.first, train.second or ())

    key = texts_digest(task, data_root) if task.model in UNTRAINED_ENCODERS else ""
    return tokenizer_of(task.model, data_root, texts, key)


@lru_cache(maxsize=2)
def _tokenise_task(
    task: TextTask, data_root: Path | None, texts_digest: str, cache: Path
) -> dict[str, Tokens]:
    read = once(partial(read_texts, task, data_root))
    tokenizer = tokenizer_for(task, data_root, read)
    path = cache / "tokens" / f"{_tokens_digest(task, texts_digest, tokenizer)}.safetensors"
    if cached := _load_tokens(path):
        return cached
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        # Another process may have made them while this one waited for the lock.
        if cached := _load_tokens(path):
            return cached
        sets: dict[str, Tokens] = {}
        for name, sentences in read().items():
            sets[name] = _encode_texts(sentences, tokenizer, task.max_length)
        _save_tokens(sets, path)
    return sets


def _tokens_digest(task: TextTask, texts_digest: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """Twelve hexadecimal digits of everything that tokens depend on.

    Raises:
        DataError: for a tokenizer written in Python, whose state cannot be read.
    """
    if not tokenizer.is_fast:
        rule = f"the tokenizer of `{task.model}` must be one of the library `tokenizers`"
        raise DataError(f"{rule}, got {type(tokenizer).__name__}")
    everything = (
        CACHE_FORMAT_VERSION,
        texts_digest,
        task.max_length,
        tokenizer.truncation_side,
        tokenizer.model_input_names,
        tokenizer.pad_token_id,
        tokenizer.backend_tokenizer.to_str(),
    )
    return hashlib.sha256(repr(everything).encode()).hexdigest()[:12]


def _encode_texts(texts: Sentences, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Tokens:
    ids: list[NDArray[np.int32]] = []
    types: list[NDArray[np.uint8]] = []
    lengths: list[int] = []
    for start in range(0, len(texts), TEXTS_PER_CALL):
        part = slice(start, start + TEXTS_PER_CALL)
        encoded = tokenizer(
            texts.first[part],
            texts.second[part] if texts.second is not None else None,
            truncation=True,
            max_length=max_length,
            return_attention_mask=False,
        )
        rows = encoded["input_ids"]
        flat_ids = np.fromiter(chain.from_iterable(rows), dtype=np.int32)
        ids.append(flat_ids)
        if "token_type_ids" in encoded:
            flat_types = chain.from_iterable(encoded["token_type_ids"])
            types.append(np.fromiter(flat_types, dtype=np.uint8))
        else:
            types.append(np.zeros_like(flat_ids, np.uint8))
        lengths.extend(len(row) for row in rows)
    is_score = texts.labels.dtype != np.int64
    labels = texts.labels.astype(np.float32) if is_score else texts.labels
    return Tokens(
        ids=torch.from_numpy(np.concatenate(ids)),
        types=torch.from_numpy(np.concatenate(types)),
        starts=torch.tensor([0, *lengths]).cumsum(0),
        labels=torch.from_numpy(labels),
        inputs=tuple(tokenizer.model_input_names),
        pad=tokenizer.pad_token_id or 0,  # without a padding token, the mask hides the fill
    )


def _save_tokens(sets: dict[str, Tokens], path: Path) -> None:
    from safetensors.torch import save_file

    tensors: dict[str, torch.Tensor] = {}
    for name, tokens in sets.items():
        for field in TENSOR_FIELDS:
            tensors[f"{name}.{field}"] = getattr(tokens, field)
    either = sets["train"]
    metadata = {"inputs": " ".join(either.inputs), "pad": str(either.pad)}
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        save_file(tensors, temporary, metadata)
        os.replace(temporary, path)


def _load_tokens(path: Path) -> dict[str, Tokens] | None:
    """Tokens of ``train`` and ``test`` in a cached file; None if it is missing or torn."""
    from safetensors import SafetensorError, safe_open

    sets: dict[str, Tokens] = {}
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            inputs = tuple(metadata["inputs"].split())
            pad = int(metadata["pad"])
            for name in ("train", "test"):
                tensors = {field: file.get_tensor(f"{name}.{field}") for field in TENSOR_FIELDS}
                sets[name] = Tokens(**tensors, inputs=inputs, pad=pad)
    except (OSError, SafetensorError):
        return None
    return sets
