"""Models by name: our own, torchvision's and the user's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sparsetune.errors import DeclarationError
from sparsetune.tasks.models import MODELS, build_model, meta_model, torchvision_names

OWN = """
from torch import nn
def net(input_shape, n_classes):
    return nn.Sequential(nn.Conv2d(input_shape[0], 4, 3), nn.Flatten(), nn.LazyLinear(n_classes))
def raises(input_shape, n_classes):
    raise RuntimeError("out of ideas")
def no_module(input_shape, n_classes):
    return 3
value = 3
"""


@pytest.mark.parametrize("name", list(MODELS))
def test_every_model_maps_a_batch_to_logits(name: str) -> None:
    for shape in ((1, 8, 8), (3, 32, 32)):
        assert build_model(name, shape, 7)(torch.zeros(5, *shape)).shape == (5, 7)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_networks.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("own")
def test_a_users_function_is_imported() -> None:
    model = build_model("own_networks:net", (1, 8, 8), 10)
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    with pytest.raises(DeclarationError, match="has no attribute 'nothing'"):
        build_model("own_networks:nothing", (1, 8, 8), 10)
    with pytest.raises(DeclarationError, match="must name a function"):
        build_model("own_networks:value", (1, 8, 8), 10)


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "rule"),
    [
        (
            "own_networks:raises",
            r"must build a network for inputs of shape \(1, 8, 8\) \(RuntimeError: out of ideas\)",
        ),
        ("own_networks:no_module", r"must return a torch\.nn\.Module, got int"),
        ("own_networks:net", "lazy layers cannot be pruned"),
        ("resnet18", r"take images of shape \(3, height, width\), got \(1, 8, 8\)"),
    ],
)
def test_what_cannot_be_built_is_one_problem(name: str, rule: str) -> None:
    with pytest.raises(DeclarationError, match=rule) as raised:
        meta_model(name, (1, 8, 8), 10)
    (problem,) = raised.value.problems
    assert problem.path == "task.model" and problem.got.endswith(repr(name))


def test_an_unknown_name_lists_the_valid_ones() -> None:
    theirs = r"a classification model of torchvision \(resnet50, .*resnet18\)"
    valid = rf"mlp, .*wrn_22_2, {theirs}.* got 'resnet5'"
    with pytest.raises(DeclarationError, match=valid):
        build_model("resnet5", (1, 8, 8), 10)
    with pytest.raises(DeclarationError, match=r"torchvision \(resnet50, .*\).* got 'xyz'"):
        build_model("xyz", (1, 8, 8), 10)
    with pytest.raises(DeclarationError, match="No module named 'no_such_module'"):
        build_model("no_such_module:net", (1, 8, 8), 10)


def test_torchvisions_classification_models_are_valid_names_and_no_others() -> None:
    names = set(torchvision_names())
    assert {"resnet18", "resnet50", "mobilenet_v2", "vit_b_16"} <= names
    assert names.isdisjoint(
        {*MODELS, "mobilenet_v1", "fcn_resnet50", "fasterrcnn_resnet50_fpn", "raft_large"}
    )


SPECIAL = {
    "googlenet": 64,
    "inception_v3": 96,
    "vit_b_32": 64,
    "maxvit_t": 448,
    "regnet_x_400mf": 64,
}
"""Models that take arguments of their own, or tables on the CPU; by the size of an image."""


@pytest.mark.parametrize(("name", "size"), [("resnet18", 32), ("swin_t", 64), *SPECIAL.items()])
def test_a_torchvision_model_is_built_without_memory_and_gives_one_output_also_in_training(
    name: str, size: int
) -> None:
    model = meta_model(name, (3, size, size), 7)
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"meta"}
    with torch.device("meta"):
        assert model.train()(torch.empty(2, 3, size, size)).shape == (2, 7)


def test_a_torchvision_model_is_drawn_by_the_seed() -> None:
    def weight(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return build_model("squeezenet1_1", (3, 64, 64), 7).state_dict()["classifier.1.weight"]

    assert weight(0).device.type == "cpu"
    assert torch.equal(weight(0), weight(0))
    assert not torch.equal(weight(0), weight(1))
