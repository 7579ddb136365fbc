"""Which sparse training keeps most accuracy of a WRN-22-2, and what does doubling it add?

A replica of Evci et al. 2020 (arXiv 1911.11134, section 4.3; google-research/rigl, `cifar_resnet`
and issue 8): static masks, SET, RigL and GMP at 50, 80, 90 and 95 %, and dense, in 97,656 steps of
128 images (250 epochs) and twice that. Learning rate 0.1, a fifth from steps 30,000, 60,000 and
90,000 on, no warm-up; Nesterov momentum 0.9, weight decay 5e-4; crops within 4 pixels and
mirroring. SET and RigL exchange three tenths of a layer's weights at first, falling along a cosine
until step 75,000, every 100 steps; GMP's ramp goes from step 20,000 to 75,000, an update every
1,000. With twice the training all of these double but the 100 and the 1,000
(`training_steps_multiplier` in the code does the same for drop and grow; GMP at twice the length is
ours). ERK for all four, as their table labels them.

What differs from the code: it mirrors the border of an image where this crops into black, it
normalises every image by itself, and its flags' defaults leave the first convolution dense (432
weights) and do not decay the exchange; its README says that ERK applies to all layers, the paper
decays along a cosine. Its dropout of 0.3 is in the model.

Hardware, an estimate, nothing was run at full size: 51 times 250 epochs a seed. If a step takes a
GPU 15 ms, which is a guess (so small a network is bound by the starts of its kernels): half an hour
a trial, 21 GPU hours a seed, of which several share a GPU. On two CPU cores it trains 77 images/s,
45 hours a trial. Data: CIFAR-10, 170 MB, downloaded by torchvision or found in `SPARSETUNE_DATA`;
nothing is held out, since nothing is chosen.

Numbers to compare with, accuracy in percent at 50, 80, 90, 95 % (the author's figures, seeds not
stated; dense 94.1): RigL 1x 94.2, 93.6, 92.9, 91.8; 2x 94.2, 93.8, 93.3, 92.4; static 1x 94.1,
92.9, 91.5, 89.0; 2x 94.1, 93.2, 91.8, 89.7; GMP 94.0, 93.6, 93.3, 92.3. An independent reproduction
at 80 % (varun19299/rigl-reproducibility, 3 seeds): SET 92.9, RigL 93.1 and 93.3 at 2x, GMP 93.2.

    uv run sparsetune preview studies.cifar10_wrn22_methods
    uv run sparsetune run studies.cifar10_wrn22_methods --gpus-per-trial 0.25
    uv run sparsetune run studies.cifar10_wrn22_methods --quick
        ResNet-8 on digits, a step for every 500
"""

from sparsetune import (
    Arm,
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

STEPS = 97_656
PER_EPOCH = 390

STUDY = Study(
    name="cifar10-wrn22-methods",
    question=(
        "Which sparse training keeps most accuracy of a WRN-22-2, and what does twice the"
        " training add?"
    ),
    base=TrialSpec(
        task=ImageTask(
            dataset="cifar10", model="wrn_22_2", batch_size=128, validation=0, crop=4, flip=True
        ),
        optim=OptimSpec(name="sgd", lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4),
        schedule=ScheduleSpec(
            epochs=STEPS / PER_EPOCH,
            lr="step",
            anchors=(30_000 / STEPS, 60_000 / STEPS, 90_000 / STEPS),
            factor=0.2,
            warmup=0,
        ),
        sparsity=SparsitySpec(
            regrow=RegrowSpec(
                fraction=0.3, decay="cosine", every="100 steps", until=75_000 / STEPS
            ),
            ramp=RampSpec(start=20_000 / STEPS, length=55_000 / STEPS, every="1000 steps"),
        ),
    ),
    arms={
        "static": Arm({"sparsity.method": "static"}),
        "set": Arm({"sparsity.method": "set"}),
        "rigl": Arm({"sparsity.method": "rigl"}),
        "gmp": Arm({"sparsity.method": "gmp", "sparsity.allocation": "erk"}),
    },
    sweep={"sparsity.target": [0, 0.5, 0.8, 0.9, 0.95], "schedule.epoch_multiplier": [1, 2]},
    report_seeds=3,
    quick_form=Quick(
        overrides={
            "task": DigitsTask(model="resnet8"),
            "schedule.epochs": 10,
            "sparsity.regrow.every": "5 steps",
            "sparsity.ramp.every": "2 steps",
        },
        sweep={"sparsity.target": [0, 0.95], "schedule.epoch_multiplier": [1, 2]},
        report_seeds=1,
    ),
)

if __name__ == "__main__":
    STUDY.run()
