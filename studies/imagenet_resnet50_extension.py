"""How many epochs does a sparse ResNet50 want, and how many does its dense twin?

After 2308.02060 (its teaser figure): dense at nine lengths from 16 to 300 epochs, AC/DC at 100, 250
and 500 epochs and 80, 90, 95 and 98 %, one recipe for all, nothing searched, so that what changes
is the length alone.

Recipe: ffcv-imagenet's, read in its `rn50_configs` and `train_imagenet.py`: peak 1.7 for a batch of
4,096 (eight processes of 512), reached in 2 epochs, then linear to zero; weight decay 1e-4, none on
batch norm; label smoothing 0.1; 160 pixels until 65/88 of training, then up to 192 until 76/88.
AC/DC's plan is the authors' in epochs, so that longer training repeats phases. Why not AC/DC's own
recipe: the figure's dense epochs are ffcv-imagenet's six budgets, and its 100-epoch values lie 0.6
to 1.9 points above those that AC/DC's repository gives for its own. The paper's text was not
available, so this is inferred. Left out: BlurPool and test-time flips; bfloat16 stands for float16.

Hardware, an estimate, nothing was run at full size: 5,006 epochs a seed, 750 of them for the dense
twins of 250 and 500 epochs. ffcv-imagenet's README gives 77.2 minutes for 88 epochs on 8 A100, 7.0
minutes an epoch of one; so about 590 A100 hours a seed, if images arrive as fast, 3,050 a second,
for which torchvision may want 25 CPU cores. Memory, by rule of thumb: 30 GB for a part of 512
images. Data: ImageNet (ILSVRC 2012) in folders,
`$SPARSETUNE_DATA/imagenet/{train,val}/CLASS/*.JPEG`; nothing is held out, since nothing is chosen.

Numbers to compare with, top-1 in percent, read off the figure of 2308.02060 to about 0.03 (the
method, AC/DC, is inferred): dense 72.58, 74.52, 75.32, 75.78, 76.49, 76.80, 76.66, 76.7, 76.36 at
16, 24, 32, 40, 56, 88, 100, 200, 300 epochs; at 100, 250, 500: 80 % 77.09, 77.19, 76.77; 90 %
76.25, 76.90, 76.56; 95 % 74.93, 75.77, 75.94; 98 % 70.34, 73.81, 74.17.

    uv run sparsetune preview studies.imagenet_resnet50_extension
    uv run sparsetune run studies.imagenet_resnet50_extension
    uv run sparsetune run studies.imagenet_resnet50_extension --quick
        digits, a tenth of AC/DC's plan
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
    ScheduleSpec,
    Study,
    TrialSpec,
)

TENTH = AcdcSpec(
    warmup="1 epochs",
    compress="0.5 epochs",
    decompress="0.5 epochs",
    last_dense="1 epochs",
    final="1.5 epochs",
)

STUDY = Study(
    name="imagenet-resnet50-extension",
    question="How many epochs does a sparse ResNet50 want, and how many does its dense twin?",
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
        compute=ComputeSpec(precision="bfloat16", channels_last=True, accumulate=2),
    ),
    arms={
        "dense": Arm(sweep={"schedule.epochs": [16, 24, 32, 40, 56, 88, 100, 200, 300]}),
        "acdc": Arm(
            {"sparsity.method": "acdc", "sparsity.acdc": PUBLISHED_ACDC},
            sweep={"sparsity.target": [0.8, 0.9, 0.95, 0.98], "schedule.epochs": [100, 250, 500]},
        ),
    },
    report_seeds=3,
    quick_form=Quick(
        overrides={
            "task": DigitsTask(model="resnet8", label_smoothing=0.1),
            "compute": ComputeSpec(),
        },
        arms={
            "dense": Arm(sweep={"schedule.epochs": [3, 10]}),
            "acdc": Arm(
                {"sparsity.method": "acdc", "sparsity.acdc": TENTH},
                sweep={"schedule.epochs": [10, 20]},
            ),
        },
        report_seeds=2,
    ),
)

if __name__ == "__main__":
    STUDY.run()
