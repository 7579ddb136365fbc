"""How sparse may a network on a table of numbers be?

Data: scikit-learn's breast cancer, 569 patients with 30 numbers each, embedded: no download.

    sparsetune preview my_study.py        cells and trials; trains nothing
    sparsetune run my_study.py            a minute on two cores; ends in a report
    sparsetune fields task                every field of the task
"""

from typing import Any

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from torch import nn

from sparsetune import (
    Arm,
    CustomTask,
    LogUniform,
    Minimize,
    OptimSpec,
    ScheduleSpec,
    Study,
    TrialSpec,
)


def load() -> dict[str, Any]:
    """Rows of numbers and a class for each; a tenth of ``train`` is held out for validation."""
    table = load_breast_cancer()
    train_rows, test_rows, train_classes, test_classes = train_test_split(
        table.data, table.target, test_size=0.2, stratify=table.target, random_state=0
    )
    return {"train": (train_rows, train_classes), "test": (test_rows, test_classes)}


def build(input_shape: tuple[int], n_outputs: int, width: int) -> nn.Module:
    """Two hidden layers; ``width`` is one of the task's options."""
    return nn.Sequential(
        nn.Linear(input_shape[0], width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, n_outputs),
    )


STUDY = Study(
    name="my_study",
    question="How sparse may a network on a table of numbers be?",
    base=TrialSpec(
        task=CustomTask(
            data="my_study:load",
            model="my_study:build",
            options={"width": 64},  # "task.options.width" may be swept and searched
            normalise="standard",  # by mean and deviation of the training rows
            loss="cross_entropy",
            metrics=("accuracy",),
            batch_size=32,
        ),
        optim=OptimSpec(name="sgd", lr=0.05, momentum=0.9, weight_decay=1e-3),
        schedule=ScheduleSpec(epochs=10),
    ),
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    # Every value is a cell with a search of its own; 0 is the dense network.
    sweep={"sparsity.target": [0, 0.8, 0.95]},
    search={"optim.lr": LogUniform(0.003, 0.3)},
    objective=Minimize("val_loss"),
    configurations_per_cell=4,
    report_seeds=3,
)

if __name__ == "__main__":
    STUDY.run()
