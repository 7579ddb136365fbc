"""Multi-label classification: topics of made documents, from counts of their words."""

from torch import nn

from sparsetune import Arm, CustomTask, MetricSpec, OptimSpec, Quick, ScheduleSpec, Study, TrialSpec

LABELS = 5


def load():
    """Counts of 40 words in 1,500 documents, and which of five topics each has."""
    from sklearn.datasets import make_multilabel_classification

    words, topics = make_multilabel_classification(
        n_samples=1_500, n_features=40, n_classes=LABELS, random_state=0
    )
    names = ["art", "law", "sport", "trade", "travel"]
    return {
        "train": (words[:1_000], topics[:1_000]),
        "test": (words[1_000:], topics[1_000:]),
        "class_names": names,
    }


def build(input_shape, n_outputs):
    """A network with one hidden layer of 64."""
    return nn.Sequential(nn.Linear(*input_shape, 64), nn.ReLU(), nn.Linear(64, n_outputs))


F1 = MetricSpec("MultilabelF1Score", arguments={"num_labels": LABELS})

STUDY = Study(
    name="multilabel",
    question="Which sparsity does the F1 score of a multi-label classifier bear?",
    base=TrialSpec(
        task=CustomTask(
            data="multilabel:load",
            model="multilabel:build",
            loss="bce_with_logits",
            metrics=(F1, "accuracy"),
            normalise="standard",
            batch_size=50,
        ),
        optim=OptimSpec(lr=0.1),
        schedule=ScheduleSpec(epochs=10),
    ),
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={"sparsity.target": [0, 0.9, 0.97]},
    report_seeds=3,
    quick_form=Quick(overrides={"schedule.epochs": 5}, report_seeds=1),
)

if __name__ == "__main__":
    STUDY.run()
