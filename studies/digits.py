"""Does a sparse network on handwritten digits want another recipe than its dense twin?

Data: scikit-learn's digits (1,797 images of 8 x 8), embedded: no download. Model: an MLP of 17,024
weights. After 2308.02060: gradual magnitude pruning at four sparsities and the dense network, at
one, two and four times the epochs, with learning rate, weight decay and the ramp searched in every
cell.

    uv run sparsetune run studies.digits           about two minutes on two cores, ends in a report
    uv run sparsetune run studies.digits --quick   under a minute once Ray is up
"""

from sparsetune import (
    Arm,
    DigitsTask,
    LogUniform,
    Minimize,
    OptimSpec,
    Quick,
    ScheduleSpec,
    Sobol,
    Study,
    TrialSpec,
    Uniform,
)

STUDY = Study(
    name="digits",
    question="Does a sparse network on handwritten digits want another recipe than its dense twin?",
    base=TrialSpec(
        task=DigitsTask(model="mlp", batch_size=64, validation=0.1),
        optim=OptimSpec(name="sgd", lr=0.1, momentum=0.9, weight_decay=1e-4),
        schedule=ScheduleSpec(epochs=8, lr="linear", warmup=0.05),
    ),
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={"sparsity.target": [0, 0.8, 0.9, 0.95, 0.98], "schedule.epoch_multiplier": [1, 2, 4]},
    search={
        "optim.lr": LogUniform(0.01, 1.0),
        "optim.weight_decay": LogUniform(1e-6, 1e-2),
        "sparsity.ramp.start": Uniform(0.0, 0.4),
        "sparsity.ramp.length": Uniform(0.2, 0.5),
    },
    known_base=True,  # its ramp of 0.6 is longer than those that are searched
    objective=Minimize("val_loss"),
    sampler=Sobol(),
    configurations_per_cell=6,
    search_seeds=1,
    report_seeds=2,
    quick_form=Quick(
        sweep={"sparsity.target": [0, 0.9], "schedule.epoch_multiplier": [1, 2]},
        configurations_per_cell=3,
        report_seeds=2,
    ),
)

if __name__ == "__main__":
    STUDY.run()
