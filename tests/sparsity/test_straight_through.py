import torch

from sparsetune.sparsity.effective.straight_through import ShadowWeights


def test_effective_weights_and_the_pull_by_hand() -> None:
    weight = torch.tensor([1.0, -2.0, 3.0, -4.0])
    mask = torch.tensor([0.0, 0.0, 1.0, 1.0])
    shadow = ShadowWeights([weight], decay=0.1)
    shadow.mask([mask])
    assert weight.tolist() == [0, 0, 3, -4]
    shadow.unmask()
    assert weight.tolist() == [1, -2, 3, -4]
    gradient = torch.ones(4)
    shadow.mask([mask])
    shadow.unmask([gradient])
    assert torch.allclose(gradient, torch.tensor([1.1, 0.8, 1.0, 1.0]))
    assert weight.tolist() == [1, -2, 3, -4]
