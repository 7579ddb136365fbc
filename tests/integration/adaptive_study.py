"""A study that is searched and stopped by default: each suggestion follows from all before it."""

from sparsetune import DigitsTask, LogUniform, OptimSpec, ScheduleSpec, Study, TrialSpec, Uniform
from sparsetune.spec.sparsity import RampSpec, SparsitySpec

STUDY = Study(
    name="adaptive",
    base=TrialSpec(
        task=DigitsTask(batch_size=32),
        optim=OptimSpec(lr=0.05),
        schedule=ScheduleSpec(epochs=12),
        sparsity=SparsitySpec(method="gmp", ramp=RampSpec(start=0.1, length=0.4)),
    ),
    sweep={"sparsity.target": [0.95]},
    search={"optim.lr": LogUniform(0.003, 1), "sparsity.ramp.start": Uniform(0, 0.5)},
    configurations_per_cell=16,
    report_seeds=1,
)
