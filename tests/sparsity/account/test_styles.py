"""Networks in common styles under every method: pruned as asked, or refused by name.

The whole table is slow; `docs/methods.md` has its result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from sparsetune.errors import DeclarationError
from sparsetune.sparsity.methods import registry
from sparsetune.spec import OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import FisherSpec, RampSpec, RegrowSpec, SparsitySpec
from sparsetune.spec.task import DigitsTask
from sparsetune.train import train
from sparsetune.train.checkpoint import Checkpoints, load_checkpoint
from sparsetune.train.loop import TrialResult
from tests.sparsity.account.public_styles import MODELS, NAMED_LAYERS

DOCS = Path(__file__).parents[3] / "docs" / "methods.md"
RAMP = RampSpec(updates=10)
REGROW = RegrowSpec(every="2 steps")
METHODS: dict[str, dict[str, Any]] = {
    "static": {},
    "one_shot": {},
    "snip": {"method": "one_shot", "score": "saliency", "prune_at": 0},
    "gmp": {"ramp": RAMP},
    "acdc": {},
    "set": {"regrow": REGROW},
    "rigl": {"regrow": REGROW},
    "granet": {"ramp": RAMP, "regrow": REGROW},
    "sr_ste": {"pattern": "2:4", "target": 0.5},
    "ste": {},
    # Its own choice, `uniform`, would spare a first convolution.
    "top_kast": {"allocation": "global"},
    "powerpropagation": {"ramp": RAMP},
    "obert": {"ramp": RAMP, "fisher": FisherSpec(gradients=16, block=8)},
}
"""Every sparse method but transfer, which goes on from a sparse text encoder; and SNIP."""
REFUSED = {"orthogonal", "weight_standardisation", "normalised_weight"}
"""Styles whose weights are computed in a way that keeps no zeros."""
QUICK = ("weight_norm", "old_weight_norm", "frozen_body", "tied_embedding", "routed_experts")


def trial(model: str, method: str, layers: tuple[str, ...] = (), **fields: Any) -> TrialSpec:
    """Forty steps on all digits at once."""
    sparsity = {"method": method, "target": 0.9, **METHODS.get(method, {}), **fields}
    return TrialSpec(
        task=DigitsTask(
            model=f"tests.sparsity.account.public_styles:{model}",
            batch_size=1293,
        ),
        optim=OptimSpec(lr=0.05),
        schedule=ScheduleSpec(epochs=40),
        sparsity=SparsitySpec(layers=layers, **sparsity),
    )


def test_every_method_is_tried() -> None:
    assert {*METHODS} - {"snip"} == {*registry.METHODS} - {"dense", "transfer"}


def check_pruned(result: TrialResult, spec: TrialSpec) -> float:
    """Check a trial that ran; returns the sparsity of all parameters."""
    assert (result.status, result.certified) == ("COMPLETE", True)
    certificate = result.certificate
    layers = certificate["layers"]
    pruned = [row["name"] for row in certificate["account"] if row["status"] == "pruned"]
    assert [row["name"] for row in layers if row["name"] in pruned] == pruned
    counted = [row for row in layers if row["name"] in pruned]
    weights = sum(row["weights"] for row in counted)
    kept = sum(row["kept"] for row in counted)
    # Allocations round each layer's count.
    assert abs((1 - spec.sparsity.target) * weights - kept) <= len(layers) / 2 + 1e-6
    for row in certificate["account"]:
        assert (row["status"] == "pruned") == (row["reason"] == "")
    return float(certificate["sparsity_of_parameters"])


@pytest.mark.parametrize("method", ["gmp", "rigl", "snip"])
@pytest.mark.parametrize("model", QUICK)
def test_some_styles_under_some_methods(model: str, method: str) -> None:
    spec = trial(model, method)
    check_pruned(train(spec), spec)


@pytest.mark.parametrize("model", ["orthogonal", "weight_standardisation"])
def test_weights_that_keep_no_zeros_are_refused(model: str) -> None:
    with pytest.raises(DeclarationError, match=r"is computed.*take the layer away"):
        train(trial(model, "gmp"))
    spec = trial(model, "gmp", NAMED_LAYERS[model])
    check_pruned(train(spec), spec)


def table_row(model: str, layers: tuple[str, ...]) -> tuple[str, str]:
    """A style's layers and outcome over all methods, as in the table."""
    shares: dict[str, float] = {}
    refusals: dict[str, list[str]] = {}
    for method in METHODS:
        spec = trial(model, method, layers)
        try:
            shares[method] = check_pruned(train(spec), spec)
        except DeclarationError as error:
            assert len(error.problems) == 1
            refusals.setdefault(error.problems[0].path, []).append(method)
    outcome = []
    # All but N:M ask for 90 %.
    alike = {f"{100 * share:.0f} %" for method, share in shares.items() if method != "sr_ste"}
    if alike:
        outcome.append(" or ".join(sorted(alike)))
    for path, methods in refusals.items():
        others = [method for method in METHODS if method not in methods]
        named = ", ".join(methods)
        if len(others) < 2:
            named = f"all but {others[0]}" if others else "all"
        outcome.append(f"{named} refused: `{path}`")
    shown = ", ".join(f"`{entry}`" for entry in layers) or "–"  # noqa: RUF001
    return shown, "; ".join(outcome)


def documented_rows() -> list[tuple[str, str, str]]:
    """Rows of the table in the docs: style, layers, outcome."""
    rows = []
    for line in DOCS.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and cells[0].replace(" ", "_") in MODELS:
            rows.append((cells[0].replace(" ", "_"), cells[1], cells[2]))
    return rows


TABLE = [(name, ()) for name in MODELS] + list(NAMED_LAYERS.items())


@pytest.mark.slow
@pytest.mark.parametrize(("model", "layers"), TABLE)
def test_every_style_under_every_method_is_as_documented(
    model: str, layers: tuple[str, ...]
) -> None:
    shown, outcome = table_row(model, layers)
    assert (model, shown, outcome) in documented_rows()


def test_the_table_has_every_style() -> None:
    documented = documented_rows()
    shown = [", ".join(f"`{entry}`" for entry in layers) or "–" for _, layers in TABLE]  # noqa: RUF001
    assert sorted((model, layers) for model, layers, _ in documented) == sorted(
        (model, entries) for (model, _), entries in zip(TABLE, shown, strict=True)
    )
    refused = {model for model, _, outcome in documented if outcome.startswith("all")}
    assert refused == REFUSED


def loaded(model: str, file: Path) -> nn.Module:
    """The user's network with the weights that a trial saved."""
    network = MODELS[model]((1, 8, 8), 10)
    network.load_state_dict(load_file(file))
    return network.eval()


@pytest.mark.parametrize(
    ("model", "method"),
    [
        ("weight_norm", "gmp"),
        ("weight_norm", "rigl"),
        ("weight_norm", "acdc"),
        ("old_weight_norm", "gmp"),
        ("weight_norm_convolution", "gmp"),
    ],
)
def test_the_zeros_of_a_weight_norm_are_in_the_users_network(
    model: str, method: str, tmp_path: Path
) -> None:
    """At 95 % whole slices would be pruned, whose norm a weight norm would divide by."""
    spec = trial(model, method, target=0.95)
    result = train(spec, save_to=tmp_path / "model.safetensors")
    check_pruned(result, spec)
    network = loaded(model, tmp_path / "model.safetensors")
    outputs = network(torch.rand(4, 1, 8, 8))  # computes the weights of old hooks
    assert outputs.isfinite().all()
    zeros = 0
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            assert layer.weight.isfinite().all()
            zeros += int((layer.weight == 0).sum())
            has_norm = not isinstance(layer._parameters.get("weight"), nn.Parameter)
            if has_norm:
                assert (layer.weight != 0).flatten(1).any(1).all(), "a slice without a weight"
    assert zeros == result.certificate["pruned"]


def test_a_target_below_one_weight_a_slice_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"each slice of a weight norm.*128 in"):
        train(trial("weight_norm", "gmp", target=0.99))


@pytest.mark.parametrize("method", ["rigl", "acdc"])
def test_a_weight_norm_resumes_to_the_bit(method: str, tmp_path: Path) -> None:
    spec = trial("weight_norm", method)
    whole = train(spec, save_to=tmp_path / "whole.safetensors")

    class Stop(Exception):
        pass

    class AtStep(Checkpoints):
        def write(self, step: int, *arguments: Any) -> Any:
            path = super().write(step, *arguments)
            if step == 25:
                raise Stop
            return path

        def due(self, evaluated: bool) -> bool:
            return True

    with pytest.raises(Stop):
        train(spec, checkpoints=AtStep(tmp_path))
    checkpoint = load_checkpoint(tmp_path / "checkpoint-25.pt")
    resumed = train(spec, resume_from=checkpoint, save_to=tmp_path / "resumed.safetensors")
    assert resumed == whole
    first, second = (load_file(tmp_path / f"{name}.safetensors") for name in ("whole", "resumed"))
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(
    ("model", "layers"),
    [(name, NAMED_LAYERS[name]) for name in ("recurrent", "expert_tensor", "tied_embedding")],
)
def test_added_layers_are_pruned_in_the_saved_network(
    model: str, layers: tuple[str, ...], tmp_path: Path
) -> None:
    spec = trial(model, "gmp", layers)
    result = train(spec, save_to=tmp_path / "model.safetensors")
    check_pruned(result, spec)
    parameters = dict(loaded(model, tmp_path / "model.safetensors").named_parameters())
    for row in result.certificate["layers"]:
        assert int((parameters[row["name"]] == 0).sum()) == row["zeros"]
        assert row["zeros"] >= row["weights"] - row["kept"] > 0


def test_the_certificate_says_what_is_left_dense() -> None:
    certificate = train(trial("conv1d", "gmp")).certificate
    dense = [row for row in certificate["account"] if row["status"] == "dense"]
    reason = "a parameter of Conv1D, no linear or convolution layer"
    assert dense == [{"name": "1.weight", "shape": [64, 64], "status": "dense", "reason": reason}]
    assert certificate["parameters"] == 64 * 64 + 64 + 640 + 10
    assert certificate["sparsity_of_parameters"] < 0.13 < 0.89 < certificate["sparsity"]
    assert train(trial("conv1d", "gmp", target=0)).certificate["account"] == []
