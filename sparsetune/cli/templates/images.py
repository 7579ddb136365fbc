"""Does a sparse network on small images want another learning rate than its dense twin?

Data: scikit-learn's handwritten digits, embedded: no download.

    sparsetune preview my_study.py        cells, trials and cost; trains nothing
    sparsetune run my_study.py            a minute on two cores; ends in a report
    sparsetune fields optim               every field that can be set, swept or searched
"""

from sparsetune import (
    Arm,
    DigitsTask,
    LogUniform,
    Minimize,
    OptimSpec,
    ScheduleSpec,
    Study,
    TrialSpec,
)

STUDY = Study(
    name="my_study",
    question="Does a sparse network want another learning rate than its dense twin?",
    # The recipe that everything below varies.
    base=TrialSpec(
        # Other images: ImageTask(dataset="fashion_mnist", model="lenet_300_100"), or "cifar10"
        # with "resnet20"; they are read from --data-root or SPARSETUNE_DATA.
        task=DigitsTask(model="mlp", batch_size=64),
        optim=OptimSpec(name="sgd", lr=0.1, momentum=0.9, weight_decay=1e-4),
        schedule=ScheduleSpec(epochs=8, lr="linear", warmup=0.05),
    ),
    # One line of the figures each: gradual magnitude pruning, and AC/DC.
    arms={"gmp": Arm({"sparsity.method": "gmp"}), "acdc": Arm({"sparsity.method": "acdc"})},
    # Every value is a cell with a search of its own; 0 is the dense network.
    sweep={"sparsity.target": [0, 0.9, 0.98]},
    # Searched within each cell, so that 98 % is not judged by what suits the dense network.
    search={"optim.lr": LogUniform(0.01, 1.0)},
    objective=Minimize("val_loss"),
    configurations_per_cell=4,
    # The winner of each cell runs again on fresh seeds, which alone read the test set.
    report_seeds=3,
)

if __name__ == "__main__":
    STUDY.run()
