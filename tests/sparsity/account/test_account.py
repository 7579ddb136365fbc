"""Accounts of networks in common styles: what is pruned, what stays dense, and why."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from sparsetune.errors import Problem
from sparsetune.sparsity.account.account import Account, account_for, gradient_problems
from sparsetune.sparsity.account.exactness import computed_names, exactness_problems
from sparsetune.sparsity.account.trace import trace_forward
from sparsetune.spec.sparsity import SparsitySpec
from tests.sparsity.account.public_styles import MODELS

IMAGE = torch.zeros(1, 1, 8, 8)


def account(network: str | nn.Module, layers: tuple[str, ...] = (), **fields: Any) -> Account:
    model = MODELS[network]((1, 8, 8), 10) if isinstance(network, str) else network
    sparsity = SparsitySpec(**({"method": "gmp", "target": 0.9, "layers": layers} | fields))
    return account_for(model, sparsity.checked(), trace_forward(model, IMAGE))


def statuses(found: Account) -> dict[str, str]:
    """Status of each parameter, or the reason why it is dense."""
    return {row.name: row.reason or row.status for row in found.rows}


def texts(problems: list[Problem]) -> str:
    return "; ".join(map(str, problems))


EXPECTED = {
    "weight_norm": {
        "1.parametrizations.weight.original0": "part of the computed weight of `1`",
        "1.parametrizations.weight.original1": "pruned",
        "3.parametrizations.weight.original0": "part of the computed weight of `3`",
        "3.parametrizations.weight.original1": "pruned",
        "5.weight": "pruned",
    },
    "old_weight_norm": {
        "1.weight_g": "part of the computed weight of `1`",
        "1.weight_v": "pruned",
        "3.weight": "pruned",
    },
    "spectral_norm": {
        "1.parametrizations.weight.original": "pruned",
        "3.weight_orig": "pruned",
        "5.weight": "pruned",
    },
    "transposed_convolution": {
        "0.weight": "pruned",
        "2.weight": "transposed convolution",
        "6.weight": "pruned",
    },
    "frozen_body": {"1.weight": "frozen", "3.weight": "pruned", "5.weight": "pruned"},
    "tied_embedding": {
        "tokens.weight": "embedding",
        "body.weight": "pruned",
        "classes.weight": "shared with the embedding `classes`",
    },
    "recurrent": {
        "recurrent.weight_ih_l0": "recurrent layer",
        "recurrent.weight_hh_l0": "recurrent layer",
        "head.weight": "pruned",
    },
    "separable": {
        "0.weight": "pruned",
        "3.weight": "depthwise convolution",
        "6.weight": "pruned",
        "10.weight": "pruned",
    },
    "expert_tensor": {
        "experts": "a parameter of DenseExperts, no linear or convolution layer",
        "gate.weight": "pruned",
        "head.weight": "pruned",
    },
    "unused_head": {
        "body.weight": "pruned",
        "projection.weight": "unused",
        "head.weight": "pruned",
    },
    "auxiliary_head": dict.fromkeys(("body.weight", "projection.weight", "head.weight"), "pruned"),
    "momentum_copy": {
        "body.weight": "pruned",
        "projection.weight": "unused",
        "head.weight": "pruned",
        "target.weight": "frozen",
    },
    "routed_experts": dict.fromkeys(
        ("gate.weight", *(f"experts.{index}.weight" for index in range(4))), "pruned"
    ),
    "grouped": dict.fromkeys(("0.weight", "2.weight", "7.weight"), "pruned"),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_every_parameter_of_two_dimensions_is_in_the_account(name: str) -> None:
    found = account(name)
    assert statuses(found) == EXPECTED[name]
    model = MODELS[name]((1, 8, 8), 10)
    parameters = dict(model.named_parameters())
    assert [row.name for row in found.rows] == [
        name for name, parameter in parameters.items() if parameter.dim() >= 2
    ]
    assert found.parameters == sum(parameter.numel() for parameter in parameters.values())
    prunable = [row.name for row in found.rows if row.status == "pruned"]
    assert list(found.prunable(model)) == prunable
    assert all(found.prunable(model)[key] is parameters[key] for key in prunable)
    assert found.problems == []


def test_what_is_left_dense_is_said_with_its_share() -> None:
    [warning] = account("transposed_convolution").warnings()
    assert warning.severity == "warning"
    # 36 and 1280 of 36 + 4, 2048 + 32 and 1280 + 10.
    assert "1,316 of 3,410 parameters (38.6 %)" in warning.rule
    assert "transposed convolution: `2.weight`" in warning.rule
    assert account("grouped").warnings() == []
    assert account("weight_norm").warnings() == [], "norms of a weight norm are no layer"


@pytest.mark.parametrize(
    ("name", "layers", "pruned", "spared"),
    [
        ("transposed_convolution", ("2",), ["0.weight", "2.weight", "6.weight"], []),
        ("frozen_body", ("1", "-5"), ["1.weight", "3.weight"], ["5.weight"]),
        ("recurrent", ("recurrent.*", "-*hh*"), ["recurrent.weight_ih_l0", "head.weight"], None),
        ("tied_embedding", ("head",), ["body.weight", "classes.weight"], []),
        ("tied_embedding", ("classes",), ["body.weight", "classes.weight"], []),
        ("separable", ("-*", "3"), ["3.weight"], ["0.weight", "6.weight", "10.weight"]),
        ("weight_norm", ("-3",), ["1.parametrizations.weight.original1", "5.weight"], None),
        ("old_weight_norm", ("-1",), ["3.weight"], ["1.weight_v"]),
        ("transformer", ("positions", "token", "-encoder*", "-head"), None, None),
    ],
)
def test_layers_are_added_and_taken_away_by_name(
    name: str, layers: tuple[str, ...], pruned: list[str] | None, spared: list[str] | None
) -> None:
    found = account(name, layers)
    assert found.problems == []
    if pruned is not None:
        assert [layer.name for layer in found.layers] == pruned
        assert [row.name for row in found.rows if row.status == "pruned"] == pruned
    if spared is not None:
        assert [row.name for row in found.rows if row.status == "spared"] == spared


@pytest.mark.parametrize(
    ("layers", "rule"),
    [
        (("nothing.*",), "must match a parameter of two or more dimensions, such as `0.weight`"),
        (("0.bias",), "must match a parameter"),
        (("6",), "changes nothing"),
        (("2", "2.*"), "changes nothing"),
        (("-*",), "nothing can be pruned"),
    ],
)
def test_a_name_that_does_nothing_is_refused(layers: tuple[str, ...], rule: str) -> None:
    assert rule in texts(account("transposed_convolution", layers).problems)


def test_the_norms_of_a_weight_norm_are_never_pruned() -> None:
    found = account("weight_norm", ("-*", "*original*"))
    assert all("original1" in layer.name for layer in found.layers)


@pytest.mark.parametrize("method", ["rigl", "set", "granet"])
def test_a_method_that_trains_what_grows_refuses_frozen_layers_by_name(method: str) -> None:
    spec = SparsitySpec(method=method, target=0.9, layers=("1",))
    named = account("frozen_body", ("1",), method=method)
    [problem] = gradient_problems(named, spec)
    assert "`1.weight` (frozen)" in str(problem) and method in str(problem)
    alone = SparsitySpec(method=method, target=0.9)
    assert gradient_problems(account("frozen_body", method=method), alone) == []


def test_a_score_of_gradients_refuses_them_and_one_of_weights_does_not() -> None:
    for score, refused in (("saliency", True), ("fisher", True), ("magnitude", False)):
        spec = SparsitySpec(method="one_shot", target=0.9, layers=("1",), score=score)
        assert bool(gradient_problems(account("frozen_body", ("1",)), spec)) is refused


EXACT = {
    "spectral_norm": [],
    "equalised_rate": [],
    "orthogonal": ["`1`"],
    "weight_standardisation": ["`0`"],
    "normalised_weight": ["`1`"],
    "weight_norm": [],
    "grouped": [],
}


@pytest.mark.parametrize("name", EXACT)
def test_a_weight_that_is_not_zero_where_its_parameter_is_is_refused_by_name(name: str) -> None:
    model = MODELS[name]((1, 8, 8), 10)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    trace = trace_forward(model, IMAGE)
    found = account_for(model, SparsitySpec(method="gmp", target=0.9), trace)
    names = computed_names(found, trace)
    problems = exactness_problems(model, IMAGE, found, names)
    assert len(problems) == len(EXACT[name])
    for problem, layer in zip(problems, EXACT[name], strict=True):
        assert f"the weight of {layer} is computed" in problem.rule
        assert f'"-{layer[1:-1]}"' in problem.rule
    after = model.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


def test_the_names_that_a_refusal_offers_are_accepted() -> None:
    for name, entry in (("orthogonal", "-1"), ("weight_standardisation", "-0")):
        model = MODELS[name]((1, 8, 8), 10)
        trace = trace_forward(model, IMAGE)
        spec = SparsitySpec(method="gmp", target=0.9, layers=(entry,))
        assert computed_names(account_for(model, spec, trace), trace) == []


class Symmetric(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.triu() + weight.triu(1).T


class Wide(nn.Module):
    """A weight (8, 64) of two factors."""

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return left @ right

    def right_inverse(self, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return weight[:, :2].clone(), weight[:2].clone()


def parametrised(outputs: int, by: nn.Module) -> nn.Module:
    layer = nn.Linear(64, outputs)
    nn.utils.parametrize.register_parametrization(layer, "weight", by, unsafe=True)
    return nn.Sequential(nn.Flatten(), layer, nn.Linear(outputs, 10))


def test_a_users_own_parametrisation_is_proved_too() -> None:
    model = parametrised(64, Symmetric())
    trace = trace_forward(model, IMAGE)
    found = account_for(model, SparsitySpec(method="gmp", target=0.9), trace)
    names = computed_names(found, trace)
    assert "Symmetric" in texts(exactness_problems(model, IMAGE, found, names))
    factors = account(parametrised(8, Wide()))
    assert "no single parameter has its shape" in texts(factors.problems)
    assert account(parametrised(8, Wide()), ("-1",)).problems == []


def test_two_parameters_of_one_memory_are_pruned_once() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10))
    model[2].weight.data = model[1].weight.data
    assert statuses(account(model))["2.weight"] == "shares its memory with `1.weight`"
    embedded = MODELS["tied_embedding"]((1, 8, 8), 10)
    head = embedded.get_submodule("head")
    head.weight = nn.Parameter(embedded.get_submodule("classes").weight.data)
    assert statuses(account(embedded))["head.weight"] == "shared with the embedding `classes`"


def test_a_directory_of_before_prunes_what_it_pruned() -> None:
    """Its defaults say ``modules``: what linear and convolution modules hold themselves."""
    frozen = account("frozen_body", prunable_by="modules")
    assert [layer.name for layer in frozen.layers] == ["1.weight", "3.weight", "5.weight"]
    unused = account("unused_head", prunable_by="modules")
    assert [layer.name for layer in unused.layers] == [
        "body.weight",
        "projection.weight",
        "head.weight",
    ]
    normed = account("weight_norm", prunable_by="modules")
    assert [layer.name for layer in normed.layers] == ["5.weight"]
    assert (
        "computed from it (WeightNorm)" in statuses(normed)["1.parametrizations.weight.original1"]
    )
    assert account("orthogonal", prunable_by="modules").problems == []
