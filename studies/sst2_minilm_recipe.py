"""Do 90 and 97 % sparse encoders want another recipe for fine-tuning than the dense one?

After 2308.02060 (its language half) and GMP* (Kurtic et al. 2024, CPAL): MiniLM-L6 (6 layers,
hidden size 384; 10.6 M weights that may be pruned, 22.7 M parameters) is fine-tuned on 2,000
sentences of SST-2, dense and gradually pruned to 90 and 97 % of its encoder, by two recipes:

- `standard`: the dense recipe, 2 epochs, one linear decay, the usual cubic ramp from 0;
- `extended`: 8 epochs, the learning rate rewound every 2, the ramp straight to 70 % after 2 epochs
  and ten updates an epoch up to the sixth, and distillation (hardness 1, temperature 5.5) from one
  dense teacher: GMP* at 8 epochs.

Three learning rates are searched in each cell on one seed, then the best is trained on two fresh
ones, beside its dense twin and its control (the dense winner's learning rate). The small training
set makes it run in about an hour on two cores; so its accuracies are no published SST-2 numbers,
and the dev set is read once, by report trials. Gradients are not clipped, unlike in published
recipes of BERT: the record was made without, and the declaration stays as it was. `--set
optim.clip_norm=1` clips them, the teacher's aside.

    sparsetune run studies.sst2_minilm_recipe --data-root DATA
        about 70 minutes on two cores, some 40 trials
    sparsetune run studies.sst2_minilm_recipe --quick   two minutes, on an untrained encoder

`DATA/glue/SST-2` holds the TSV files; without it they come from the hub, and so does the encoder,
unless it lies in `DATA/models/sentence-transformers/all-MiniLM-L6-v2`.

To compare with, for BERT-base on other tasks (GMP*, 10 epochs, 90 and 97 %: MNLI 81.9 and 79.1,
dense 84.5): in published work too the gap to dense grows with sparsity, and longer recipes close a
part of it.
"""

from sparsetune import (
    Arm,
    Choice,
    DistillSpec,
    EvaluateSpec,
    Grid,
    OptimSpec,
    Quick,
    RampSpec,
    RewindSpec,
    ScheduleSpec,
    Study,
    TextTask,
    TrialSpec,
)

STANDARD = TrialSpec(
    task=TextTask(
        dataset="sst2",
        model="sentence-transformers/all-MiniLM-L6-v2",
        batch_size=32,
        max_length=32,
        train_examples=2_000,
        validation=1_000,
    ),
    optim=OptimSpec(name="adamw", lr=2e-4, weight_decay=0),
    schedule=ScheduleSpec(epochs=2, lr="linear", warmup=0),
    evaluate=EvaluateSpec(train_examples=500),
)
UNTRAINED = {
    "task.model": "bert_tiny",
    "task.train_examples": 1_024,
    "task.validation": 200,
    "task.batch_size": 8,
    "optim.lr": 8e-4,
}


def extended(teacher: TrialSpec, epochs: float) -> Arm:
    """GMP* in so many epochs, with this teacher."""
    return Arm(
        {
            "sparsity.method": "gmp",
            "sparsity.ramp": RampSpec(first=0.7, start=0.25, length=0.5, updates=40),
            "schedule.epochs": epochs,
            "schedule.floor": 0.01,
            "schedule.rewind": RewindSpec(start=0.25, every=0.25),
            "distill": DistillSpec(hardness=1, temperature=5.5, teacher=teacher),
        }
    )


STUDY = Study(
    name="sst2-minilm-recipe",
    question=(
        "Do 90 and 97 % sparse encoders want another recipe for fine-tuning than the dense one?"
    ),
    base=STANDARD,
    arms={"standard": Arm({"sparsity.method": "gmp"}), "extended": extended(STANDARD, epochs=8)},
    sweep={"sparsity.target": [0, 0.9, 0.97]},
    search={"optim.lr": Choice([5e-5, 2e-4, 8e-4])},
    sampler=Grid(),
    configurations_per_cell=3,
    search_seeds=1,
    report_seeds=2,
    quick_form=Quick(
        overrides=UNTRAINED,
        sweep={"sparsity.target": [0, 0.97]},
        arms={"extended": extended(STANDARD.with_values(UNTRAINED), epochs=2)},
        report_seeds=1,
    ),
)

if __name__ == "__main__":
    STUDY.run()
