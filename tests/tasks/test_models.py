from pathlib import Path

import pytest
import torch

from sparsetune.errors import DeclarationError
from sparsetune.tasks.models import MODELS, build_model

OWN = """
from torch import nn
def net(input_shape, n_classes):
    return nn.Sequential(nn.Conv2d(input_shape[0], 4, 3), nn.Flatten(), nn.LazyLinear(n_classes))
value = 3
"""


@pytest.mark.parametrize("name", list(MODELS))
def test_every_model_maps_a_batch_to_logits(name: str) -> None:
    for shape in ((1, 8, 8), (3, 32, 32)):
        assert build_model(name, shape, 7)(torch.zeros(5, *shape)).shape == (5, 7)


def test_a_users_function_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_networks.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    model = build_model("own_networks:net", (1, 8, 8), 10)
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    with pytest.raises(DeclarationError, match="has no attribute 'nothing'"):
        build_model("own_networks:nothing", (1, 8, 8), 10)
    with pytest.raises(DeclarationError, match="must name a function"):
        build_model("own_networks:value", (1, 8, 8), 10)


def test_an_unknown_name_lists_the_valid_ones() -> None:
    with pytest.raises(DeclarationError, match=r"mlp, lenet_300_100.*got 'resnet'"):
        build_model("resnet", (1, 8, 8), 10)
    with pytest.raises(DeclarationError, match="No module named 'no_such_module'"):
        build_model("no_such_module:net", (1, 8, 8), 10)
