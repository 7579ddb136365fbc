"""Where should the ramp start, and how long should it be?

Every trial is recorded in full, so that stopping rules can be replayed.

LeNet-300-100 on 20,000 training images of Fashion-MNIST, pruned by GMP to 95 and 99 % in 12 epochs,
with 64 configurations a cell: ramp start, ramp length and learning rate from one Sobol sequence.
Nothing is stopped: every configuration trains to its end, so that `sparsetune replay` can tell what
a scheduler would have stopped, what that would have saved, and whether it would have kept the best.
Before its ramp a network is dense and looks good, so one expects a scheduler that compares epochs
to favour late ramps; here it favoured early ones (see README.md).

Hardware: two CPU cores, 36 minutes with much other work beside it. Data: Fashion-MNIST, 31 MB,
downloaded by torchvision or found in `SPARSETUNE_DATA`. Numbers to compare with: none published;
for ResNet50, Gale et al. (arXiv 1902.09574) found late starts and early ends bad.

    uv run sparsetune run studies.fashion_mnist_ramps
    uv run sparsetune replay runs/fashion-mnist-ramps --workers 2
"""

from sparsetune import (
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
    name="fashion-mnist-ramps",
    question=(
        "Where should the ramp start and how long should it be, and would early stopping have"
        " kept the best?"
    ),
    base=TrialSpec(
        task=ImageTask(
            dataset="fashion_mnist",
            model="lenet_300_100",
            batch_size=128,
            validation=0.1,
            train_examples=20_000,
        ),
        optim=OptimSpec(name="sgd", lr=0.1, momentum=0.9, weight_decay=1e-4),
        schedule=ScheduleSpec(epochs=12, lr="linear", warmup=0.05),
        sparsity=SparsitySpec(method="gmp", target=0.95, ramp=RampSpec(start=0.2, length=0.3)),
    ),
    sweep={"sparsity.target": [0.95, 0.99]},
    search={
        "optim.lr": LogUniform(0.02, 0.5),
        "sparsity.ramp.start": Uniform(0.0, 0.6),
        "sparsity.ramp.length": Uniform(0.1, 0.35),
    },
    sampler=Sobol(),
    configurations_per_cell=64,
    search_seeds=1,
    report_seeds=2,
    quick_form=Quick(
        overrides={"task.train_examples": 5_000, "schedule.epochs": 4}, configurations_per_cell=4
    ),
)

if __name__ == "__main__":
    STUDY.run()
