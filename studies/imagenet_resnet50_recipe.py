"""How do the best learning rate, ramp and weight decay of ResNet50 move with sparsity and length?

After 2308.02060 (that the recipe is searched is its programme; the axes' values are ours): GMP at
90, 95 and 98 % and the dense network, at 30 epochs, where ffcv-imagenet searched its recipe, and at
120. Learning rate, weight decay, ramp start and ramp length are searched in every cell over one
Sobol set, the same in all of them; base and control (the winner of the dense cell at 30 epochs) are
tried in every cell. Validation is 10,000 training images; a winner is trained again on 3 fresh
seeds, beside its dense twins, and only then is the test set (`val`) read. Halving knows ramps: a
configuration is compared once it has been at target for a tenth of training. The budget is that of
the dense network at 120 epochs.

Recipe: as in `imagenet_resnet50_extension`, after ffcv-imagenet.

Hardware, an estimate, nothing was run at full size: at most 14,100 epochs, 9,600 of them for 16
configurations in each of 8 cells if none is stopped; at 7.0 A100 minutes an epoch (from
ffcv-imagenet's README) at most 1,650 A100 hours. Data: ImageNet in folders, as in
`imagenet_resnet50_extension`.

Numbers to compare with, in direction only: higher sparsity wants a higher learning rate (S-muPar,
section 4.4); late starts of the ramp are best at 50 to 80 % and worst at 95 %, where early ends are
best (Gale et al. 2019, means over their sweep); SparseZoo's 200-epoch AC/DC recipe has a third of
the weight decay of AC/DC's own.

    uv run sparsetune preview studies.imagenet_resnet50_recipe
    uv run sparsetune run studies.imagenet_resnet50_recipe
    uv run sparsetune run studies.imagenet_resnet50_recipe --quick     digits, a sixth of the epochs
"""

from sparsetune import (
    Arm,
    Budget,
    ComputeSpec,
    DigitsTask,
    FolderTask,
    GrowthSpec,
    Halving,
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
    name="imagenet-resnet50-recipe",
    question=(
        "How do the best learning rate, ramp and weight decay of ResNet50 move with sparsity"
        " and length?"
    ),
    base=TrialSpec(
        task=FolderTask(
            folder="imagenet",
            examples=1_281_167,
            classes=1000,
            model="resnet50",
            batch_size=1024,
            validation=10_000,
            label_smoothing=0.1,
            resolution=192,
            eval_resolution=224,
            eval_resize=256,
            eval_batch=1000,
            decoding="pillow",
            growth=GrowthSpec(first=160, start=65 / 88, length=11 / 88),
        ),
        optim=OptimSpec(name="sgd", lr=1.7, lr_batch=4096, momentum=0.9, weight_decay=1e-4),
        schedule=ScheduleSpec(epochs=30, lr="linear", warmup="2 epochs"),
        sparsity=SparsitySpec(ramp=RampSpec(start=0.2, length=0.4)),
        compute=ComputeSpec(precision="bfloat16", channels_last=True, accumulate=2),
    ),
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={"sparsity.target": [0, 0.9, 0.95, 0.98], "schedule.epoch_multiplier": [1, 4]},
    search={
        "optim.lr": LogUniform(0.4, 8.0),
        "optim.weight_decay": LogUniform(3e-6, 3e-4),
        "sparsity.ramp.start": Uniform(0.0, 0.4),
        "sparsity.ramp.length": Uniform(0.1, 0.45),
    },
    stopping=Halving(),
    at_most=Budget(epochs=120),
    sampler=Sobol(),
    configurations_per_cell=16,
    search_seeds=1,
    report_seeds=3,
    quick_form=Quick(
        overrides={
            "task": DigitsTask(model="resnet8", label_smoothing=0.1),
            "compute": ComputeSpec(),
            "schedule.epochs": 5,
            "schedule.warmup": "0.3 epochs",
        },
        sweep={"sparsity.target": [0, 0.95], "schedule.epoch_multiplier": [1, 2]},
        configurations_per_cell=3,
        report_seeds=1,
    ),
)

if __name__ == "__main__":
    STUDY.run()
