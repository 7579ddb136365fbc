"""How good is every recipe for sparse networks on handwritten digits?

A landscape: each configuration is trained to its end on three seeds, so that searches and stopping
rules can be replayed over it (`python -m tests.benchmarks landscapes`). An MLP of 17,024 weights on
60 % of scikit-learn's digits (embedded, no download); 40 % validate, since a tenth is 144 images.
The dense network, gradual magnitude pruning, AC/DC and RigL at 95 and 98 %, 256 points of one Sobol
sequence in each of seven cells.

Hardware: two CPU cores; the time is measured in README.md of the folder above.

    uv run sparsetune run studies.landscapes.digits
"""

from sparsetune import (
    Arm,
    DigitsTask,
    LogUniform,
    Minimize,
    OptimSpec,
    Quick,
    RampSpec,
    RegrowSpec,
    ScheduleSpec,
    Sobol,
    SparsitySpec,
    Study,
    TrialSpec,
    Uniform,
)

STUDY = Study(
    name="landscape-digits",
    question="How good is every recipe for sparse networks on handwritten digits?",
    base=TrialSpec(
        task=DigitsTask(model="mlp", batch_size=64, validation=0.4),
        optim=OptimSpec(name="sgd", lr=0.1, momentum=0.9, weight_decay=1e-4),
        schedule=ScheduleSpec(epochs=16, lr="linear", warmup=0.05),
        sparsity=SparsitySpec(
            ramp=RampSpec(start=0.2, length=0.4), regrow=RegrowSpec(every="10 steps")
        ),
    ),
    arms={
        "gmp": Arm(
            {"sparsity.method": "gmp"},
            search={
                "sparsity.ramp.start": Uniform(0.0, 0.5),
                "sparsity.ramp.length": Uniform(0.1, 0.45),
            },
        ),
        "acdc": Arm({"sparsity.method": "acdc"}),
        "rigl": Arm(
            {"sparsity.method": "rigl"}, search={"sparsity.regrow.fraction": Uniform(0.05, 0.6)}
        ),
    },
    sweep={"sparsity.target": [0, 0.95, 0.98]},
    search={
        "optim.lr": LogUniform(0.01, 1.0),
        "optim.weight_decay": LogUniform(1e-6, 1e-2),
    },
    objective=Minimize("val_error"),
    sampler=Sobol(),
    configurations_per_cell=256,
    search_seeds=3,
    report_seeds=1,
    quick_form=Quick(overrides={"schedule.epochs": 8}, configurations_per_cell=4),
)

if __name__ == "__main__":
    STUDY.run()
