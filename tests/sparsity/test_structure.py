import math

import pytest
import torch

from sparsetune.sparsity.structure import MAX_KEPT_MASKS, MaskRecorder

WEIGHTS = {"a": torch.zeros(2, 4), "b": torch.zeros(2)}


def mask(*kept: int) -> dict[str, torch.Tensor]:
    """Masks that keep these of the ten weights: the first eight are layer `a`."""
    flat = torch.zeros(10, dtype=torch.bool)
    flat[list(kept)] = True
    return {"a": flat[:8].view(2, 4), "b": flat[8:]}


def record(structure: MaskRecorder, step: int, *kept: int, iou: float = math.nan) -> None:
    masks = mask(*kept)
    structure.record(step, "dynamic", masks, {name: int(m.sum()) for name, m in masks.items()}, iou)


def test_densities_overlaps_and_what_was_ever_active_by_hand() -> None:
    structure = MaskRecorder(WEIGHTS)
    record(structure, 0, 0, 1, 2, 8)
    assert structure.ever_active() == 0.4
    record(structure, 10, 1, 2, 3, 8, iou=0.6)
    assert structure.ever_active() == 0.5
    record(structure, 20, 2, 3, 4, 9, iou=1 / 3)
    assert structure.ever_active() == 0.7
    first, second, last = structure.summary()
    assert first == {
        "step": 0,
        "phase": "dynamic",
        "sparsity": 0.6,
        "density": {"a": 3 / 8, "b": 1 / 2},
        "iou_previous": None,
        "iou_final": 1 / 7,
    }
    assert (second["iou_previous"], second["iou_final"]) == (0.6, 2 / 6)
    assert last["iou_final"] == 1.0


def test_a_dense_phase_makes_every_weight_active() -> None:
    structure = MaskRecorder(WEIGHTS)
    record(structure, 0, 0)
    structure.all_active = True
    record(structure, 1, 1)
    assert structure.ever_active() == 1.0
    assert MaskRecorder(WEIGHTS).ever_active() == 1.0


@pytest.mark.parametrize("masks", [1, MAX_KEPT_MASKS, MAX_KEPT_MASKS + 1, 5 * MAX_KEPT_MASKS, 100])
def test_at_most_so_many_masks_are_kept_first_and_last_among_them(masks: int) -> None:
    structure = MaskRecorder(WEIGHTS)
    for step in range(masks):
        record(structure, step, step % 10, 9)
        assert sum(bool(entry.bits) for entry in structure._entries) <= MAX_KEPT_MASKS
    kept = [row["step"] for row in structure.summary() if row["iou_final"] is not None]
    assert (kept[0], kept[-1]) == (0, masks - 1)
    assert len(kept) >= min(masks, MAX_KEPT_MASKS // 2)
    assert len(structure.summary()) == masks


def test_bits_are_packed_and_its_state_goes_on() -> None:
    structure = MaskRecorder(WEIGHTS)
    straight = MaskRecorder(WEIGHTS)
    for step in range(50):
        record(structure, step, step % 10)
        record(straight, step, step % 10)
        again = MaskRecorder(WEIGHTS)
        again.load(structure.state())
        structure = again
    assert structure.summary() == straight.summary()
    assert structure.ever_active() == straight.ever_active() == 1.0
    assert {bits.numel() for entry in structure._entries for bits in entry.bits.values()} == {1}
