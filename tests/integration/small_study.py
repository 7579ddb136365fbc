"""The study that is interrupted, killed and resumed: digits, nine trials of about three seconds
each.
"""

from sparsetune import (
    Arm,
    DigitsTask,
    LogUniform,
    OptimSpec,
    ScheduleSpec,
    Study,
    TrialSpec,
    Uniform,
)

STUDY = Study(
    name="small",
    base=TrialSpec(
        task=DigitsTask(batch_size=16),
        optim=OptimSpec(lr=0.05),
        schedule=ScheduleSpec(epochs=60),
    ),
    arms={"gmp": Arm({"sparsity.method": "gmp"}), "acdc": Arm({"sparsity.method": "acdc"})},
    sweep={"sparsity.target": [0, 0.9]},
    search={"optim.lr": LogUniform(0.01, 0.2), "sparsity.ramp.start": Uniform(0, 0.4)},
    configurations_per_cell=2,
    search_seeds=1,
    report_seeds=1,
)
