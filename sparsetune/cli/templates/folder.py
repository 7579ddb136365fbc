"""How sparse may a network on my own images be, and does it want longer training?

Data: a folder of images by class, train/CLASS/* and val/CLASS/*; `val` is the test set.

    sparsetune preview my_study.py --probe    cells, trials, time and bytes; trains a few steps
    sparsetune run my_study.py                ends in a report
    sparsetune fields task                    every field of the task
"""

from sparsetune import (
    Arm,
    FolderTask,
    LogUniform,
    Minimize,
    OptimSpec,
    ScheduleSpec,
    Study,
    TrialSpec,
)

# The two lines to edit; images and classes are counted at the first launch:
FOLDER = "my_images"  # <- the folder that holds train/ and val/
RESOLUTION = 32  # <- pixels of an image's side

STUDY = Study(
    name="my_study",
    question="How sparse may the network be, and does it want longer training?",
    base=TrialSpec(
        task=FolderTask(
            folder=FOLDER,
            resolution=RESOLUTION,
            # A name of `sparsetune layers --help`, or your own "package.module:function", which is
            # called with the input's shape and the number of classes.
            model="resnet8",
            batch_size=32,
            validation=0.1,
            least_area=0.5,
        ),
        optim=OptimSpec(name="sgd", lr=0.1, momentum=0.9, weight_decay=1e-4),
        schedule=ScheduleSpec(epochs=4, lr="linear", warmup=0.05),
    ),
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    # Two axes are crossed: each sparsity is trained for one and for two times the epochs.
    sweep={"sparsity.target": [0, 0.9], "schedule.epoch_multiplier": [1, 2]},
    search={"optim.lr": LogUniform(0.01, 0.3)},
    objective=Minimize("val_loss"),
    configurations_per_cell=2,
    report_seeds=2,
)

if __name__ == "__main__":
    STUDY.run()
