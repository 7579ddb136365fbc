"""Tabular regression: progression of diabetes from ten measurements (Efron et al. 2004)."""

from torch import nn

from sparsetune import Arm, CustomTask, LogUniform, OptimSpec, Quick, ScheduleSpec, Study, TrialSpec


def load():
    """Patients to train on and to test with; targets are standardised."""
    from sklearn.datasets import load_diabetes

    inputs, progression = load_diabetes(return_X_y=True)
    targets = (progression - 152) / 77
    return {"train": (inputs[:350], targets[:350]), "test": (inputs[350:], targets[350:])}


def build(input_shape, n_outputs, width):
    """A network with two hidden layers."""
    return nn.Sequential(
        nn.Linear(*input_shape, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, n_outputs),
    )


STUDY = Study(
    name="diabetes",
    question="How sparse may a small regression network be?",
    base=TrialSpec(
        task=CustomTask(
            data="diabetes:load",
            model="diabetes:build",
            options={"width": 32},
            loss="mse",
            metrics=("r2", "MeanAbsoluteError"),
            normalise="standard",
            batch_size=32,
            validation=0.2,
        ),
        optim=OptimSpec(lr=0.02),
        schedule=ScheduleSpec(epochs=20),
    ),
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={"sparsity.target": [0, 0.8, 0.95]},
    search={"optim.lr": LogUniform(0.003, 0.1)},
    configurations_per_cell=6,
    report_seeds=3,
    quick_form=Quick(overrides={"schedule.epochs": 10}, configurations_per_cell=2, report_seeds=1),
)

if __name__ == "__main__":
    STUDY.run()
