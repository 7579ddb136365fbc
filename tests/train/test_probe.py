import pytest
import torch
from torch import nn

from sparsetune.sparsity.layers import prunable_weights
from sparsetune.spec import ComputeSpec
from sparsetune.spec.task import DigitsTask
from sparsetune.tasks.kinds import load_task
from sparsetune.tasks.task import Task
from sparsetune.train.compute import ComputedModel
from sparsetune.train.probe import GradientProbe


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers = [
            nn.Flatten(),
            nn.Linear(64, 16),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(16, 10),
        ]
        self.layers = nn.Sequential(*layers)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(inputs)
        return logits


@pytest.fixture(scope="module")
def task() -> Task:
    return load_task(DigitsTask())


def probe(task: Task, seed: int = 0) -> tuple[Network, GradientProbe]:
    torch.manual_seed(0)
    model = Network().train()
    return model, GradientProbe(task, model, prunable_weights(model), 64, seed)


def norms(task: Task, seed: int, drawn: int, training: bool = True) -> list[float]:
    _, own = probe(task, seed)
    return [
        float(found["layers.1.weight"].norm()) for found in own.gradients(drawn, 3, 16, training)
    ]


def test_gradients_are_those_of_the_loss_in_evaluation_mode(task: Task) -> None:
    model, own = probe(task)
    everything = len(task.splits.train)
    (found,) = own.gradients(5, 1, everything, training=False)
    model.eval()
    loss = task.loss(model(task.splits.train.inputs), task.splits.train.targets)
    (expected,) = torch.autograd.grad(loss, [model.layers[1].weight])
    assert torch.allclose(found["layers.1.weight"], expected, atol=1e-6)


def test_batches_and_noise_are_a_function_of_the_seeds(task: Task) -> None:
    first = norms(task, 0, 1)
    assert len(set(first)) == 3
    assert norms(task, 0, 1) == first
    assert norms(task, 1, 1) != first
    assert norms(task, 0, 2) != first
    assert norms(task, 0, 1, training=False) != first


def test_a_pass_leaves_no_trace(task: Task) -> None:
    model, own = probe(task)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    list(own.gradients(0, 2, None, training=True))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_recalibration_estimates_the_statistics_of_what_it_sees(task: Task) -> None:
    model, own = probe(task)
    state = torch.get_rng_state()
    own.recalibrate(0, 10**6)
    inputs = task.splits.train.inputs.flatten(1)
    expected = model.layers[1](inputs).mean(0)
    assert torch.allclose(model.layers[2].running_mean, expected, atol=0.05)
    assert not torch.equal(model.layers[2].running_mean, torch.zeros(16))
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training


def test_passes_have_the_precision_of_the_trial(task: Task) -> None:
    torch.manual_seed(0)
    model = Network().train()
    seen = set[torch.dtype]()
    model.layers[1].register_forward_hook(lambda _module, _inputs, output: seen.add(output.dtype))
    compute = ComputedModel(ComputeSpec(precision="bfloat16"), model, "cpu")
    own = GradientProbe(task, model, prunable_weights(model), 64, 0, compute.arithmetic)
    (gradients,) = own.gradients(0, 1, 16, training=True)
    own.recalibrate(0, 64)
    assert seen == {torch.bfloat16}
    assert {gradient.dtype for gradient in gradients.values()} == {torch.float32}
