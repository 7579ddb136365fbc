"""The texts of a task as token ids, made once and kept by digest."""

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
from sparsetune.tasks.text.glue import Sentences, check_train_size, glue_digest, read_glue

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CACHE_FORMAT_VERSION = 1
"""Of the kept file; another number makes it anew."""
TEXTS_PER_CALL = 4096
"""Texts handed to the tokenizer at once: lists of Python numbers take far more memory than tensors."""


@dataclass(frozen=True)
class Tokens:
    """Tokenised texts, one after the other, without padding.

    Args:
        ids: Token ids of all texts, int32.
        types: Which sentence of a pair each token is of, uint8; zeros where the tokenizer does not tell.
        starts: Where each text starts, and where the last ends (n + 1,) int64.
        labels: (n,) int64 class numbers, or float32 scores.
        inputs: What the model takes, as in ``input_ids``.
        pad: Token id that batches are filled up with.
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
        """The same on a device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in TENSOR_FIELDS})


TENSOR_FIELDS = ("ids", "types", "starts", "labels")


def tokenised_task(task: TextTask, data_root: Path | None) -> dict[str, Tokens]:
    """``train`` and ``test`` of a task, cut to `max_length`, from the cache where they are in it. Not to be changed.

    Raises:
        DataError: for texts or a tokenizer that are missing or wrong, or too few texts.
    """
    texts = TextTask(
        dataset=task.dataset, folder=task.folder, model=task.model, max_length=task.max_length
    )
    sets = _tokenise_task(texts, given_root(data_root), glue_digest(task, data_root), cache_root())
    check_train_size(task, len(sets["train"]))
    return sets


def tokenizer_for(
    task: TextTask, data_root: Path | None, read: Callable[[], dict[str, Sentences]] | None = None
) -> PreTrainedTokenizerBase:
    """The tokenizer of a task's model; that of an untrained one is trained on the task's training texts.

    Args:
        task: The declaration.
        data_root: The folder that data sets and models lie in.
        read: Gives the task's texts; by default they are read where they are needed.

    Raises:
        DataError: for a tokenizer, or texts that it must be trained on, which are missing or wrong.
    """
    from sparsetune.tasks.text.encoders import UNTRAINED_ENCODERS, tokenizer_of

    def texts() -> Iterable[str]:
        train = (read or partial(read_glue, task, data_root))()["train"]
        return chain(train.first, train.second or ())

    key = glue_digest(task, data_root) if task.model in UNTRAINED_ENCODERS else ""
    return tokenizer_of(task.model, data_root, texts, key)


@lru_cache(maxsize=2)
def _tokenise_task(
    task: TextTask, data_root: Path | None, texts_digest: str, cache: Path
) -> dict[str, Tokens]:
    read = once(partial(read_glue, task, data_root))
    tokenizer = tokenizer_for(task, data_root, read)
    path = cache / "tokens" / f"{_tokens_digest(task, texts_digest, tokenizer)}.safetensors"
    if kept := _load_tokens(path):
        return kept
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if kept := _load_tokens(path):  # another process made it meanwhile
            return kept
        made = {
            name: _encode_texts(part, tokenizer, task.max_length) for name, part in read().items()
        }
        _save_tokens(made, path)
    return made


def _tokens_digest(task: TextTask, texts_digest: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """Twelve hexadecimal digits of all that tokens follow from.

    Raises:
        DataError: for a tokenizer written in Python, which does not tell its state.
    """
    if not tokenizer.is_fast:
        kind = type(tokenizer).__name__
        raise DataError(
            f"the tokenizer of `{task.model}` must be one of the library `tokenizers`, got {kind}"
        )
    text = CACHE_FORMAT_VERSION, texts_digest, task.max_length
    state = tokenizer.truncation_side, tokenizer.model_input_names, tokenizer.pad_token_id
    whole = repr((*text, *state, tokenizer.backend_tokenizer.to_str()))
    return hashlib.sha256(whole.encode()).hexdigest()[:12]


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
        flat = np.fromiter(chain.from_iterable(rows), dtype=np.int32)
        kinds = chain.from_iterable(encoded.get("token_type_ids", ()))
        ids.append(flat)
        types.append(
            np.fromiter(kinds, dtype=np.uint8)
            if "token_type_ids" in encoded
            else np.zeros_like(flat, np.uint8)
        )
        lengths.extend(len(row) for row in rows)
    return Tokens(
        ids=torch.from_numpy(np.concatenate(ids)),
        types=torch.from_numpy(np.concatenate(types)),
        starts=torch.tensor([0, *lengths]).cumsum(0),
        labels=torch.from_numpy(
            texts.labels if texts.labels.dtype == np.int64 else texts.labels.astype(np.float32)
        ),
        inputs=tuple(tokenizer.model_input_names),
        pad=tokenizer.pad_token_id or 0,  # a model without padding masks what it is filled up with
    )


def _save_tokens(sets: dict[str, Tokens], path: Path) -> None:
    from safetensors.torch import save_file

    tensors = {
        f"{name}.{field}": getattr(tokens, field)
        for name, tokens in sets.items()
        for field in TENSOR_FIELDS
    }
    either = sets["train"]
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        save_file(tensors, temporary, {"inputs": " ".join(either.inputs), "pad": str(either.pad)})
        os.replace(temporary, path)


def _load_tokens(path: Path) -> dict[str, Tokens] | None:
    """What the file holds; None for none, or one that is torn."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            described = file.metadata()
            inputs = tuple(described["inputs"].split())
            pad = int(described["pad"])
            return {
                name: Tokens(
                    **{field: file.get_tensor(f"{name}.{field}") for field in TENSOR_FIELDS},
                    inputs=inputs,
                    pad=pad,
                )
                for name in ("train", "test")
            }
    except (OSError, SafetensorError):
        return None
