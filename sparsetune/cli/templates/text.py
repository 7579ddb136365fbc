"""How much of an encoder of sentences can be pruned while it learns?

Data: a task of GLUE as TSV files, glue/SST-2/train.tsv and dev.tsv below --data-root or
SPARSETUNE_DATA; where there are none, the Hugging Face hub. `dev` is the test set.

    sparsetune preview my_study.py                     cells, trials and cost; trains nothing
    sparsetune run my_study.py --data-root my_data     two minutes on two cores; ends in a report
    sparsetune fields task                             every field of the task
"""

from sparsetune import (
    Arm,
    LogUniform,
    Minimize,
    OptimSpec,
    ScheduleSpec,
    Study,
    TextTask,
    TrialSpec,
)

STUDY = Study(
    name="my_study",
    question="How much of an encoder of sentences can be pruned while it learns?",
    base=TrialSpec(
        task=TextTask(
            dataset="sst2",
            # Untrained, and so small that a CPU will do. A trained one is a folder, or one of the
            # hub: "google-bert/bert-base-uncased".
            model="bert_tiny",
            max_length=32,
            batch_size=32,
            # A stratified subset; leave both lines out to train on all there is.
            train_examples=1_600,
            validation=400,
        ),
        optim=OptimSpec(name="adamw", lr=1e-3, weight_decay=0.01),
        schedule=ScheduleSpec(epochs=3, lr="linear", warmup=0.1),
    ),
    # Linear layers of the encoder's blocks are pruned; embeddings, norms and the head are not.
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={"sparsity.target": [0, 0.8, 0.95]},
    search={"optim.lr": LogUniform(1e-4, 3e-3)},
    objective=Minimize("val_loss"),
    configurations_per_cell=3,
    report_seeds=2,
)

if __name__ == "__main__":
    STUDY.run()
