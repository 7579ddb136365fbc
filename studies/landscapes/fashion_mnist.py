"""How good is every recipe, ramps among them, for sparse networks on Fashion-MNIST?

A landscape: each configuration is trained to its end on four seeds and evaluated every epoch, so
that searches and stopping rules can be replayed over it (`python -m tests.benchmarks landscapes`).
The network and the ranges are those of `studies.fashion_mnist_ramps`: LeNet-300-100, here on 10,000
images of which 2,000 validate, dense and pruned by GMP to 95 and 99 % in 12 epochs, with 50
configurations each.

Hardware: two CPU cores; the time is measured in README.md of the folder above. Data: Fashion-MNIST,
31 MB, downloaded by torchvision or found in `SPARSETUNE_DATA`.

    uv run sparsetune run studies.landscapes.fashion_mnist
"""

from sparsetune import (
    Arm,
    ImageTask,
    LogUniform,
    OptimSpec,
    Quick,
    RampSpec,
    ScheduleSpec,
    Sobol,
    SparsitySpec,
    Study,
    TrialSpec,
    Uniform,
)

STUDY = Study(
    name="landscape-fashion-mnist",
    question="How good is every recipe for sparse networks on Fashion-MNIST?",
    base=TrialSpec(
        task=ImageTask(
            dataset="fashion_mnist",
            model="lenet_300_100",
            batch_size=128,
            validation=0.2,
            train_examples=10_000,
        ),
        optim=OptimSpec(name="sgd", lr=0.1, momentum=0.9, weight_decay=1e-4),
        schedule=ScheduleSpec(epochs=12, lr="linear", warmup=0.05),
        sparsity=SparsitySpec(ramp=RampSpec(start=0.2, length=0.3)),
    ),
    arms={
        "gmp": Arm(
            {"sparsity.method": "gmp"},
            search={
                "sparsity.ramp.start": Uniform(0.0, 0.6),
                "sparsity.ramp.length": Uniform(0.1, 0.35),
            },
        )
    },
    sweep={"sparsity.target": [0, 0.95, 0.99]},
    search={"optim.lr": LogUniform(0.02, 0.5)},
    sampler=Sobol(),
    configurations_per_cell=50,
    search_seeds=4,
    report_seeds=1,
    quick_form=Quick(
        overrides={"task.train_examples": 5_000, "schedule.epochs": 4}, configurations_per_cell=4
    ),
)

if __name__ == "__main__":
    STUDY.run()
