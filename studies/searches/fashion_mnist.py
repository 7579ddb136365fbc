"""Does the default search of few configurations find what a search of many finds?

LeNet-300-100 on 10,000 images of Fashion-MNIST, of which 2,000 validate, dense and pruned by GMP to
95 and 99 % in 12 epochs. This study leaves out how to search;
`studies.searches.fashion_mnist_whole` is the same with 32 Sobol configurations that all train to
their end. Winners of both run on the same five fresh seeds.

Hardware: two CPU cores; the time is measured in README.md of the folder above. Data: Fashion-MNIST,
31 MB, downloaded by torchvision or found in `SPARSETUNE_DATA`.

    uv run sparsetune run studies.searches.fashion_mnist
    uv run sparsetune run studies.searches.fashion_mnist_whole
"""

from sparsetune import (
    Arm,
    ImageTask,
    LogUniform,
    OptimSpec,
    Quick,
    RampSpec,
    ScheduleSpec,
    SparsitySpec,
    Study,
    TrialSpec,
    Uniform,
)

STUDY = Study(
    name="search-fashion-mnist",
    question="Does the default search of few configurations find what a search of many finds?",
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
    report_seeds=5,
    quick_form=Quick(
        overrides={"task.train_examples": 5_000, "schedule.epochs": 4}, configurations_per_cell=4
    ),
)

if __name__ == "__main__":
    STUDY.run()
