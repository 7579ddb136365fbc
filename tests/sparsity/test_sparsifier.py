import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_

from sparsetune.sparsity.flops import ForwardFlops
from sparsetune.sparsity.sparsifier import Sparsifier
from sparsetune.spec import OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import AcdcSpec, FisherSpec, RampSpec, RegrowSpec, SparsitySpec
from sparsetune.spec.task import DigitsTask
from tests.sparsity.small import EXAMPLES, SmallRun

WEIGHTS = 20 * 16 + 16 * 12 + 12 * 5


def small(**sparsity: Any) -> SmallRun:
    optim = {"name": sparsity.pop("optimizer", "sgd")}
    return SmallRun(SparsitySpec(**sparsity), **optim)


class Four:
    """Four weights under a sparsifier, with given gradients; SGD with rate 1, momentum 1/2."""

    def __init__(
        self,
        *values: float,
        steps: int = 10,
        seed: int = 0,
        clip_norm: float | None = None,
        **sparsity: Any,
    ) -> None:
        spec = TrialSpec(
            task=DigitsTask(batch_size=EXAMPLES),
            optim=OptimSpec(clip_norm=clip_norm),
            schedule=ScheduleSpec(epochs=steps),
            sparsity=SparsitySpec(**({"target": 0.5} | sparsity)),
            seed=seed,
        )
        self.weight = nn.Parameter(torch.tensor([values], dtype=torch.float32))
        self.optimizer = torch.optim.SGD([self.weight], lr=1.0, momentum=0.5)
        self.sparsifier = Sparsifier(
            spec, {"w": self.weight}, self.optimizer, ForwardFlops({"w": 8})
        )
        self.clip_norm = clip_norm
        self.at = 0

    def begin(self) -> list[float]:
        """The weights that the forward pass of the next step sees."""
        self.sparsifier.before_forward(self.at)
        return self.values()

    def end(self, *gradient: float) -> list[float]:
        """The weights after a step with this gradient."""
        self.weight.grad = torch.tensor([gradient], dtype=torch.float32)
        self.sparsifier.after_backward()
        if not self.sparsifier.replaces_step:
            if self.clip_norm is not None:
                clip_grad_norm_([self.weight], self.clip_norm)
            self.optimizer.step()
        self.sparsifier.after_step()
        self.at += 1
        return self.values()

    def step(self, *gradient: float) -> list[float]:
        self.begin()
        return self.end(*gradient)

    def values(self) -> list[float]:
        return self.weight[0].tolist()

    def kept(self) -> list[bool]:
        return self.sparsifier.masks()["w"][0].tolist()

    def momentum(self) -> list[float]:
        return self.optimizer.state[self.weight]["momentum_buffer"][0].tolist()


def test_one_shot_by_hand() -> None:
    four = Four(1, -2, 3, -4, method="one_shot", prune_at=0.1)
    assert four.step(1, 1, 1, 1) == [0, -3, 2, -5]
    assert four.begin() == [0, -3, 0, -5]
    assert four.end(1, 1, 1, 1) == [0, -4.5, 0, -6.5]  # momentum moves by 1.5, the mask holds
    assert four.kept() == [False, True, False, True]


def test_a_clip_counts_the_weights_inside_the_mask_alone() -> None:
    """The norm of (3, 4) is 5; with the gradients outside, it would be above 100."""
    four = Four(1, -20, 3, -40, method="one_shot", prune_at=0, clip_norm=1)
    assert four.step(99, 3, 99, 4) == pytest.approx([0, -20.6, 0, -40.8], abs=1e-5)


def test_a_clip_leaves_shorter_gradients_as_they_are() -> None:
    four = Four(1, -20, 3, -40, method="one_shot", prune_at=0, clip_norm=6)
    assert four.step(99, 3, 99, 4) == [0, -23, 0, -44]


def test_a_clip_counts_dense_weights_behind_the_mask_with_their_pull() -> None:
    """Outside the mask, gradients are 3 and -4 and the pulls 1 and 0: the norm of (4, 0, 2, -4) is
    6.
    """
    four = Four(10, -30, 20, 0, method="sr_ste", pattern="2:4", shadow_decay=0.1, clip_norm=3)
    four.begin()
    assert four.end(3, 0, 2, -4) == pytest.approx([8, -30, 19, 2], abs=1e-5)


def test_growth_reads_gradients_from_before_the_clip() -> None:
    """10 + 0 + 0 against 0 + 3 + 3; clipped to 1 each, the other would be the larger."""
    four = rigl(every=4, batches=3, clip_norm=1)
    four.end(0, 0, 0, 0)
    for gradient in ((0, 0), (10, 0), (0, 3), (0, 3)):
        four.step(0, 0, *gradient)
    assert four.kept() == [False, True, True, False]


def rigl(every: int, batches: int = 1, clip_norm: float | None = None) -> Four:
    """Four weights with the first two in the random mask; every update exchanges one of them."""
    regrow = RegrowSpec(
        fraction=0.5, decay="constant", every=f"{every} steps", until=0.9, batches=batches
    )
    for seed in range(100):
        four = Four(1, 2, 3, 4, method="rigl", regrow=regrow, seed=seed, clip_norm=clip_norm)
        if four.begin() == [1, 2, 0, 0]:
            return four
    raise AssertionError("of 100 random masks, one must keep the first two")


def test_rigl_by_hand() -> None:
    """The update replaces the step: the lower goes, the larger gradient outside grows from zero."""
    four = rigl(every=2)
    assert four.kept() == [True, True, False, False]
    assert four.end(-1, -1, -1, -1) == [2, 3, 0, 0]
    assert four.step(-1, -1, -1, -1) == [3.5, 4.5, 0, 0]
    assert four.begin() == [3.5, 4.5, 0, 0]
    assert four.sparsifier.replaces_step
    assert four.end(-1, -1, 2, -3) == [0, 4.5, 0, 0]
    assert four.kept() == [False, True, False, True]
    assert four.momentum()[1] == -1.5
    assert four.momentum()[3] == 0
    assert four.step(-1, -1, -1, -1) == [0, 6.25, 0, 1]
    assert not four.sparsifier.replaces_step


def test_a_dropped_weight_that_grows_back_in_the_same_update_keeps_its_value_and_momentum() -> None:
    four = rigl(every=2)
    four.end(-1, -1, -1, -1)
    four.step(-1, -1, -1, -1)
    assert four.step(9, 0, 2, -3) == [3.5, 4.5, 0, 0]
    assert four.kept() == [True, True, False, False]
    assert four.momentum() == [-1.5] * 4


def test_growth_follows_the_sum_of_the_last_batches() -> None:
    """Over the last three batches, 3 + 1 + 0 against -3 + 1 + 2.

    Fewer batches, more, or absolute values would choose the other.
    """
    four = rigl(every=4, batches=3)
    four.end(0, 0, 0, 0)
    for gradient in ((0, 99), (3, -3), (1, 1), (0, 2)):
        four.step(0, 0, *gradient)
    assert four.kept() == [False, True, True, False]


def test_set_grows_anything_whatever_the_gradients() -> None:
    regrow = RegrowSpec(fraction=0.5, decay="constant", every="2 steps", until=0.9)
    grown = set()
    for seed in range(60):
        four = Four(1, 2, 3, 4, method="set", regrow=regrow, seed=seed)
        if four.begin() == [1, 2, 0, 0]:
            four.end(0, 0, 0, 0)
            four.step(0, 0, 0, 0)
            assert four.step(0, 0, 0, 99) in ([1, 2, 0, 0], [0, 2, 0, 0])
            grown.add(tuple(four.kept()))
    assert grown == {
        (True, True, False, False),
        (False, True, True, False),
        (False, True, False, True),
    }


def test_granet_steps_and_then_prunes_and_exchanges() -> None:
    """The first of equal weights is pruned, the other dropped.

    The one with a gradient grows, and keeps its value.
    """
    ramp = RampSpec(shape="linear", start=0.0, length="4 steps", updates=2)
    regrow = RegrowSpec(fraction=0.5, decay="constant", every="2 steps", until=0.9)
    four = Four(1, 2, 3, 4, method="granet", ramp=ramp, regrow=regrow)
    for _ in range(2):
        assert four.step(0, 0, 0, 0) == [1, 2, 3, 4]
    assert four.kept() == [True] * 4
    assert four.step(-1, 0, 0, 0) == [2, 0, 3, 4]
    assert not four.sparsifier.replaces_step
    assert four.sparsifier.sparsity() == 0.25
    assert four.kept() == [True, False, True, True]


def test_sr_ste_by_hand() -> None:
    """2:4: the forward pass sees the two largest; all four learn, the others drawn towards zero."""
    four = Four(1, -3, 2, 0.5, method="sr_ste", pattern="2:4", shadow_decay=0.1)
    assert four.begin() == [0, -3, 2, 0]
    assert four.kept() == [False, True, True, False]
    assert four.end(-2, 0, 1, 0) == pytest.approx([2.9, -3, 1, 0.45])
    with four.sparsifier.effective_weights():
        assert four.values() == pytest.approx([2.9, -3, 0, 0])
        assert four.sparsifier.zeros_in_mask() == 0
        assert four.sparsifier.at_target()
    assert four.values() == pytest.approx([2.9, -3, 1, 0.45])
    assert four.begin() == pytest.approx([2.9, -3, 0, 0])
    assert four.momentum() == pytest.approx([-1.9, 0, 1, 0.05])


def test_structure_and_overlaps_of_three_compressions_by_hand() -> None:
    lengths = {
        "warmup": "1 steps",
        "compress": "1 steps",
        "decompress": "1 steps",
        "last_dense": "1 steps",
    }
    four = Four(1, 2, 3, 4, steps=6, method="acdc", acdc=AcdcSpec(**lengths, final="1 steps"))
    four.step(0, 0, 0, 0)
    assert math.isnan(four.sparsifier.mask_iou)
    assert four.step(0, 0, 0, 0) == [0, 0, 3, 4]  # compressed: the last two
    assert math.isnan(four.sparsifier.mask_iou)
    assert four.step(-9, 0, 0, 0) == [9, 0, 3, 4]
    assert four.begin() == [9, 0, 0, 4]  # compressed: the first and the last
    assert four.sparsifier.mask_iou == 1 / 3
    assert four.end(0, 0, 0, 0) == [13.5, 0, 0, 4]
    assert four.step(13.5, -9, 0, 4) == [0, 9, 0, 0]
    assert four.begin() == [0, 9, 0, 0]  # of three zeros, the last stays
    assert four.kept() == [False, True, False, True]
    assert four.sparsifier.mask_iou == 1 / 3
    rows = four.sparsifier.structure.summary()
    assert [row["step"] for row in rows] == [1, 3, 5]
    assert [row["iou_previous"] for row in rows] == [None, 1 / 3, 1 / 3]
    assert [row["iou_final"] for row in rows] == [1 / 3, 1 / 3, 1]
    assert {(row["phase"], row["sparsity"], row["density"]["w"]) for row in rows} == {
        ("compressed", 0.5, 0.5)
    }
    assert four.sparsifier.structure.ever_active() == 1


def test_weights_outside_the_mask_stay_zero_after_every_step() -> None:
    run = small(method="one_shot", target=0.9, prune_at=0.1)
    for step in range(20):
        run.step()
        zeros = sum(int((weight == 0).sum()) for weight in run.weights.values())
        assert zeros == (0 if step < 10 else round(0.9 * WEIGHTS))
    assert run.sparsifier.at_target()
    assert run.sparsifier.sparsity() == round(0.9 * WEIGHTS) / WEIGHTS
    assert run.sparsifier.zeros_in_mask() == 0
    with torch.no_grad():
        weight = run.weights["0.weight"]
        weight[run.sparsifier.masks()["0.weight"]] = 0
    assert run.sparsifier.zeros_in_mask() == int(run.sparsifier.masks()["0.weight"].sum()) > 0


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_decompression_restarts_pruned_weights_at_zero_and_zeroes_all_momentum(name: str) -> None:
    run = small(optimizer=name, method="acdc", target=0.9).run(15)
    pruned = {name: ~mask for name, mask in run.masks().items()}
    assert run.sparsifier.phase == "compressed"
    moments = [v for s in run.optimizer.state.values() for v in s.values()]
    assert all(moment.any() for moment in moments)
    run.begin()
    assert run.sparsifier.phase == "decompressed"
    assert not any(moment.any() for moment in moments)
    assert all((run.weights[name][outside] == 0).all() for name, outside in pruned.items())
    run.step()
    assert run.effective()["2.weight"][pruned["2.weight"]].any()
    assert run.sparsifier.sparsity() == 0
    assert not run.sparsifier.at_target()


def test_compression_keeps_momentum() -> None:
    run = small(method="acdc", target=0.9).run(10)
    before = run.slots()
    run.begin()
    assert run.sparsifier.phase == "compressed"
    after = run.slots()
    assert all(
        torch.equal(before[name]["momentum_buffer"], after[name]["momentum_buffer"])
        for name in before
    )


@pytest.mark.parametrize("method", ["acdc", "rigl", "set", "granet"])
def test_where_momentum_is_kept_none_gathers_outside_the_mask(method: str) -> None:
    """Else a weight that comes back would move by gradients of the time that it was gone."""
    regrow = RegrowSpec(every="10 steps")
    ramp = RampSpec(first=0.5)
    run = small(method=method, target=0.9, reset="none", regrow=regrow, ramp=ramp).run(13)
    before = run.slots()
    outside = {name: ~mask for name, mask in run.masks().items()}
    run.step()
    after = run.slots()
    for name, pruned in outside.items():
        faded = 0.9 * before[name]["momentum_buffer"][pruned]
        assert pruned.any()
        torch.testing.assert_close(after[name]["momentum_buffer"][pruned], faded)


def test_mask_iou_compares_consecutive_pruning_masks() -> None:
    run = small(optimizer="adamw", method="acdc", target=0.5).run(12)
    first = run.masks()
    assert math.isnan(run.run(20).sparsifier.mask_iou)
    second = run.run(21).masks()
    both = sum(int((first[n] & second[n]).sum()) for n in first)
    either = sum(int((first[n] | second[n]).sum()) for n in first)
    assert run.sparsifier.mask_iou == both / either < 1
    assert run.run(30).sparsifier.mask_iou == both / either  # until the next compression


def test_random_masks_are_drawn_again_at_every_update() -> None:
    """Two of density d have in common d / (2 - d) of what either keeps, on average."""
    run = small(method="acdc", score="random", target=0.5).run(100)
    overlaps = [row["iou_previous"] for row in run.sparsifier.structure.summary()[1:]]
    assert len(set(overlaps)) > 3
    assert overlaps == pytest.approx([1 / 3] * len(overlaps), abs=0.1)


def test_cost_follows_the_mask_in_force() -> None:
    spec = SparsitySpec(method="one_shot", target=0.75, allocation="uniform")
    run = SmallRun(spec, sizes=(20, 16, 12)).run()
    assert run.sparsifier.inference_flops == pytest.approx(0.25)
    assert run.sparsifier.dense_steps == pytest.approx(50 + 50 * 0.25)
    assert run.sparsifier.extra_steps == 0
    assert small().run().sparsifier.dense_steps == 100


def test_a_change_due_at_the_end_is_made_by_finish() -> None:
    run = small(method="one_shot", target=0.9, prune_at=1.0).run(99)
    run.begin()
    run.backward()
    run.sparsifier.after_step()
    assert not run.sparsifier.at_target()
    run.sparsifier.finish()
    assert run.sparsifier.at_target()
    assert run.sparsifier.phase == "fixed"
    assert sum(int((weight == 0).sum()) for weight in run.weights.values()) == round(0.9 * WEIGHTS)


def test_the_fisher_makes_survivors_of_every_part_of_an_update_make_up_for_the_pruned() -> None:
    fisher = FisherSpec(block=8, gradients=6, batch_size=4, dampening=1e-3)
    found = {}
    for parts in (1, 2, 4):
        given = fisher.model_copy(update={"recomputations": parts})
        run = small(method="one_shot", score="fisher", target=0.5, fisher=given).run(50)
        before = run.values()
        run.begin()
        assert run.sparsifier.at_target()
        assert [row["step"] for row in run.sparsifier.structure.summary()] == [50]
        survivors = {name: mask for name, mask in run.masks().items() if mask.any()}
        moved = []
        for name, mask in survivors.items():
            changed = run.weights[name][mask] != before[name][mask]
            moved.append(changed.float().mean())
        assert min(moved) > 0.3  # blocks that keep all their weights stay
        found[parts] = {name: weight.detach().clone() for name, weight in run.weights.items()}
    assert not torch.equal(found[1]["2.weight"], found[2]["2.weight"])
    assert not torch.equal(found[2]["2.weight"], found[4]["2.weight"])


@pytest.mark.parametrize("method", ["one_shot", "gmp", "acdc"])
def test_batch_norm_is_recalibrated_where_a_lasting_mask_begins(method: str) -> None:
    def statistics(recalibrate: int) -> tuple[torch.Tensor, torch.Tensor]:
        spec = SparsitySpec(method=method, target=0.9, recalibrate=recalibrate)
        last_change = {"one_shot": 50, "gmp": 70, "acdc": 85}[method]
        run = SmallRun(spec, norm=True, lr=1e-3).run(last_change)
        run.begin()
        assert run.sparsifier.phase in ("fixed", "compressed")
        assert run.model.training
        # The mean over all examples, which are four batches of equal size.
        expected = run.model[0](run.split.inputs).mean(0)
        return run.model[1].running_mean, expected.detach()

    found, expected = statistics(64)
    torch.testing.assert_close(found, expected)
    found, expected = statistics(0)
    assert not torch.allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("score", ["saliency", "fisher"])
def test_scores_from_gradients_need_a_probe(score: str) -> None:
    four = Four(1, 2, 3, 4, method="static", score=score)
    expected = f"score `{score}` needs gradients: give the Sparsifier a `probe`"
    with pytest.raises(ValueError, match=expected):
        four.begin()
