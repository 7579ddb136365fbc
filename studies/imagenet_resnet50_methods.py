"""Which sparse training gains most from longer training: GMP, RigL or AC/DC, on ResNet50?

After 2308.02060 (the comparison of methods; that it stretches every schedule in proportion is
recalled, its grid is ours): GMP, RigL with ERK and AC/DC at 80, 90 and 95 %, and dense, at a
quarter, once, twice and a half and four times 100 epochs. One recipe for all, that of
`imagenet_resnet50_extension`. Ramp, learning rate, AC/DC's phases and the end of RigL's updates
stretch; the 409,600 images between two updates do not (100 steps at batch 4,096, Evci et al. 2020),
and gradients of 4 batches of 1,024 choose what grows, as many images as there. GMP's ramp lies
where the STR repository's does, epochs 20 to 80 of 100. Allocations are the methods' own: global
for GMP and AC/DC, ERK for RigL, so that FLOPs differ; read accuracy beside `train_flops`.

`acdc_published` is AC/DC as in the authors' configurations (IST-DASLab/ACDC, `configs/neurips`):
batch 256, peak 0.256 reached in 5 epochs, cosine to the end, one value through every epoch;
momentum 0.875; weight decay 2**-15 on every parameter; no label smoothing, 224 pixels; phases in
epochs that repeat at 150 and 200.

Hardware, an estimate, nothing was run at full size: 7,750 epochs a seed at 160 to 192 pixels, 7.0
A100 minutes each (ffcv-imagenet's README), and 1,800 at 224 pixels, 1.8 times the FLOPs: 1,300 A100
hours a seed, dense twins counted in. Data: ImageNet in folders, as in
`imagenet_resnet50_extension`; nothing is held out, since nothing is chosen.

Numbers to compare with, top-1 in percent at 80, 90, 95 %, of recipes that are not this one, so by
order alone: AC/DC 100 epochs, global, 76.45, 75.03, 73.14; 200 epochs, uniform, -, 76.09, 74.29
(its repository; single checkpoints); RigL ERK 1x 75.1, 73.0, 69.7 and 5x 77.1, 76.4, 74.5 (its
paper; dense 76.8); GMP, best of a sweep, 75.58, 73.91, 70.59 (Gale et al. 2019). `acdc_published`
should meet the first of these.

    uv run sparsetune preview studies.imagenet_resnet50_methods
    uv run sparsetune run studies.imagenet_resnet50_methods
    uv run sparsetune run studies.imagenet_resnet50_methods --quick
        digits, a sixteenth of the epochs
"""

from sparsetune import (
    PUBLISHED_ACDC,
    AcdcSpec,
    Arm,
    ComputeSpec,
    DigitsTask,
    FolderTask,
    GrowthSpec,
    OptimSpec,
    Quick,
    RampSpec,
    RegrowSpec,
    ScheduleSpec,
    SparsitySpec,
    Study,
    TrialSpec,
)

RECIPE_OF_ACDC = {
    "sparsity.method": "acdc",
    "optim": OptimSpec(
        lr=0.256,
        lr_batch=256,
        momentum=0.875,
        weight_decay=2**-15,
        decay_bias_and_norm=True,
        nesterov=False,
    ),
    "schedule.lr": "cosine",
    "schedule.lr_per": "epoch",
    "schedule.warmup": "5 epochs",
    "task.label_smoothing": 0,
}
TENTH = AcdcSpec(
    warmup="1 epochs",
    compress="0.5 epochs",
    decompress="0.5 epochs",
    last_dense="1 epochs",
    final="1.5 epochs",
)

STUDY = Study(
    name="imagenet-resnet50-methods",
    question=(
        "Which sparse training gains most from longer training: GMP, RigL or AC/DC, on ResNet50?"
    ),
    base=TrialSpec(
        task=FolderTask(
            folder="imagenet",
            examples=1_281_167,
            classes=1000,
            model="resnet50",
            batch_size=1024,
            validation=0,
            label_smoothing=0.1,
            resolution=192,
            eval_resolution=224,
            eval_resize=256,
            eval_batch=1000,
            decoding="pillow",
            growth=GrowthSpec(first=160, start=65 / 88, length=11 / 88),
        ),
        optim=OptimSpec(name="sgd", lr=1.7, lr_batch=4096, momentum=0.9, weight_decay=1e-4),
        schedule=ScheduleSpec(epochs=100, lr="linear", warmup="2 epochs"),
        sparsity=SparsitySpec(
            ramp=RampSpec(start=0.2, length=0.6),
            regrow=RegrowSpec(every="409600 samples", batches=4),
        ),
        compute=ComputeSpec(precision="bfloat16", channels_last=True, accumulate=2),
    ),
    arms={
        "dense": Arm(sweep={"sparsity.target": [0]}),
        "gmp": Arm({"sparsity.method": "gmp"}),
        "rigl": Arm({"sparsity.method": "rigl"}),
        "acdc": Arm({"sparsity.method": "acdc"}),
        "acdc_published": Arm(
            {
                **RECIPE_OF_ACDC,
                "sparsity.acdc": PUBLISHED_ACDC,
                "task.batch_size": 256,
                "task.resolution": 224,
                "task.growth": None,
                "compute.accumulate": 1,
            },
            sweep={"schedule.epoch_multiplier": [1, 1.5, 2]},
        ),
    },
    sweep={"sparsity.target": [0.8, 0.9, 0.95], "schedule.epoch_multiplier": [0.25, 1, 2.5, 4]},
    report_seeds=3,
    quick_form=Quick(
        overrides={
            "task": DigitsTask(model="resnet8", label_smoothing=0.1),
            "compute": ComputeSpec(),
            "schedule.epochs": 6,
            "sparsity.regrow": RegrowSpec(every="320 samples"),
        },
        sweep={"sparsity.target": [0.8, 0.95], "schedule.epoch_multiplier": [1, 2]},
        arms={
            "acdc_published": Arm(
                {**RECIPE_OF_ACDC, "sparsity.acdc": TENTH, "schedule.warmup": "1 epochs"}
            )
        },
        report_seeds=1,
    ),
)

if __name__ == "__main__":
    STUDY.run()
