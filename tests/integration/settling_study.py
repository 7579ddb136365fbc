"""A study of which two seeds settle nothing, so that its cells get two more."""

from sparsetune import DigitsTask, OptimSpec, ScheduleSpec, Study, TrialSpec, UnderTrained
from sparsetune.spec.sparsity import SparsitySpec

STUDY = Study(
    name="settling",
    base=TrialSpec(
        task=DigitsTask(batch_size=32),
        optim=OptimSpec(lr=0.05),
        schedule=ScheduleSpec(epochs=4),
        sparsity=SparsitySpec(method="gmp"),
    ),
    sweep={"sparsity.target": [0.9], "schedule.epoch_multiplier": [1, 2]},
    questions=[UnderTrained("gmp")],
    report_seeds=2,
    until_settled=4,
)
