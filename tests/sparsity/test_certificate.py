import torch

from sparsetune.sparsity.certificate import certify
from sparsetune.sparsity.masks.allocation import LayerGroup

WEIGHTS = {"a": torch.tensor([[0.0, 1.0], [0.0, 2.0]]), "b": torch.tensor([[0.0, 3.0]])}
MASKS = {"a": torch.tensor([[False, True], [True, True]]), "b": torch.tensor([[False, True]])}


def test_a_kept_request_is_counted_per_layer_and_in_all() -> None:
    certificate = certify(WEIGHTS, MASKS, [LayerGroup(("a", "b"), 2)])
    assert certificate["faults"] == []
    assert certificate["layers"][0] == {
        "name": "a",
        "shape": [2, 2],
        "weights": 4,
        "kept": 3,
        "asked": None,
        "zeros": 2,
        "outside_mask": 0,
    }
    assert {key: certificate[key] for key in ("weights", "kept", "zeros", "asked")} == {
        "weights": 6,
        "kept": 4,
        "zeros": 3,
        "asked": 4,
    }


def test_a_uniform_request_holds_per_layer() -> None:
    certificate = certify(WEIGHTS, MASKS, [LayerGroup(("a",), 2), LayerGroup(("b",), 0)])
    assert [layer["asked"] for layer in certificate["layers"]] == [2, 2]
    assert certificate["faults"] == [
        "`a`: 1 weights are pruned where 2 were asked",
        "`b`: 1 weights are pruned where 0 were asked",
    ]


def test_a_weight_outside_the_mask_that_is_not_zero_is_a_fault() -> None:
    weights = {**WEIGHTS, "b": torch.tensor([[-1e-30, 3.0]])}
    (fault,) = certify(weights, MASKS, [LayerGroup(("a", "b"), 2)])["faults"]
    assert fault == "`b` has 1 weights outside its mask that are not zero"
