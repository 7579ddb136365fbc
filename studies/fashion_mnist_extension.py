"""Does a 99 % sparse LeNet want more epochs than its dense twin?

After 2308.02060, in small: LeNet-300-100 on 20,000 training images of Fashion-MNIST, dense and
pruned by GMP and AC/DC to 90, 95, 98 and 99 %, with the whole recipe stretched over 2 to 64 epochs.
Nothing is searched: every cell runs the same dense recipe, so that what changes is the length
alone. The question starts at 16 epochs, from which on the dense network is within 0.2 points of its
best (an earlier run of this study, with the same seeds).

Hardware: two CPU cores, about 45 minutes. Data: Fashion-MNIST, 31 MB, downloaded by torchvision or
found in `SPARSETUNE_DATA`. For orientation, a plain script (one seed) gave a test accuracy at
2/4/8/16 epochs of 85.2/86.8/87.5/88.0 % dense, 80.7/83.6/85.6/86.3 % with GMP at 99 %,
70.0/80.8/83.8/85.1 % with AC/DC at 99 %.

    uv run sparsetune run studies.fashion_mnist_extension
    uv run sparsetune run studies.fashion_mnist_extension --quick
"""

from sparsetune import (
    Arm,
    ExtensionGain,
    ImageTask,
    OptimSpec,
    Quick,
    Remaining,
    ScheduleSpec,
    Study,
    TrialSpec,
)

STUDY = Study(
    name="fashion-mnist-extension",
    question="Does a 99 % sparse LeNet want more epochs than its dense twin?",
    base=TrialSpec(
        task=ImageTask(
            dataset="fashion_mnist",
            model="lenet_300_100",
            batch_size=128,
            validation=0.1,
            train_examples=20_000,
        ),
        optim=OptimSpec(name="sgd", lr=0.1, momentum=0.9, weight_decay=1e-4),
        schedule=ScheduleSpec(epochs=16, lr="linear", warmup=0.05),
    ),
    questions=(ExtensionGain(), Remaining()),
    arms={
        "dense": Arm({"sparsity.method": "dense"}),
        "gmp": Arm({"sparsity.method": "gmp"}),
        "acdc": Arm({"sparsity.method": "acdc"}),
    },
    sweep={"sparsity.target": [0, 0.9, 0.95, 0.98, 0.99], "schedule.epochs": [2, 4, 8, 16, 32, 64]},
    report_seeds=3,
    quick_form=Quick(
        overrides={"task.train_examples": 5_000},
        sweep={"sparsity.target": [0, 0.99], "schedule.epochs": [2, 4]},
        report_seeds=2,
    ),
)

if __name__ == "__main__":
    STUDY.run()
