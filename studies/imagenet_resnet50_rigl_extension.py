"""How much does RigL gain from five times the training, and is it enough?

A replica of Evci et al. 2020 (arXiv 1911.11134, sections 4.1 and 4.2, and google-research/rigl):
ResNet50 in 32,000 steps of 4,096 images, at once and five times the length, RigL with ERK at 80,
90, 95 and 96.5 %; the repository's 99 %, whose first layer stays dense, at five times. Longer:
`resume RUN --add-sweep arms.rigl_99.sweep.schedule.epoch_multiplier=10,40,100`.

Schedule: peak 1.6 (0.1 for 256) reached in 5 epochs, a tenth from epochs 30, 70 and 90 on, of
312.78 steps each; three tenths of a layer's kept weights exchanged at first, falling along a cosine
to none at step 25,000, every 100 steps. All but the last stretch with the length. The 100 steps are
declared as the 409,600 images that they are, so that they become 1,600 steps with `--set
task.batch_size=256`. Nesterov momentum 0.9, weight decay 1e-4, label smoothing 0.1. The
repository's code starts at the peak, without the warm-up, and its flag for the decay of the
exchange defaults to `constant`; this follows the paper. Its TPUs normalise the batches of each core
alone; here batch norm sees eight parts of 512.

Hardware, an estimate, nothing was run at full size: 35 times 102.6 epochs a seed at 224 pixels, the
dense twins of 5x counted in, at 1.8 times the FLOPs of ffcv-imagenet's, of which an epoch takes 7.0
A100 minutes: 750 A100 hours a seed (99 % to 100x: 6,500 more, half of them for dense twins). Data:
ImageNet in folders, as in `imagenet_resnet50_extension`; nothing is held out, since nothing is
chosen.

Numbers to compare with, top-1 in percent at 80, 90, 95, 96.5 % (the paper, 3 seeds): 1x 75.1, 73.0,
69.7, 67.2; 5x 77.1, 76.4, 74.5, 72.7; dense 76.8. At 99 % (the repository, single checkpoints): 5x
61.86, 10x 63.89, 40x 66.94, 100x 68.15. Without label smoothing (`--set task.label_smoothing=0`) at
80, 90, 95 %: 1x 75.02, 73.4, 70.39; 5x 76.17, 75.9, 74.36.

    uv run sparsetune preview studies.imagenet_resnet50_rigl_extension
    uv run sparsetune run studies.imagenet_resnet50_rigl_extension
    uv run sparsetune run studies.imagenet_resnet50_rigl_extension --quick
        digits, a step for every 160
"""

from sparsetune import (
    Arm,
    ComputeSpec,
    DigitsTask,
    FolderTask,
    OptimSpec,
    Quick,
    RegrowSpec,
    ScheduleSpec,
    SparsitySpec,
    Study,
    TrialSpec,
)

STEPS = 32_000
PER_EPOCH = 312
EXACT_EPOCH = 1_281_167 / 4096 / STEPS
"""The original's epochs are not whole steps: the fraction of its training that one is."""

STUDY = Study(
    name="imagenet-resnet50-rigl-extension",
    question="How much does RigL gain from five times the training, and is it enough?",
    base=TrialSpec(
        task=FolderTask(
            folder="imagenet",
            examples=1_281_167,
            classes=1000,
            model="resnet50",
            batch_size=4096,
            validation=0,
            label_smoothing=0.1,
            resolution=224,
            eval_resolution=224,
            eval_resize=256,
            eval_batch=1000,
            decoding="pillow",
        ),
        optim=OptimSpec(
            name="sgd", lr=0.1, lr_batch=256, momentum=0.9, nesterov=True, weight_decay=1e-4
        ),
        schedule=ScheduleSpec(
            epochs=STEPS / PER_EPOCH,
            lr="step",
            anchors=(30 * EXACT_EPOCH, 70 * EXACT_EPOCH, 90 * EXACT_EPOCH),
            warmup=5 * EXACT_EPOCH,
        ),
        sparsity=SparsitySpec(
            regrow=RegrowSpec(
                fraction=0.3, decay="cosine", every="409600 samples", until=25_000 / STEPS
            )
        ),
        compute=ComputeSpec(precision="bfloat16", channels_last=True, accumulate=8),
    ),
    arms={
        "dense": Arm(sweep={"sparsity.target": [0], "schedule.epoch_multiplier": [1, 5]}),
        "rigl": Arm({"sparsity.method": "rigl"}),
        "rigl_99": Arm(
            {"sparsity.method": "rigl", "sparsity.spared": ("conv1",)},
            sweep={"sparsity.target": [0.99], "schedule.epoch_multiplier": [5]},
        ),
    },
    sweep={"sparsity.target": [0.8, 0.9, 0.95, 0.965], "schedule.epoch_multiplier": [1, 5]},
    report_seeds=3,
    quick_form=Quick(
        overrides={
            "task": DigitsTask(model="resnet8", label_smoothing=0.1),
            "compute": ComputeSpec(),
            "schedule.epochs": 10,
            "sparsity.regrow.every": "320 samples",
        },
        sweep={"sparsity.target": [0.8, 0.95], "schedule.epoch_multiplier": [1, 2]},
        arms={
            "dense": Arm(sweep={"schedule.epoch_multiplier": [1, 2]}),
            "rigl_99": Arm(sweep={"schedule.epoch_multiplier": [1]}),
        },
        report_seeds=1,
    ),
)

if __name__ == "__main__":
    STUDY.run()
