"""The benchmarks run, and what they time is what they say."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn
from torch.nn import functional
from torch.nn.modules.module import register_module_forward_hook
from torch.optim import SGD
from torch.utils.data import DataLoader

from sparsetune import ScheduleSpec, TrialSpec
from sparsetune.sparsity.methods.registry import METHODS
from sparsetune.spec.task import ImageTask
from sparsetune.storage.ledger import read_records
from sparsetune.storage.trial_state import fold_records
from sparsetune.tasks.images.resident import ResidentSplit
from sparsetune.tasks.images.sources import SOURCES
from sparsetune.tasks.task import Batch
from tests.benchmarks import __main__ as command
from tests.benchmarks import (
    analysis_scale,
    data_cost,
    device_sharing,
    ledger_cost,
    mask_update,
    resume_cost,
)
from tests.benchmarks.data_cost import (
    AUGMENTATIONS,
    OURS,
    SETS,
    folder_rows,
    one_epoch,
    published_images,
    seconds_of,
)
from tests.benchmarks.data_wait import waits
from tests.benchmarks.device_sharing import sharing_rows
from tests.benchmarks.mask_update import ONE_PASS, peak_bytes
from tests.benchmarks.rows import Row, Turn, in_turn, quartiles
from tests.benchmarks.step_cost import (
    BARE,
    HELD_OUT,
    PRUNED,
    RESNET50,
    Setting,
    random_images,
    step_rows,
)
from tests.benchmarks.trial_cost import OURS as LAUNCH
from tests.benchmarks.trial_cost import PLAIN, REUSED, Life, slot_seconds, trial_rows, warm_since

TINY = Setting(
    "mlp",
    (1, 8, 8),
    2000,
    20,
    rounds=4,
    timed=2,
    untimed=1,
    limit=1.1,
    methods=tuple(m for m in METHODS if m not in ("obert", "transfer")),
)
TINY_ON_GPU = replace(
    RESNET50, model="resnet8", input_shape=(3, 8, 8), examples=64, batch=4, timed=1
)


def _loop(log: list[str], name: str) -> Callable[[Turn], None]:
    def run(turn: Turn) -> None:
        while True:
            log.append(name)
            turn.tick()

    return run


def test_loops_take_turns_of_equal_length() -> None:
    log: list[str] = []
    taken = in_turn(
        {name: _loop(log, name) for name in "ab"}, rounds=3, timed=2, untimed=1, device="cpu"
    )
    assert "".join(log) == "aaabbb" * 4
    assert {name: [len(steps) for steps in rounds] for name, rounds in taken.items()} == {
        "a": [2] * 3,
        "b": [2] * 3,
    }


def test_a_loop_that_fails_ends_the_others() -> None:
    def fails(turn: Turn) -> None:
        turn.tick()
        raise ValueError("no data")

    with pytest.raises(ValueError, match="no data"):
        in_turn(
            {"fails": fails, "other": _loop([], "other")},
            rounds=3,
            timed=1,
            untimed=0,
            device="cpu",
        )


def test_ratios_are_round_by_round_within_the_table() -> None:
    rows = [
        Row("a", "base", [1.0, 2.0]),
        Row("b", "base", [5.0, 5.0]),
        Row("a", "ours", [3.0, 3.0], "base", 1.05),
    ]
    assert rows[2].ratios(rows) == [3.0, 1.5]
    assert rows[2].as_json(rows)["ratio"] == (1.875, 2.25, 2.625)
    assert rows[0].as_json(rows)["ratio"] is None
    assert quartiles([7.0]) == (7.0, 7.0, 7.0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells the peak")
def test_the_peak_counts_what_is_freed_again() -> None:
    size = 64_000_000
    assert peak_bytes(lambda: torch.ones(size, dtype=torch.uint8).max(), "cpu") == pytest.approx(
        size, rel=0.1
    )


def test_the_command_prints_every_row_and_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "SETTINGS", [TINY])
    monkeypatch.setattr(ledger_cost, "APPENDS", 3)
    monkeypatch.setattr(mask_update, "NETWORKS", {"mlp": mask_update.NETWORKS["mlp"]})
    threads = torch.get_num_threads()
    try:
        command.main(["steps", "masks", "ledger", "--quick", "--json", str(tmp_path / "rows.json")])
    finally:
        torch.set_num_threads(threads)
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    printed = capsys.readouterr().out
    assert all(row["name"] in printed and row["seconds"] for row in rows)
    expected = {
        BARE,
        PRUNED,
        *TINY.methods,
        ONE_PASS,
        "torch.sort",
        "mlp, 17,024 weights",
        "Ledger.append",
    }
    assert expected <= {row["name"] for row in rows}


def test_the_full_size_step_is_the_declared_one_on_both_sides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a CPU with a tiny network: layout, precision and smoothing are those of ResNet-50."""
    arithmetic = set[tuple[Any, ...]]()
    smoothing = set[float]()
    cross_entropy = functional.cross_entropy

    def see(module: nn.Module, given: tuple[torch.Tensor], output: torch.Tensor) -> None:
        if (
            isinstance(module, nn.Conv2d) and len(given[0]) == TINY_ON_GPU.batch
        ):  # FLOPs are counted on an example
            arithmetic.add(
                (output.dtype, given[0].is_contiguous(memory_format=torch.channels_last))
            )

    def smoothed(*given: torch.Tensor, label_smoothing: float) -> torch.Tensor:
        smoothing.add(label_smoothing)
        return cross_entropy(*given, label_smoothing=label_smoothing)

    monkeypatch.setattr(functional, "cross_entropy", smoothed)
    with register_module_forward_hook(see):
        rows = step_rows(TINY_ON_GPU, rounds=1)
    assert [row.name for row in rows] == [BARE, PRUNED, "dense", "gmp", "rigl", "acdc"]
    assert arithmetic == {(torch.bfloat16, True)} and smoothing == {0.1}
    assert rows[2].limit == pytest.approx(1 / 0.97) and rows[3].limit == RESNET50.limit
    assert all(set(row.notes) == {"mean_seconds", "per_second", "mebibytes"} for row in rows)
    assert rows[0].notes["per_second"] == pytest.approx(4 / rows[0].seconds[0])


@pytest.mark.gpu
def test_a_full_size_step_on_a_gpu() -> None:
    rows = {row.name: row for row in step_rows(RESNET50, rounds=2, device="cuda")}
    assert rows["dense"].notes["mebibytes"] < 1.1 * rows[BARE].notes["mebibytes"]


@pytest.mark.parametrize("name", SETS)
def test_both_pipelines_give_the_same_images(name: str) -> None:
    published = SETS[name]
    examples = 30
    with random_images(published.input_shape, examples + HELD_OUT, name):
        task = ImageTask.model_validate(
            {"dataset": name, "validation": HELD_OUT, "train_examples": examples}
        )
        pixels, targets = SOURCES[name].read(None)["train"]
        (ours, _), *_ = (
            SOURCES[name].splits(task, None, "cpu", 10_000).train.read([torch.arange(examples)])
        )
    theirs, _ = next(
        iter(DataLoader(published_images(published, pixels, targets, {}), len(pixels)))
    )
    places = torch.cdist(ours.flatten(1), theirs.flatten(1)).argmin(1)
    torch.testing.assert_close(ours, theirs[places])
    changed = published_images(published, pixels, targets, AUGMENTATIONS["crop 4, flip, cutout 8"])
    assert (torch.stack([changed[i][0] for i in range(8)]) == 0).flatten(2).sum(2).min() >= 64


def test_a_rate_counts_all_batches_but_the_first() -> None:
    ticks = iter([10.0, 13.0])
    batches = [(torch.empty(0), torch.empty(n)) for n in (100, 4, 2)]
    assert seconds_of(lambda: iter(batches), lambda: next(ticks)) == 1000 * 3 / 6


def test_an_epoch_of_ours_is_whole() -> None:
    task = ImageTask(validation=HELD_OUT, train_examples=50, batch_size=10)
    with random_images((1, 28, 28), 50 + HELD_OUT):
        _, *batches = one_epoch(
            SOURCES["fashion_mnist"].splits(task, None, "cpu", 10_000).train, task
        )
    assert {len(targets) for _, targets in batches} == {10} and len(batches) == 5
    assert len({image.sum().item() for inputs, _ in batches for image in inputs}) == 50


def test_photographs_are_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "FILES": 8,
        "FOLDER_BATCH": 2,
        "FOLDER_WORKERS": {"cpu": (0,)},
        "SIDE": 32,
    }.items():
        monkeypatch.setattr(data_cost, name, value)
    threads = torch.get_num_threads()
    rows = folder_rows(1)
    assert [row.name for row in rows] == [
        "torchvision, v2 on tensors",
        "torchvision, v2 on PIL images",
        OURS,
    ]
    assert rows[2].ratios(rows) == [rows[2].seconds[0] / rows[0].seconds[0]]
    assert torch.get_num_threads() == threads


def test_a_wait_is_of_the_data_and_not_of_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(split: ResidentSplit, spec: TrialSpec, first: int) -> Iterator[Batch]:
        for batch in given(split, spec, first):
            time.sleep(0.05)
            yield batch

    given = ResidentSplit.training
    monkeypatch.setattr(ResidentSplit, "training", late)
    monkeypatch.setattr(SGD, "step", lambda *_, **__: time.sleep(0.1))
    step, wait = waits(TrialSpec(schedule=ScheduleSpec(epochs=1)), steps=4)
    assert 0.05 <= wait < 0.09 and 0.15 <= step < 0.3


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_processes_share_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_sharing, "PROCESSES", (1, 2))
    monkeypatch.setattr(device_sharing, "BASE", TrialSpec(schedule=ScheduleSpec(epochs=1)))
    alone, together = sharing_rows(rounds=2)
    assert (alone.name, together.name, together.against) == (
        "1 process",
        "2 processes",
        "1 process",
    )
    assert len(together.seconds) == 2 and together.notes["per_hour"] > 0


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_data_are_measured_with_worker_processes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {"IMAGES": 1000, "PEER_IMAGES": 300, "FILES": 32, "FOLDER_BATCH": 2, "SIDE": 32}
    for name, value in small.items():
        monkeypatch.setattr(data_cost, name, value)
    monkeypatch.setattr(command, "DATA_ROUNDS", 4)
    threads = torch.get_num_threads()
    try:
        command.main(["data", "--quick"])
    finally:
        torch.set_num_threads(threads)
    printed = capsys.readouterr().out
    assert all(
        words in printed
        for words in ("1,000 images of cifar10, crop 4, flip", "1 workers", "waits of lenet", "/s")
    )


def test_a_table_is_read_beside_pandas(tmp_path: Path) -> None:
    pandas_row, ours = analysis_scale.table_rows(tmp_path, 500, 2)
    assert (pandas_row.name, ours.against) == ("pandas.read_csv", "pandas.read_csv")
    assert len(ours.seconds) == 2 and ours.at_most is not None and ours.at_most > 2


def test_an_unknown_section_is_refused_with_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        command.main(["speed"])
    assert (
        "sections are steps, own_task, masks, trials, resume, ledger, analysis_scale, fisher, text,"
        " data, followers, landscapes, suggestions, sharing, got speed" in capsys.readouterr().err
    )


def test_a_trials_seconds_are_of_one_workers_time() -> None:
    # of two workers, one takes 2 s for each of three trials, the other 3 s for each of two
    assert slot_seconds([2, 4, 6, 3, 6], workers=2) == [2, 3, 2]
    assert slot_seconds([0, 1, 2, 3], workers=1) == [1, 1, 1]


def test_warm_is_when_the_last_worker_has_trained() -> None:
    lives = [Life(7, 10, 11), Life(7, 11, 12), Life(8, 12.5, 13), Life(7, 12, 13)]
    assert warm_since(lives, workers=2) == 13
    assert (
        warm_since([Life(pid, 10 + pid, 11 + pid) for pid in range(5)], workers=2) == 12
    )  # none is used again


def test_a_long_study_is_measured_part_by_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume_cost, "REPORTS", 2)
    home = resume_cost.write_study(tmp_path, 6)
    *parts, (name, whole, _) = resume_cost.by_parts(home)
    assert name == resume_cost.WHOLE and sum(seconds for _, seconds, _ in parts) <= whole
    assert (
        len(fold_records(read_records(home.ledger))) == 6 and len(list(home.ledger.iterdir())) == 1
    ), "the study stays as it was"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_trials_are_run_in_every_way() -> None:
    rows = {row.name: row.seconds for row in trial_rows(6) if row.table.startswith("6")}
    assert len(rows[LAUNCH]) >= 2 and len(rows[REUSED]) >= 2 and len(rows[PLAIN]) == 4


def test_regrets_are_printed_with_their_intervals() -> None:
    notes = {
        "epochs_fraction": 0.2371,
        "regret_points": 0.5,
        "regret_low": -1.25,
        "regret_high": 2.0,
        "optimism_points": 3.1,
        "failed_fraction": 0.004,
        "seed_sd_points": 1.5,
    }
    rows = [Row("landscapes, held out", "default", [1.0], notes=notes), Row("other", "row", [1.0])]
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(command.regret_table(rows))
    printed = console.export_text()
    assert "landscapes, held out: a seed's sd is 1.50 points" in printed
    assert [cell.strip() for cell in printed.splitlines()[-2].split("│")[1:-1]] == [
        "default", "0.237", "0.50", "-1.25 to 2.00", "3.10", "0.4%",
    ]  # fmt: skip
    assert "other" not in printed
