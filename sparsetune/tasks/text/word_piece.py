"""Tokenizers trained on a task's own texts, for encoders that have none."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sparsetune.tasks.data_roots import cache_root

if TYPE_CHECKING:
    from transformers import BertTokenizer


def trained_tokenizer(name: str, size: int, texts: Callable[[], Iterable[str]]) -> Path:
    """Cached folder with the tokenizer of that name, trained now if there is none.

    It appears whole, so several processes may train it at once.

    Args:
        name: Name of the folder; it must say which texts the tokenizer is trained on.
        size: Most tokens in its vocabulary.
        texts: Gives the texts; called only where it must be trained.
    """
    folder = cache_root() / "tokenizers" / name
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=folder.parent))
        train_word_piece(texts(), size).save_pretrained(fresh)
        try:
            os.rename(fresh, folder)
        except OSError:
            # Another process may have been faster; its tokenizer is the same.
            shutil.rmtree(fresh)
            if not folder.is_dir():
                raise
    return folder


def train_word_piece(texts: Iterable[str], size: int) -> BertTokenizer:
    """Lower-casing WordPiece tokenizer of at most ``size`` tokens, a function of the texts."""
    from tokenizers.trainers import WordPieceTrainer
    from transformers import BertTokenizer

    fresh = BertTokenizer()
    special = [fresh.pad_token, fresh.unk_token, fresh.cls_token, fresh.sep_token, fresh.mask_token]
    backend = fresh.backend_tokenizer
    all_texts = list(texts)
    characters: set[str] = set()
    for text in all_texts:
        characters.update(backend.normalizer.normalize_str(text))
    letters = [character for character in characters if not character.isspace()]
    # The trainer numbers word continuations in the order of a random hash, unless they have a
    # number already: given as special tokens, they are numbered in this order.
    continuing = [f"##{letter}" for letter in sorted(letters)]
    trainer = WordPieceTrainer(
        vocab_size=size, special_tokens=[*special, *continuing], show_progress=False
    )
    backend.train_from_iterator(all_texts, trainer)
    return BertTokenizer(vocab=backend.get_vocab(with_added_tokens=True))
