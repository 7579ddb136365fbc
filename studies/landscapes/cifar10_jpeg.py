"""How good is every recipe for sparse convolutional networks on small pictures?

A landscape: each configuration is trained to its end on four seeds and evaluated every epoch, so
that searches and stopping rules can be replayed over it (`python -m tests.benchmarks landscapes`).
Three convolutions of 6,296 weights on 3,000 images of a copy of CIFAR-10 that JPEG compressed with
loss, 1,000 of them for validation; dense, and pruned by GMP to 80 % in 12 epochs, 50 configurations
each. Numbers from this copy are not CIFAR-10's.

Hardware: two CPU cores; the time is measured in README.md of the folder above. Data:
`$SPARSETUNE_DATA/cifar10-jpeg`.

    uv run sparsetune run studies.landscapes.cifar10_jpeg
    uv run sparsetune run studies.landscapes.cifar10_jpeg --quick     the network on digits
"""

from sparsetune import (
    Arm,
    ComputeSpec,
    DigitsTask,
    ImageTask,
    LogUniform,
    Minimize,
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

NETWORK = "studies.landscapes.small_convolutions:build"

STUDY = Study(
    name="landscape-cifar10-jpeg",
    question="How good is every recipe for sparse convolutional networks on small pictures?",
    base=TrialSpec(
        task=ImageTask(
            dataset="cifar10_jpeg",
            model=NETWORK,
            train_examples=3_000,
            validation=1_000,
            batch_size=64,
            crop=4,
            flip=True,
        ),
        optim=OptimSpec(name="sgd", lr=0.1, momentum=0.9, weight_decay=5e-4),
        schedule=ScheduleSpec(epochs=12, lr="linear", warmup=0.05),
        sparsity=SparsitySpec(ramp=RampSpec(start=0.2, length=0.4)),
        compute=ComputeSpec(channels_last=True),
    ),
    arms={
        "gmp": Arm(
            {"sparsity.method": "gmp"},
            search={
                "sparsity.ramp.start": Uniform(0.0, 0.5),
                "sparsity.ramp.length": Uniform(0.1, 0.45),
            },
        )
    },
    sweep={"sparsity.target": [0, 0.8]},
    search={
        "optim.lr": LogUniform(0.01, 1.0),
        "optim.weight_decay": LogUniform(1e-5, 1e-2),
    },
    objective=Minimize("val_error"),
    sampler=Sobol(),
    configurations_per_cell=50,
    search_seeds=4,
    report_seeds=1,
    quick_form=Quick(
        overrides={"task": DigitsTask(model=NETWORK), "schedule.epochs": 4},
        configurations_per_cell=4,
    ),
)

if __name__ == "__main__":
    STUDY.run()
