"""The study whose teacher must not be trained twice: digits, a teacher and six trials that learn
from it.
"""

from sparsetune import (
    Arm,
    DigitsTask,
    DistillSpec,
    LogUniform,
    OptimSpec,
    ScheduleSpec,
    Study,
    TrialSpec,
)

RECIPE = TrialSpec(
    task=DigitsTask(batch_size=32),
    optim=OptimSpec(lr=0.05),
    schedule=ScheduleSpec(epochs=30),
    seed=50,
)
STUDY = Study(
    name="taught",
    base=RECIPE.with_values({"seed": 0}),
    arms={
        "gmp": Arm(
            {
                "sparsity.method": "gmp",
                "distill": DistillSpec(hardness=1, temperature=2, teacher=RECIPE),
            }
        ),
    },
    sweep={"sparsity.target": [0.9]},
    search={"optim.lr": LogUniform(0.01, 0.2)},
    configurations_per_cell=2,
    report_seeds=1,
)
