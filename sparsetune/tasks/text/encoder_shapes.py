"""Encoders whose shapes are known by name alone, without files or a network connection.

transformers takes seconds to import, so functions import it where they need it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def encoder_config(model_type: str, **fields: Any) -> PretrainedConfig:
    """Configuration with the given fields; others have transformers' defaults."""
    from transformers import AutoConfig

    return AutoConfig.for_model(model_type, **fields)


def _bert_config(
    width: int, blocks: int, heads: int, **fields: Any
) -> Callable[[], PretrainedConfig]:
    sizes = {"hidden_size": width, "num_hidden_layers": blocks, "num_attention_heads": heads}
    return partial(encoder_config, "bert", **sizes, **fields)


BERT_BASE = _bert_config(768, 12, 12, intermediate_size=3072)

UNTRAINED_ENCODERS: dict[str, Callable[[], PretrainedConfig]] = {
    "bert_tiny": _bert_config(
        64, 2, 2, intermediate_size=128, vocab_size=2000, max_position_embeddings=128
    ),
    "bert_base": BERT_BASE,
}
"""Encoders without pre-training; their tokenizer is trained on the task's own texts.

``bert_tiny`` has 65,536 prunable weights; ``bert_base`` has BERT-base's shape, for measurements
(Devlin et al. 2019, arXiv 1810.04805).
"""

PUBLISHED_ENCODERS: dict[str, Callable[[], PretrainedConfig]] = {
    "google-bert/bert-base-uncased": BERT_BASE,
    "google-bert/bert-large-uncased": _bert_config(1024, 24, 16, intermediate_size=4096),
    "distilbert/distilbert-base-uncased": partial(encoder_config, "distilbert"),
    "sentence-transformers/all-MiniLM-L6-v2": _bert_config(384, 6, 12, intermediate_size=1536),
}
"""Models of the hub whose shapes are known, so that a preview need not download them."""
