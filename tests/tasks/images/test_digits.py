import pytest
import torch

from sparsetune.spec.task import DigitsTask
from sparsetune.tasks.images import digits
from sparsetune.tasks.images.resident import ResidentSplit
from sparsetune.tasks.kinds import load_task


def rows(split: ResidentSplit) -> set[bytes]:
    return {example.numpy().tobytes() for example in split.inputs}


@pytest.mark.parametrize("validation", [0, 0.1, 200])
def test_sizes_are_what_the_declaration_says(validation: float) -> None:
    spec = DigitsTask(validation=validation)
    splits = load_task(spec).splits
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (
        spec.train_size(),
        spec.held_out(),
        360,
    )
    assert len(splits.train_subset) == spec.train_size()


def test_splits_are_disjoint_stratified_and_scaled() -> None:
    task = load_task(DigitsTask())
    splits = task.splits
    parts = [rows(split) for split in (splits.train, splits.validation, splits.test)]
    assert sum(len(part) for part in parts) == len(set.union(*parts)) == 1797
    for split in (splits.validation, splits.test):
        counts = split.targets.bincount(minlength=10)
        assert counts.max() - counts.min() <= 2
    assert splits.train.inputs.shape == (1293, *digits.INPUT_SHAPE)
    assert (splits.train.inputs.min(), splits.train.inputs.max()) == (0, 1)


def test_the_split_seed_moves_validation_and_never_the_test_set() -> None:
    first, second = (load_task(DigitsTask(split_seed=seed)).splits for seed in (0, 1))
    assert rows(first.validation) != rows(second.validation)
    assert torch.equal(first.test.inputs, second.test.inputs)


def test_tasks_on_equal_data_share_it() -> None:
    assert (
        load_task(DigitsTask(batch_size=32)).splits is load_task(DigitsTask(batch_size=64)).splits
    )


def test_the_default_network_is_small() -> None:
    task = load_task(DigitsTask())
    weights = task.prunable(task.build_model())
    assert sum(weight.numel() for weight in weights.values()) == 17_024
