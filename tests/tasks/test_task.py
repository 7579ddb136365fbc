import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsetune.errors import DeclarationError
from sparsetune.spec.task import DigitsTask, ImageTask
from sparsetune.tasks import kinds
from sparsetune.tasks.images import resident, sources
from sparsetune.tasks.images.digits import read_digits
from sparsetune.tasks.kinds import load_task, split_problems
from sparsetune.tasks.task import stratified_split


@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_a_stratified_draw_is_exact_and_keeps_every_class_in_proportion(
    counts: list[int], seed: int, data: st.DataObject
) -> None:
    targets = np.repeat(np.arange(len(counts)), counts)
    size = data.draw(st.integers(0, len(targets)))
    chosen, rest = stratified_split(targets, size, seed)
    assert len(chosen) == size
    assert sorted([*chosen, *rest]) == list(range(len(targets)))
    drawn = np.bincount(targets[chosen], minlength=len(counts))
    # Each class is within half an example of one common fraction, which is size / n to within half
    # an example a class.
    allowed = 0.5 + 0.5 * len(counts) * np.array(counts) / len(targets)
    assert (np.abs(drawn - size * np.array(counts) / len(targets)) <= allowed + 1e-9).all()


def test_the_draw_follows_its_seed() -> None:
    targets = np.repeat(np.arange(10), 50)
    assert (
        stratified_split(targets, 100, 1)[0].tolist()
        == stratified_split(targets, 100, 1)[0].tolist()
    )
    assert (
        stratified_split(targets, 100, 1)[0].tolist()
        != stratified_split(targets, 100, 2)[0].tolist()
    )


@pytest.mark.parametrize(
    ("task", "path"),
    [
        (DigitsTask(validation=5), "task.validation"),
        (DigitsTask(validation=1430), "task.validation"),
        (DigitsTask(validation=5000), "task.validation"),
        (DigitsTask(batch_size=1294), "task.batch_size"),
        (ImageTask(train_examples=54_001), "task.train_examples"),
        (ImageTask(train_examples=100), "task.batch_size"),
    ],
)
def test_sizes_that_do_not_fit_are_problems(task: DigitsTask | ImageTask, path: str) -> None:
    assert [problem.path for problem in split_problems(task)] == [path]
    with pytest.raises(DeclarationError, match=path):
        load_task(task)


@pytest.mark.parametrize(
    "task", [DigitsTask(), DigitsTask(validation=0), DigitsTask(batch_size=1293), ImageTask()]
)
def test_sizes_that_fit_are_none(task: DigitsTask | ImageTask) -> None:
    assert split_problems(task) == []


def test_the_digest_of_the_data_names_every_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    def digest(read: Callable[[], dict[str, tuple[torch.Tensor, torch.Tensor]]]) -> str:
        source = dataclasses.replace(sources.SOURCES["digits"], read=lambda _: read())
        monkeypatch.setitem(sources.SOURCES, "digits", source)
        resident.bytes_digest.cache_clear()
        return kinds.data_digest(DigitsTask(model="other", batch_size=7))

    def one_pixel_else() -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        sets = read_digits()
        inputs = sets["test"][0].clone()
        inputs[-1, 0, 7, 7] += 1 / 16
        return {**sets, "test": (inputs, sets["test"][1])}

    first = digest(read_digits)
    assert first.startswith("digits=") and len(first) == len("digits=") + 12
    assert digest(read_digits) == first != digest(one_pixel_else)
    resident.bytes_digest.cache_clear()
