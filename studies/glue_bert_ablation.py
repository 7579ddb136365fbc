"""What does each setting of GMP* do to a sparse BERT?

The settings are the first pruning step, the learning rate, and the hardness and temperature of
distillation.

A replica of Kurtic et al. 2024 (CPAL, tables 2 to 5): GMP* on BERT-base to 90 and 97 %, one setting
changed at a time. Their tables on SQuAD are asked of MNLI here, which the learning rates' is on.
The axes meet in GMP* itself: 70 %, 1e-4, hardness 1, temperature 5.5. The length of their ablations
is not stated; 10 epochs are inferred, since the best row of the hardness is GMP*'s result after 10.
Nothing is chosen, so nothing is held out, and GLUE's matched dev set is read once by each of 3
seeds, beside dense twins with the same rate and teacher.

Recipe: AdamW, batch 32, 128 tokens, no weight decay, no warm-up, gradients clipped to a norm of 1
(as in oBERT's scripts, by the same authors); 1e-4 to 1e-6 in a straight line every 2 epochs; the
first pruning step at epoch 2, then ten updates an epoch along a cubic ramp until epoch 8. The
teacher is dense BERT-base, fine-tuned and clipped as google-research/bert does it.

Hardware, an estimate, nothing was run at full size: 109 trials, 1,083 epochs of MNLI of 12,271
steps each; at 20 steps a second (assumed for one A100 in bfloat16) 185 A100 hours. Data: GLUE and
BERT-base from the Hugging Face hub, or `glue/MNLI` and `models/google-bert/bert-base-uncased` below
`SPARSETUNE_DATA`.

Numbers to compare with (the paper's tables), in percent at 90 and 97 %; those of SQuAD (F1) in
direction only. MNLI's are of the matched set; the first pruning step is given by its sparsity:

    learning rate, MNLI     3e-5: 80.8, 76.3  5e-5: 81.4, 77.8  8e-5: 81.9, 78.6  1e-4: 81.6, 79.3
    first pruning, SQuAD    0 %: 85.2, 77.2   30 %: 85.5, 77.8  50 %: 85.8, 78.5  70 %: 85.8, 79.1
    hardness, SQuAD         0.6: 84.6, 78.4   0.8: 85.9, 80.1   0.9: 86.2, 80.7   1: 86.7, 81.0
    temperature, SQuAD      1: 84.7, 77.3     2: 85.8, 79.0     5.5: 86.7, 81.0   8.5: 86.4, 80.9

    uv run sparsetune preview studies.glue_bert_ablation
    uv run sparsetune run studies.glue_bert_ablation
    uv run sparsetune run studies.glue_bert_ablation --quick   a tiny BERT on 320 sentences of SST-2
"""

from sparsetune import (
    GMP_STAR,
    GMP_STAR_REWINDS,
    Arm,
    ComputeSpec,
    DistillSpec,
    OptimSpec,
    Quick,
    ScheduleSpec,
    SparsitySpec,
    Study,
    TextTask,
    TrialSpec,
)

TASK = TextTask(
    dataset="mnli",
    model="google-bert/bert-base-uncased",
    batch_size=32,
    max_length=128,
    validation=0,
)
TEACHER = TrialSpec(
    task=TASK,
    optim=OptimSpec(name="adamw", lr=3e-5, weight_decay=0.01, clip_norm=1),
    schedule=ScheduleSpec(epochs=3, lr="linear", warmup=0.1),
    compute=ComputeSpec(precision="bfloat16"),
)
SETTINGS = {
    "first_0": {"sparsity.ramp.first": 0},
    "first_30": {"sparsity.ramp.first": 0.3},
    "first_50": {"sparsity.ramp.first": 0.5},
    "lr_3e-5": {"optim.lr": 3e-5},
    "lr_5e-5": {"optim.lr": 5e-5},
    "lr_8e-5": {"optim.lr": 8e-5},
    "hardness_0_6": {"distill.hardness": 0.6},
    "hardness_0_8": {"distill.hardness": 0.8},
    "hardness_0_9": {"distill.hardness": 0.9},
    "temperature_1": {"distill.temperature": 1},
    "temperature_2": {"distill.temperature": 2},
    "temperature_8_5": {"distill.temperature": 8.5},
}
"""What differs from GMP*, by arm."""

TINY = TextTask(dataset="sst2", model="bert_tiny", max_length=32, validation=0, train_examples=320)

STUDY = Study(
    name="glue-bert-ablation",
    question="What do first pruning step, learning rate and distillation each do to a sparse BERT?",
    base=TrialSpec(
        task=TASK,
        optim=OptimSpec(name="adamw", lr=1e-4, weight_decay=0, clip_norm=1),
        schedule=ScheduleSpec(
            epochs=10, lr="linear", warmup=0, floor=0.01, rewind=GMP_STAR_REWINDS
        ),
        sparsity=SparsitySpec(method="gmp", target=0.9, ramp=GMP_STAR),
        distill=DistillSpec(hardness=1, temperature=5.5, teacher=TEACHER),
        compute=ComputeSpec(precision="bfloat16"),
    ),
    arms={"gmp_star": Arm(), **{name: Arm(setting) for name, setting in SETTINGS.items()}},
    sweep={"sparsity.target": [0.9, 0.97]},
    report_seeds=3,
    quick_form=Quick(
        overrides={
            "task": TINY,
            "compute": ComputeSpec(),
            "distill.teacher": TrialSpec(
                task=TINY,
                optim=OptimSpec(name="adamw", lr=2e-3, clip_norm=1),
                schedule=ScheduleSpec(epochs=6),
            ),
            "optim.lr": 2e-3,
            "schedule.epochs": 8,
        },
        sweep={"sparsity.target": [0.97]},
        report_seeds=1,
    ),
)

if __name__ == "__main__":
    STUDY.run()
