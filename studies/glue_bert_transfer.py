"""How long, and at what learning rate, is a sparse BERT fine-tuned best, and how its dense twin?

After 2308.02060 (its sparse transfer is recalled, not read; the axes' values are ours): BERT-base
on MNLI from checkpoints that were pruned to 90 and 97 % in pre-training (oBERT, arXiv 2203.07259),
whose masks stay, and from the dense one, in 2, 8 and 32 epochs. The learning rate is searched in
every cell over one Sobol set, beside the published value, the usual one of dense BERT and the
control (the winner of the dense cell at 8 epochs). `dense` has the recipe of the sparse arms,
distillation included; `dense_labels` is a line without it. Validation is 10,000 training pairs; a
winner is trained again on 3 fresh seeds, beside its dense twins, and only then is GLUE's matched
dev set read, whose labels are public and which published numbers are of.

Recipe: 8 epochs, 1.5e-4 to 1.5e-6 in a straight line, no warm-up, AdamW, batch 32, 128 tokens;
gradients clipped to a norm of 1, as in oBERT's scripts; labels are not used (hardness 1,
temperature 5.5). No weight decay is published for it; 0 here. The teacher is dense BERT-base,
fine-tuned and clipped as google-research/bert does it.

Hardware, an estimate, nothing was run at full size: at most 169 trials, 2,355 epochs of MNLI of
11,959 steps each; at 20 steps a second (assumed for one A100 in bfloat16) 390 A100 hours. Other
tasks: `--set task.dataset=qnli --set distill.teacher.task.dataset=qnli`. Data: GLUE and the models
from the Hugging Face hub, or `glue/MNLI` and `models/OWNER/NAME` below `SPARSETUNE_DATA`.

Numbers to compare with, on the dev sets in percent (arXiv 2203.07259, 4 seeds), at 90 and 97 %,
distilled: MNLI matched 83.40 (sd 0.08), 80.91 (0.17); QQP accuracy 90.99 (0.06), 90.33 (0.09); at
90 % SST-2 92.2, QNLI 89.97. Dense: MNLI 84.54, QQP 91.06, SST-2 93.01, QNLI 91.25. At 90 % from
labels alone (`--set distill.hardness=0`): MNLI 82.2, QQP 90.4, QNLI 89.3, SST-2 92.0, MRPC accuracy
85.6, CoLA 48.47, STS-B 88.0. Prune OFA at 90 % (Intel's model card): MNLI 81.45.

    uv run sparsetune preview studies.glue_bert_transfer
    uv run sparsetune run studies.glue_bert_transfer
    uv run sparsetune run studies.glue_bert_transfer --quick
        a tiny BERT, pruned before its first step
"""

from sparsetune import (
    Arm,
    ComputeSpec,
    DistillSpec,
    LogUniform,
    OptimSpec,
    Quick,
    ScheduleSpec,
    Sobol,
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
    validation=10_000,
)
TEACHER = TrialSpec(
    task=TASK,
    optim=OptimSpec(name="adamw", lr=3e-5, weight_decay=0.01, clip_norm=1),
    schedule=ScheduleSpec(epochs=3, lr="linear", warmup=0.1),
    compute=ComputeSpec(precision="bfloat16"),
)
PRUNED_90 = SparsitySpec(
    method="transfer", target=0.9, checkpoint="neuralmagic/oBERT-12-upstream-pruned-unstructured-90"
)
PRUNED_97 = SparsitySpec(
    method="transfer",
    target=0.97,
    checkpoint="neuralmagic/oBERT-12-upstream-pruned-unstructured-97",
)

TINY = TextTask(
    dataset="sst2", model="bert_tiny", max_length=32, validation=256, train_examples=320
)

STUDY = Study(
    name="glue-bert-transfer",
    question=(
        "How long, and at what learning rate, is a sparse BERT fine-tuned best, and how its"
        " dense twin?"
    ),
    base=TrialSpec(
        task=TASK,
        optim=OptimSpec(name="adamw", lr=1.5e-4, weight_decay=0, clip_norm=1),
        schedule=ScheduleSpec(epochs=8, lr="linear", warmup=0, floor=0.01),
        distill=DistillSpec(hardness=1, temperature=5.5, teacher=TEACHER),
        compute=ComputeSpec(precision="bfloat16"),
    ),
    arms={
        "dense": Arm(),
        "dense_labels": Arm({"distill.hardness": 0}),
        "transfer_90": Arm({"sparsity": PRUNED_90}),
        "transfer_97": Arm({"sparsity": PRUNED_97}),
    },
    sweep={"schedule.epoch_multiplier": [0.25, 1, 4]},
    search={"optim.lr": LogUniform(1e-5, 6e-4)},
    known=({"optim.lr": 3e-5},),
    sampler=Sobol(),
    configurations_per_cell=8,
    search_seeds=1,
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
        },
        sweep={"schedule.epoch_multiplier": [1]},
        arms={
            "transfer_90": Arm(
                {"sparsity": SparsitySpec(method="one_shot", target=0.9, prune_at=0)}
            ),
            "transfer_97": Arm(
                {"sparsity": SparsitySpec(method="one_shot", target=0.97, prune_at=0)}
            ),
        },
        configurations_per_cell=3,
        report_seeds=1,
        known_base=True,  # an untrained encoder wants a higher rate
    ),
)

if __name__ == "__main__":
    STUDY.run()
