"""Splits of tokenised sentences, on the device whole.

Batches are padded to their longest text, and may group texts of similar length.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sparsetune.seeds import derived_seed
from sparsetune.spec import TrialSpec
from sparsetune.spec.task import TextTask
from sparsetune.tasks.nested import Nested
from sparsetune.tasks.network import logits_problem
from sparsetune.tasks.task import Batch, Splits, TrainingBatch, epoch_order, split_indices
from sparsetune.tasks.text import encoders
from sparsetune.tasks.text.tokens import Tokens, tokenised_task

EVALUATED_TOGETHER = 256
"""Texts of a forward pass in evaluations. Results change in the last bit with it."""
SORTED_TOGETHER = 50
"""Batches whose examples are sorted by length together, as in transformers' trainer.

Sorting the whole epoch would put all short texts first.
"""
BINS_OF_SCORES = 6
"""Strata of STS-B's scores from 0 to 5: their nearest integers."""


@dataclass(frozen=True)
class TextSplit:
    """Tokenised texts on the device.

    Args:
        tokens: Tokens of a whole set of the task, on the device.
        rows: Indices of the split's texts in it, ascending, (n,), on the CPU.
        lengths: Number of tokens of each text of the split, (n,), on the CPU, where the width of a
            batch must be known.
        targets: Class numbers or scores, (n,), on the device.
    """

    tokens: Tokens
    rows: torch.Tensor
    lengths: torch.Tensor
    targets: torch.Tensor

    @classmethod
    def of(cls, tokens: Tokens, rows: torch.Tensor, lengths: torch.Tensor) -> TextSplit:
        """Split with some rows of a set whose texts have the given lengths, all (n,)."""
        return cls(tokens, rows, lengths[rows], tokens.labels[rows.to(tokens.labels.device)])

    def __len__(self) -> int:
        return len(self.rows)

    def chunks(self) -> list[torch.Tensor]:
        """See `sparsetune.tasks.task.Examples`; texts of similar length together."""
        by_length = torch.sort(self.lengths, stable=True).indices
        return list(torch.split(by_length, EVALUATED_TOGETHER))

    def read(self, chosen: Iterable[torch.Tensor]) -> Iterator[Batch]:
        """See `sparsetune.tasks.task.Examples`."""
        for index in chosen:
            yield self._padded(index), self.targets[index.to(self.targets.device)]

    def training(self, spec: TrialSpec, first: int) -> Iterator[TrainingBatch]:
        """See `sparsetune.tasks.task.Examples`."""
        assert isinstance(spec.task, TextTask)
        per_epoch = spec.steps_per_epoch()
        batches = torch.empty(0)
        for step in range(first, spec.total_steps()):
            epoch, number = divmod(step, per_epoch)
            if number == 0 or step == first:
                batches = self._batches(spec.seed, epoch, per_epoch, spec.task)
            index = batches[number]
            # A blocking copy of a few numbers would make the GPU wait at every step.
            on_device = index.to(self.targets.device, non_blocking=True)
            yield self._padded(index), self.targets[on_device], on_device

    def _batches(self, seed: int, epoch: int, count: int, task: TextTask) -> torch.Tensor:
        """Batches of an epoch as indices of the split's texts, (count, batch_size)."""
        order = epoch_order(seed, epoch, len(self))[: count * task.batch_size]
        if not task.group_by_length:
            return order.view(count, -1)
        parts = torch.split(order, SORTED_TOGETHER * task.batch_size)
        by_length = torch.cat([self._sort_by_length(part) for part in parts])
        # Shuffled again, or every part would go from short batches to long ones.
        generator = torch.Generator().manual_seed(derived_seed(seed, "batches", epoch))
        return by_length.view(count, -1)[torch.randperm(count, generator=generator)]

    def _sort_by_length(self, index: torch.Tensor) -> torch.Tensor:
        return index[torch.sort(self.lengths[index], stable=True).indices]

    def _padded(self, index: torch.Tensor) -> Nested:
        """Inputs of the network for some texts of the split, padded to the longest."""
        tokens = self.tokens
        lengths = self.lengths[index]
        device = tokens.ids.device
        rows = self.rows[index].to(device, non_blocking=True)
        ends = lengths.to(device, non_blocking=True)[:, None]
        columns = torch.arange(int(lengths.max()), device=device)
        inside = columns < ends
        # Padding reads the text's last token, so that every position is valid; then it is masked.
        positions = tokens.starts[rows][:, None] + torch.minimum(columns, ends - 1)
        inputs = {
            "input_ids": tokens.ids[positions].long().masked_fill_(~inside, tokens.pad),
            "attention_mask": inside.long(),
            "token_type_ids": tokens.types[positions].long().masked_fill_(~inside, 0),
        }
        return {name: inputs[name] for name in tokens.inputs}


def text_splits(spec: TextTask, data_root: Path | None, device: str, subset: int) -> Splits:
    """Four splits, of which GLUE's dev set is the test split.

    Args:
        spec: The task's declaration.
        data_root: Folder that data sets lie in.
        device: As torch names it.
        subset: Number of training examples on which the training loss is measured.
    """
    sets = tokenised_task(spec, data_root)
    labels = sets["train"].labels.double().round().long().numpy()
    chosen = split_indices(
        labels, spec.held_out(), spec.train_size(), spec.drawn_split_seed(), subset
    )
    lengths = {name: tokens.starts.diff() for name, tokens in sets.items()}
    held = {name: tokens.to(device) for name, tokens in sets.items()}

    def train_part(name: str) -> TextSplit:
        rows = torch.from_numpy(np.ascontiguousarray(chosen[name]))
        return TextSplit.of(held["train"], rows, lengths["train"])

    all_test_rows = torch.arange(len(lengths["test"]))
    return Splits(
        train=train_part("train"),
        train_subset=train_part("train_subset"),
        validation=train_part("validation"),
        test=TextSplit.of(held["test"], all_test_rows, lengths["test"]),
    )


@dataclass(frozen=True)
class EncoderNetwork:
    """Encoder with a head for the task: the linear layers of its stack of blocks may be pruned.

    Args:
        name: Name of the model; see `sparsetune.spec.task.TextTask.model`.
        outputs: Number of classes, or 1 where a number is predicted.
        max_length: Number of tokens of a text of full size.
        data_root: Folder that local models lie in.
    """

    name: str
    outputs: int
    max_length: int
    data_root: Path | None = None

    def build(self) -> nn.Module:
        """See `sparsetune.tasks.network.Network`."""
        network: nn.Module = encoders.build_encoder(self.name, self.outputs, self.data_root)
        return network

    def meta(self) -> nn.Module:
        """See `sparsetune.tasks.network.Network`."""
        network: nn.Module = encoders.meta_encoder(self.name, self.outputs, self.data_root)
        return network

    def example(self) -> dict[str, torch.Tensor]:
        """See `sparsetune.tasks.network.Network`.

        It has token ids alone: the values of a mask would be read, and the meta device has none.
        """
        return {"input_ids": torch.zeros((1, self.max_length), dtype=torch.long, device="meta")}

    @property
    def input_text(self) -> str:
        """See `sparsetune.tasks.network.Network`."""
        return "token ids"

    def output_problem(self, outputs: Any) -> str | None:
        """See `sparsetune.tasks.network.Network`."""
        return logits_problem(outputs, self.outputs)

    def among(self, model: nn.Module, named: Sequence[str]) -> Collection[str]:
        """See `sparsetune.tasks.network.Network`."""
        weights: Collection[str] = encoders.encoder_weights(self.name, model, named)
        return weights
