"""Do static masks, RigL and GMP keep their published order on a small network and few epochs?

In the direction of Evci et al. 2020 (section 4.3; see `cifar10_wrn22_methods`), in small: ResNet-8
on 10,000 training images of a copy of CIFAR-10 that JPEG compressed with loss, dense and at 90 and
95 %, in 3 epochs and in 6. Numbers from this copy are not CIFAR-10's, and stand beside no published
number: only the order of methods, and what twice the training adds, may be compared. One recipe for
all, nothing searched. ERK for all three, so that what differs is the method. RigL's interval is 15
steps instead of 100, 11 updates in 3 epochs and 23 in 6.

Hardware: two CPU cores; the time is measured in README.md of this folder. Data:
`$SPARSETUNE_DATA/cifar10-jpeg`. Order to compare with, accuracy in percent at 90 and 95 % after 250
epochs of WRN-22-2 (dense 94.1; google-research/rigl, issue 8): RigL 92.9, 91.8 and 93.3, 92.4 at
twice the length; static 91.5, 89.0 and 91.8, 89.7; GMP 93.3, 92.3.

    uv run sparsetune run studies.cifar10_jpeg_resnet8
    uv run sparsetune run studies.cifar10_jpeg_resnet8 --quick     ResNet-8 on digits
"""

from sparsetune import (
    Arm,
    ComputeSpec,
    DigitsTask,
    ImageTask,
    OptimSpec,
    Quick,
    RampSpec,
    RegrowSpec,
    ScheduleSpec,
    SparsitySpec,
    Study,
    TrialSpec,
)

STUDY = Study(
    name="cifar10-jpeg-resnet8",
    question=(
        "Do static masks, RigL and GMP keep their published order on a small network trained"
        " for a few epochs?"
    ),
    base=TrialSpec(
        task=ImageTask(
            dataset="cifar10_jpeg",
            model="resnet8",
            train_examples=10_000,
            validation=1_000,
            batch_size=128,
            crop=4,
            flip=True,
        ),
        optim=OptimSpec(name="sgd", lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4),
        schedule=ScheduleSpec(epochs=3, lr="linear", warmup=0.05),
        sparsity=SparsitySpec(
            regrow=RegrowSpec(every="15 steps"),
            ramp=RampSpec(start=0.2, length=0.55),
        ),
        compute=ComputeSpec(channels_last=True),
    ),
    arms={
        "static": Arm({"sparsity.method": "static"}),
        "rigl": Arm({"sparsity.method": "rigl"}),
        "gmp": Arm({"sparsity.method": "gmp", "sparsity.allocation": "erk"}),
    },
    sweep={"sparsity.target": [0, 0.9, 0.95], "schedule.epoch_multiplier": [1, 2]},
    report_seeds=3,
    quick_form=Quick(
        overrides={
            "task": DigitsTask(model="resnet8"),
            "schedule.epochs": 3,
            "sparsity.regrow.every": "3 steps",
        },
        sweep={"sparsity.target": [0, 0.95]},
        report_seeds=1,
    ),
)

if __name__ == "__main__":
    STUDY.run()
