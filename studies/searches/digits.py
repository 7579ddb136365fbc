"""Does the default search of few configurations find what a search of many finds, for AC/DC?

An MLP of 17,024 weights on 60 % of scikit-learn's digits (embedded, no download), of which 40 %
validate, dense and pruned by AC/DC to 90 and 95 % in 16 epochs. This study leaves out how to
search; `studies.searches.digits_whole` is the same with 32 Sobol configurations that all train to
their end. Winners of both run on the same five fresh seeds.

Hardware: two CPU cores; the time is measured in README.md of the folder above.

    uv run sparsetune run studies.searches.digits
    uv run sparsetune run studies.searches.digits_whole
"""

from sparsetune import (
    Arm,
    DigitsTask,
    LogUniform,
    OptimSpec,
    Quick,
    ScheduleSpec,
    Study,
    TrialSpec,
)

STUDY = Study(
    name="search-digits",
    question="Does the default search of few configurations find what a search of many finds?",
    base=TrialSpec(
        task=DigitsTask(model="mlp", batch_size=64, validation=0.4),
        optim=OptimSpec(name="sgd", lr=0.1, momentum=0.9, weight_decay=1e-4),
        schedule=ScheduleSpec(epochs=16, lr="linear", warmup=0.05),
    ),
    arms={"acdc": Arm({"sparsity.method": "acdc"})},
    sweep={"sparsity.target": [0, 0.9, 0.95]},
    search={
        "optim.lr": LogUniform(0.01, 1.0),
        "optim.weight_decay": LogUniform(1e-6, 1e-2),
    },
    report_seeds=5,
    quick_form=Quick(overrides={"schedule.epochs": 8}, configurations_per_cell=4),
)

if __name__ == "__main__":
    STUDY.run()
