"""Which sparse training keeps most accuracy on handwritten digits, and what does it cost?

Every method of the platform, each with its published settings where they fit a training of 600
steps: RigL, SET and GraNet move weights every 10 steps instead of 100 and more, oBERT estimates its
Fisher ten times from 64 gradients. Sparsities keep one weight in 4, 8, 16, 32 and 64, so that
SR-STE's patterns 1:4 and 1:16 stand at the same points. Nothing is searched: all arms share one
dense recipe, so that a method which wants another is not shown at its best.

Data: scikit-learn's digits (1,797 images of 8 x 8), embedded: no download. Model: an MLP of 17,024
weights. Methods: sources in `sparsetune/sparsity/methods/`; GMP* after Kurtic et al. 2024, GraNet
after arXiv 2106.10404. For orientation, test accuracy at 75, 93.75 and 98.44 % (n = 5; dense 97.3):
GMP 97.1, 96.5, 94.3; AC/DC 96.7, 95.7, 92.8; one-shot 97.3, 96.2, 84.2; SNIP 96.7, 94.7, 51.7; RigL
96.4, 92.9, 47.9; SET 96.2, 89.4, 13.1; random 95.9, 71.3, 13.2.

STE, Top-KAST and powerpropagation came after these numbers, which have 53 of the 68 cells.

    uv run sparsetune run studies.digits_methods   5 minutes on two cores with other work beside it
    uv run sparsetune run studies.digits_methods --quick   about a minute once Ray is up
"""

from sparsetune import (
    GMP_STAR,
    Arm,
    DigitsTask,
    FisherSpec,
    OptimSpec,
    Quick,
    RampSpec,
    RegrowSpec,
    ScheduleSpec,
    Study,
    TrialSpec,
)

EVERY = "10 steps"
FISHER = FisherSpec(block=16, gradients=64, dampening=1e-3)

STUDY = Study(
    name="digits-methods",
    question=(
        "Which sparse training keeps most accuracy on handwritten digits, and what does it cost?"
    ),
    base=TrialSpec(
        task=DigitsTask(model="mlp", batch_size=64, validation=0.1),
        optim=OptimSpec(name="sgd", lr=0.1, momentum=0.9, weight_decay=1e-4),
        schedule=ScheduleSpec(epochs=30, lr="linear", warmup=0.05),
    ),
    arms={
        "dense": Arm({"sparsity.method": "dense"}, sweep={"sparsity.target": [0]}),
        "random": Arm({"sparsity.method": "static"}),
        "snip": Arm(
            {
                "sparsity.method": "static",
                "sparsity.score": "saliency",
                "sparsity.allocation": "global",
            }
        ),
        "set": Arm({"sparsity.method": "set", "sparsity.regrow": RegrowSpec(every=EVERY)}),
        "rigl": Arm({"sparsity.method": "rigl", "sparsity.regrow": RegrowSpec(every=EVERY)}),
        "granet": Arm(
            {"sparsity.method": "granet", "sparsity.regrow": RegrowSpec(fraction=0.5, every=EVERY)}
        ),
        "one_shot": Arm({"sparsity.method": "one_shot"}),
        "gmp": Arm({"sparsity.method": "gmp"}),
        "gmp_star": Arm({"sparsity.method": "gmp", "sparsity.ramp": GMP_STAR}),
        "acdc": Arm({"sparsity.method": "acdc"}),
        "obert": Arm(
            {
                "sparsity.method": "obert",
                "sparsity.ramp": RampSpec(updates=10),
                "sparsity.fisher": FISHER,
            },
        ),
        "ste": Arm({"sparsity.method": "ste"}),
        "top_kast": Arm({"sparsity.method": "top_kast"}),
        "powerpropagation": Arm({"sparsity.method": "powerpropagation"}),
        "sr_ste 1:4": Arm(
            {"sparsity.method": "sr_ste", "sparsity.pattern": "1:4"},
            sweep={"sparsity.target": [1 - 1 / 4]},
        ),
        "sr_ste 1:16": Arm(
            {"sparsity.method": "sr_ste", "sparsity.pattern": "1:16"},
            sweep={"sparsity.target": [1 - 1 / 16]},
        ),
    },
    sweep={"sparsity.target": [1 - 1 / kept for kept in (4, 8, 16, 32, 64)]},
    report_seeds=5,
    quick_form=Quick(
        overrides={"schedule.epochs": 10},
        sweep={"sparsity.target": [1 - 1 / 4, 1 - 1 / 16]},
        report_seeds=1,
    ),
)

if __name__ == "__main__":
    STUDY.run()
