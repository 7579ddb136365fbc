"""How do the best learning rate, ramp and weight decay move with sparsity and length?

After 2308.02060, in small: LeNet-300-100 on 20,000 training images of Fashion-MNIST, dense and
pruned by GMP to 90, 98 and 99 %, in 8 epochs and in 32. Learning rate, weight decay, ramp start and
ramp length are searched in every cell over one Sobol set, the same in all of them, so that cells
are compared point by point. The base recipe and the control (the winner of the dense cell at
multiplier 1) are tried in every cell beside the 32 points.

Hardware: two CPU cores, about an hour. Data: Fashion-MNIST, 31 MB, downloaded by torchvision or
found in `SPARSETUNE_DATA`. Numbers to compare with, in direction only: higher sparsity wants a
higher learning rate (S-muPar, section 4.4), early ends of the ramp at 95 % and late starts at 50 to
80 % (Gale et al., arXiv 1902.09574).

    uv run sparsetune run studies.fashion_mnist_recipe
    uv run sparsetune run studies.fashion_mnist_recipe --quick
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
    name="fashion-mnist-recipe",
    question=(
        "How do the best learning rate, ramp and weight decay move with sparsity and the"
        " length of training?"
    ),
    base=TrialSpec(
        task=ImageTask(
            dataset="fashion_mnist",
            model="lenet_300_100",
            batch_size=256,
            validation=0.1,
            train_examples=20_000,
        ),
        optim=OptimSpec(name="sgd", lr=0.1, momentum=0.9, weight_decay=1e-4),
        schedule=ScheduleSpec(epochs=8, lr="linear", warmup=0.05),
        sparsity=SparsitySpec(ramp=RampSpec(start=0.1, length=0.5)),
    ),
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={"sparsity.target": [0, 0.9, 0.98, 0.99], "schedule.epoch_multiplier": [1, 4]},
    search={
        "optim.lr": LogUniform(0.01, 0.6),
        "optim.weight_decay": LogUniform(1e-6, 1e-2),
        "sparsity.ramp.start": Uniform(0.0, 0.5),
        "sparsity.ramp.length": Uniform(0.1, 0.5),
    },
    sampler=Sobol(),
    configurations_per_cell=34,
    search_seeds=1,
    report_seeds=3,
    quick_form=Quick(
        overrides={"task.train_examples": 5_000, "schedule.epochs": 6},
        sweep={"sparsity.target": [0, 0.99], "schedule.epoch_multiplier": [1, 4]},
        configurations_per_cell=4,
        report_seeds=1,
    ),
)

if __name__ == "__main__":
    STUDY.run()
