from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sparsetune.sparsity.optimizer_state import reset_grown_moments, reset_moments

Build = Callable[[list[nn.Parameter]], torch.optim.Optimizer]

SGD: dict[str, Build] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, fused=False),
    "sgd fused": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, fused=True),
}
ADAM: dict[str, Build] = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0, fused=False),
    "adamw fused": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0, fused=True),
    "amsgrad": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0, amsgrad=True),
}
OTHERS: dict[str, Build] = {
    "sgd damped": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1),
    "adamax": lambda p: torch.optim.Adamax(p, lr=0.1),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.1),
    "radam": lambda p: torch.optim.RAdam(p, lr=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1, momentum=0.5, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1, initial_accumulator_value=0.3),
    "adadelta": lambda p: torch.optim.Adadelta(p, lr=0.1),
    "adafactor": lambda p: torch.optim.Adafactor(p, lr=0.1),
    "asgd": lambda p: torch.optim.ASGD(p, lr=0.1, t0=2),
    "rprop": lambda p: torch.optim.Rprop(p, lr=0.1),
}
GROWN = torch.tensor([[True, False], [False, True]])


def stepped(
    build: Build, steps: int = 3
) -> tuple[nn.Parameter, nn.Parameter, torch.optim.Optimizer]:
    """Two weights of four entries and their optimizer after some steps with gradients of 2."""
    weight = nn.Parameter(torch.ones(2, 2))
    other = nn.Parameter(torch.ones(2, 2))
    optimizer = build([weight, other])
    for _ in range(steps):
        for parameter in (weight, other):
            parameter.grad = torch.full((2, 2), 2.0)
        optimizer.step()
    return weight, other, optimizer


@pytest.mark.parametrize("name", SGD)
def test_momentum_is_zeroed_where_weights_come_back_and_nowhere_else(name: str) -> None:
    weight, other, optimizer = stepped(SGD[name])
    reset_grown_moments(optimizer, [(weight, GROWN)])
    full = 2 * (1 + 0.9 + 0.81)
    assert optimizer.state[weight]["momentum_buffer"].tolist() == [
        pytest.approx([0, full]),
        pytest.approx([full, 0]),
    ]
    assert optimizer.state[other]["momentum_buffer"].flatten().tolist() == pytest.approx([full] * 4)


@pytest.mark.parametrize("name", ADAM)
def test_both_moments_are_zeroed_and_the_step_count_stays(name: str) -> None:
    weight, other, optimizer = stepped(ADAM[name])
    reset_grown_moments(optimizer, [(weight, GROWN)])
    first = 2 * (1 - 0.9**3)
    second = 4 * (1 - 0.999**3)
    state = optimizer.state[weight]
    assert state["exp_avg"].tolist() == [pytest.approx([0, first]), pytest.approx([first, 0])]
    assert state["exp_avg_sq"].tolist() == [pytest.approx([0, second]), pytest.approx([second, 0])]
    assert state["step"].item() == 3
    assert (optimizer.state[other]["exp_avg"] != 0).all()
    if name == "amsgrad":
        assert (state["max_exp_avg_sq"] == 0).tolist() == GROWN.tolist()


@pytest.mark.parametrize("name", SGD)
def test_grown_weights_then_step_without_momentum(name: str) -> None:
    weight, _, optimizer = stepped(SGD[name])
    reset_grown_moments(optimizer, [(weight, GROWN)])
    before = weight.detach().clone()
    weight.grad = torch.ones(2, 2)
    optimizer.step()
    moved = 0.1 * (0.9 * 2 * (1 + 0.9 + 0.81) + 1)
    assert (before - weight).flatten().tolist() == pytest.approx([0.1, moved, moved, 0.1])


@pytest.mark.parametrize("name", [*SGD, *ADAM])
@pytest.mark.parametrize("fate", ["grown", "all"])
def test_an_optimizer_without_state_is_left_without(name: str, fate: str) -> None:
    weight, _, optimizer = stepped((SGD | ADAM)[name], steps=0)
    if fate == "all":
        reset_moments(optimizer)
    else:
        reset_grown_moments(optimizer, [(weight, GROWN)])
    assert not optimizer.state
    weight.grad = torch.ones(2, 2)
    optimizer.step()
    assert (weight < 1).all()


def test_plain_gradient_descent_has_nothing_to_zero() -> None:
    weight, _, optimizer = stepped(lambda p: torch.optim.SGD(p, lr=0.1))
    reset_grown_moments(optimizer, [(weight, GROWN)])
    reset_moments(optimizer)
    assert optimizer.state[weight].get("momentum_buffer") is None


@pytest.mark.parametrize(
    "other", [lambda weight: weight.detach(), lambda weight: weight.data, nn.Parameter]
)
def test_a_tensor_that_the_optimizer_does_not_hold_is_refused(
    other: Callable[[nn.Parameter], torch.Tensor],
) -> None:
    weight, _, optimizer = stepped(SGD["sgd"])
    with pytest.raises(
        ValueError, match=r"must hold the parameter, got another tensor of shape \(2, 2\)"
    ):
        reset_grown_moments(optimizer, [(other(weight), GROWN)])


@pytest.mark.parametrize("name", [*SGD, *ADAM])
def test_everything_is_zeroed_and_the_next_step_is_that_of_a_fresh_optimizer(name: str) -> None:
    weight, _, optimizer = stepped((SGD | ADAM)[name])
    reset_moments(optimizer)
    tensors = [
        slot
        for slots in optimizer.state.values()
        for slot in slots.values()
        if isinstance(slot, torch.Tensor)
    ]
    assert tensors
    assert not any(tensor.any() for tensor in tensors)
    fresh, _, first = stepped((SGD | ADAM)[name], steps=0)
    before = weight.detach().clone()
    for parameter, stepper in ((weight, optimizer), (fresh, first)):
        parameter.grad = torch.full((2, 2), 1e-3)
        stepper.step()
    assert torch.allclose(before - weight, 1 - fresh, atol=1e-6)


@pytest.mark.parametrize("name", [*SGD, *ADAM, *OTHERS])
def test_after_a_whole_reset_the_next_step_is_that_of_a_fresh_optimizer(name: str) -> None:
    build = (SGD | ADAM | OTHERS)[name]
    weight, _, optimizer = stepped(build)
    reset_moments(optimizer)
    fresh, _, first = stepped(build, steps=0)
    with torch.no_grad():
        weight.fill_(1)
    for parameter, stepper in ((weight, optimizer), (fresh, first)):
        parameter.grad = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
        stepper.step()
    assert not torch.equal(fresh, torch.ones(2, 2))
    assert torch.equal(weight, fresh)


def test_slots_of_grown_weights_get_the_value_that_their_optimizer_starts_from() -> None:
    weight, _, optimizer = stepped(OTHERS["adagrad"])
    reset_grown_moments(optimizer, [(weight, GROWN)])
    full = 0.3 + 3 * 2**2
    assert optimizer.state[weight]["sum"].tolist() == [
        pytest.approx([0.3, full]),
        pytest.approx([full, 0.3]),
    ]
    weight, _, optimizer = stepped(OTHERS["rprop"])
    reset_grown_moments(optimizer, [(weight, GROWN)])
    full = 0.1 * 1.2**2  # two gradients of the same sign as the one before
    assert optimizer.state[weight]["step_size"].tolist() == [
        pytest.approx([0.1, full]),
        pytest.approx([full, 0.1]),
    ]


@given(mask=st.lists(st.booleans(), min_size=1, max_size=20), name=st.sampled_from([*SGD, *ADAM]))
def test_exactly_the_grown_entries_are_zero(mask: list[bool], name: str) -> None:
    weight = nn.Parameter(torch.ones(len(mask)))
    grown = torch.tensor(mask)
    optimizer = (SGD | ADAM)[name]([weight])
    weight.grad = torch.ones(len(mask))
    optimizer.step()
    reset_grown_moments(optimizer, [(weight, grown)])
    slots = [slot for key, slot in optimizer.state[weight].items() if key != "step"]
    assert slots
    assert all(torch.equal(slot == 0, grown) for slot in slots)
