"""What fine-tuning of an encoder costs by token, beside transformers' own trainer; how much of a
batch is padding.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from datasets import Dataset

from sparsetune import (
    ComputeSpec,
    OptimSpec,
    RampSpec,
    ScheduleSpec,
    SparsitySpec,
    TextTask,
    TrialSpec,
)
from sparsetune.tasks.kinds import load_task
from sparsetune.tasks.task import TrainingBatch
from sparsetune.tasks.text import encoders
from sparsetune.tasks.text.sentences import TextSplit
from sparsetune.tasks.text.tokens import tokenised_task
from sparsetune.train import train
from tests.benchmarks.rows import Row, Turn, in_turn
from tests.benchmarks.step_cost import HELD_OUT, SPARSITY, Clock
from tests.texts import BAD, FILLERS, GOOD

PEER = "transformers.Trainer"
DENSE = "dense"
TIMED = 6
UNTIMED = 1
TRAIN = 3_200
DEV = 100
EPOCHS = 20


@dataclass(frozen=True)
class Encoder:
    """What is fine-tuned, and on what.

    Args:
        title: Of the rows.
        sizes: Of a BERT.
        mean: Of a text's tokens, whose lengths are drawn from an exponential distribution, as those
            of SST-2 look.
        longest: Tokens at most.
        batch: Texts of a step.
        compute: Arithmetic.
    """

    title: str
    sizes: dict[str, int]
    mean: int
    longest: int
    batch: int
    compute: ComputeSpec


MINILM = Encoder(
    "MiniLM's shape",
    {
        "hidden_size": 384,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
    },
    mean=12,
    longest=32,
    batch=32,
    compute=ComputeSpec(),
)
BERT_BASE = Encoder(
    "BERT-base, bfloat16",
    {},
    mean=60,
    longest=128,
    batch=32,
    compute=ComputeSpec(precision="bfloat16"),
)
"""As it is fine-tuned on a GPU: a CPU takes ten seconds a step."""


def text_rows(rounds: int, device: str = "cpu", encoder: Encoder | None = None) -> list[Row]:
    """Seconds of a thousand tokens, padding not counted: the peer's, ours dense and masked, and
    without groups.
    """
    encoder = encoder or (MINILM if device == "cpu" else BERT_BASE)
    with (
        tempfile.TemporaryDirectory() as where,
        patch.dict(os.environ, SPARSETUNE_CACHE=f"{where}/cache"),
    ):
        write_texts(Path(where) / "SST-2", encoder)
        write_encoder(Path(where) / "encoder", encoder)
        trials = {
            PEER: trial(Path(where), encoder),
            DENSE: trial(Path(where), encoder),
            f"{SPARSITY:.0%} masked": trial(Path(where), encoder, pruned=True),
            "texts of any lengths together": trial(Path(where), encoder, grouped=False),
        }
        loops = {
            name: Loop(peer if name == PEER else ours, spec, device)
            for name, spec in trials.items()
        }
        with patch.object(TextSplit, "training", counted(TextSplit.training)):
            taken = in_turn(loops, rounds, TIMED, UNTIMED, device)
        return [
            _row(encoder, name, taken[name], loops[name].tokens, padding(trials[name]))
            for name in loops
        ]


def _row(
    encoder: Encoder, name: str, taken: list[list[float]], tokens: list[int], waste: float
) -> Row:
    period = UNTIMED + TIMED
    rounds = [
        tokens[period * round_ + UNTIMED : period * (round_ + 1)]
        for round_ in range(1, len(taken) + 1)
    ]
    seconds = [1000 * sum(steps) / sum(of) for steps, of in zip(taken, rounds, strict=True)]
    against, limit = {PEER: (None, None), DENSE: (PEER, 1.0)}.get(
        name, (DENSE, 1.05 if "masked" in name else None)
    )
    batch = f"{encoder.batch} texts of at most {encoder.longest}"
    title = f"1,000 tokens of {encoder.title}, {batch}, and tokens a second"
    notes = {"padding": waste, "per_second": 1000 / statistics.median(seconds)}
    return Row(title, name, seconds, against, limit, notes=notes)


_counting = threading.local()


@dataclass
class Loop:
    """Steps of one kind, and the tokens of each batch that was read for them."""

    work: Callable[[TrialSpec, str, Turn], object]
    spec: TrialSpec
    device: str
    tokens: list[int] = field(default_factory=list)

    def __call__(self, turn: Turn) -> None:
        _counting.tokens = self.tokens  # every loop has a thread
        self.work(self.spec, self.device, turn)


def counted(
    original: Callable[..., Iterator[TrainingBatch]],
) -> Callable[..., Iterator[TrainingBatch]]:
    """The batches of a split, and their tokens taken down."""

    def training(*given: Any) -> Iterator[TrainingBatch]:
        split, *_ = given
        for inputs, targets, index in original(*given):
            _counting.tokens.append(int(split.lengths[index.cpu()].sum()))
            yield inputs, targets, index

    return training


def padding(spec: TrialSpec) -> float:
    """The share of an epoch's tokens that is padding."""
    split = load_task(spec.task).splits.train
    assert isinstance(split, TextSplit)
    epoch = spec.with_values({"schedule.epochs": 1})
    widths = [(inputs["input_ids"].numel(), index) for inputs, _, index in split.training(epoch, 0)]  # type: ignore[index]
    return 1 - sum(int(split.lengths[index].sum()) for _, index in widths) / sum(
        size for size, _ in widths
    )


def trial(
    where: Path, encoder: Encoder, *, pruned: bool = False, grouped: bool = True
) -> TrialSpec:
    """A trial longer than what is timed, its mask in force from the start."""
    task = TextTask(
        folder=str(where / "SST-2"),
        model=str(where / "encoder"),
        max_length=encoder.longest,
        validation=HELD_OUT,
        train_examples=TRAIN,
        batch_size=encoder.batch,
        group_by_length=grouped,
    )
    sparsity = (
        SparsitySpec(method="gmp", target=SPARSITY, ramp=RampSpec(start=0))
        if pruned
        else SparsitySpec()
    )
    optim = OptimSpec(name="adamw", lr=1e-5)
    schedule = ScheduleSpec(epochs=EPOCHS, warmup=0, lr="constant")
    return TrialSpec(
        task=task, optim=optim, schedule=schedule, sparsity=sparsity, compute=encoder.compute
    )


def ours(spec: TrialSpec, device: str, turn: Turn) -> None:
    """Steps of `train`."""
    train(spec, checkpoints=Clock(turn), device=device)


def peer(spec: TrialSpec, device: str, turn: Turn) -> None:
    """Steps of transformers' trainer: the same model, texts, batches of like lengths, optimizer and
    precision.
    """
    from transformers import DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments

    assert isinstance(spec.task, TextTask)
    task = load_task(spec.task)
    tokens = tokenised_task(spec.task, None)["train"]
    rows = task.splits.train.rows.tolist()  # type: ignore[attr-defined]
    bounds = [(int(tokens.starts[row]), int(tokens.starts[row + 1])) for row in rows]
    texts = [
        {
            "input_ids": tokens.ids[start:end].tolist(),
            "labels": int(tokens.labels[row]),
            "length": end - start,
        }
        for row, (start, end) in zip(rows, bounds, strict=True)
    ]
    tokenizer = encoders.tokenizer_of(spec.task.model, None, list, "")
    padded = DataCollatorWithPadding(tokenizer)

    class Told(TrainerCallback):
        def on_step_end(self, *given: Any, **named: Any) -> None:
            turn.tick()

    def collated(items: list[dict[str, Any]]) -> Any:
        _counting.tokens.append(sum(item.pop("length") for item in items))
        return padded(items)

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=spec.task.batch_size,
            num_train_epochs=EPOCHS,
            learning_rate=1e-5,
            lr_scheduler_type="constant",
            weight_decay=1e-4,
            optim="adamw_torch_fused",
            max_grad_norm=0,
            train_sampling_strategy="group_by_length",
            length_column_name="length",
            remove_unused_columns=False,
            logging_strategy="no",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=device == "cpu",
            bf16=spec.compute.precision == "bfloat16",
            dataloader_drop_last=True,
        )
        model = task.build_model()
        data: Any = Dataset.from_list(texts)
        Trainer(model, arguments, collated, data, callbacks=[Told()]).train()


def write_texts(folder: Path, encoder: Encoder) -> None:
    """Sentences whose lengths are spread as those of SST-2: many short, few long."""
    rng = np.random.RandomState(0)
    folder.mkdir(parents=True)
    for name, rows in (("train", TRAIN + HELD_OUT), ("dev", DEV)):
        lengths = np.minimum(1 + rng.exponential(encoder.mean, rows).astype(int), encoder.longest)
        texts = [" ".join(rng.choice([*FILLERS, *GOOD, *BAD], length)) for length in lengths]
        lines = [f"{text}\t{row % 2}" for row, text in enumerate(texts)]
        (folder / f"{name}.tsv").write_text("\n".join(["sentence\tlabel", *lines]) + "\n")


def write_encoder(folder: Path, encoder: Encoder) -> None:
    """An encoder of that shape drawn at random, with a tokenizer trained on such words."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    BertForSequenceClassification(BertConfig(**encoder.sizes)).save_pretrained(folder)
    words = [*FILLERS, *GOOD, *BAD]
    encoders.tokenizer_of("bert_tiny", None, lambda: words, "benchmark").save_pretrained(folder)
