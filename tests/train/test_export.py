"""Exported networks are read by other libraries alone, and give equal logits.

Every refusal is one line.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from sparsetune.cli.main import main
from sparsetune.errors import DataError, SparsetuneError, StudyDirectoryError
from sparsetune.paths import Place, resolve_place
from sparsetune.sparsity.certificate import certify
from sparsetune.sparsity.masks.allocation import LayerGroup
from sparsetune.spec import OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.task import CustomTask, DigitsTask, TaskSpec, TextTask
from sparsetune.storage import StudyDirectory, write_durably
from sparsetune.storage.ledger import Ledger
from sparsetune.storage.records import COUNT_COLUMNS
from sparsetune.storage.trial_files import file_digests
from sparsetune.study import Arm, Study
from sparsetune.tasks.kinds import data_digest, load_task, resolve_task
from sparsetune.tasks.text.encoders import (
    build_encoder,
    encoder_weights,
    model_digest,
    tokenizer_of,
)
from sparsetune.train import train
from sparsetune.train.checkpoint import save_masks, save_weights
from sparsetune.train.export import export_trial
from tests.ledger_records import records
from tests.tasks.custom.own_code import vectors

SENTENCES = [
    "a gorgeous , witty film",
    "dull and far too long",
    "wit without end",
    "it never comes to life",
]
PRUNED = 60_000
"""Pruned weights, of `bert_tiny`'s 65,536 prunable ones."""


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARSETUNE_CACHE", str(tmp_path / "cache"))


def digits_study() -> Study:
    return study_of(DigitsTask(), "digits-export")


def study_of(task: TaskSpec, name: str) -> Study:
    base = TrialSpec(task=task, optim=OptimSpec(lr=0.05), schedule=ScheduleSpec(epochs=10))
    return Study(
        name=name,
        base=base,
        arms={"gmp": Arm({"sparsity.method": "gmp"})},
        sweep={"sparsity.target": [0.9]},
    )


def text_task(root: Path, **fields: Any) -> TextTask:
    """SST-2 in 40 sentences below the data root."""
    folder = root / "glue" / "SST-2"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f"{SENTENCES[i % 4]} {i}\t{i % 2}" for i in range(40)]
    for name in ("train", "dev"):
        (folder / f"{name}.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n")
    sizes = {"max_length": 16, "batch_size": 8, "validation": 8, "train_examples": 24}
    return TextTask(
        **({"dataset": "sst2", "folder": "glue/SST-2", "model": "bert_tiny"} | sizes | fields)
    )


def recorded(
    study: Study, parent: Place, data: str, status: str | None = "COMPLETE", **ended: Any
) -> tuple[Place, TrialSpec]:
    """Folder of the only trial in a study directory, without a model yet.

    The trial's second attempt ended.
    """
    directory = StudyDirectory(parent / study.name)
    directory.create(study)
    cell = next(cell for cell in study.cells() if cell.spec.sparsity.target == 0.9)
    spec = cell.spec.with_values({"seed": 1000})
    names = {"trial_id": spec.trial_id(), "time": 1.0}
    proposed = {
        "type": "proposed", **names, "config_id": spec.config_id(), "cell": cell.name,
        "arm": cell.arm, "role": "report", "index": 0, "source": "base", "seed": 1000,
        "spec": spec.given(),
    }  # fmt: skip
    started = [
        {"type": "started", **names, "attempt": n, "resumed_from_step": 0, "data": data}
        for n in (1, 2)
    ]
    end = (
        [{"type": "ended", **names, "attempt": 2, "status": status, "error": None, **ended}]
        if status
        else []
    )
    with segment_of(directory) as ledger:
        ledger.append(*records([proposed, *started, *end]))
    return directory.trials / spec.trial_id(), spec


def segment_of(directory: StudyDirectory) -> closing[Ledger]:
    return closing(Ledger(directory.ledger))


def keep(trial: Place, weights: dict[str, torch.Tensor], certificate: dict[str, Any]) -> None:
    save_weights(weights, trial / "attempt-2" / "model.safetensors")
    write_durably(trial / "attempt-2" / "certificate.json", json.dumps(certificate))


def pruned(model: nn.Module, weights: dict[str, nn.Parameter]) -> dict[str, Any]:
    """Prune the network to a fixed count by magnitude, in place; its certificate."""
    everything = torch.cat([weight.detach().abs().flatten() for weight in weights.values()])
    threshold = everything.kthvalue(PRUNED).values
    masks = {name: weight.detach().abs() > threshold for name, weight in weights.items()}
    with torch.no_grad():
        for name, weight in weights.items():
            weight *= masks[name]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return certify(weights, masks, [LayerGroup(tuple(weights), PRUNED)], parameters=parameters)


def text_trial(parent: Path, task: TextTask, root: Path) -> tuple[Place, nn.Module]:
    """A finished trial on text with its model."""
    trial, _ = recorded(study_of(task, "text-export"), parent, data_digest(task, root))
    torch.manual_seed(3)
    model = build_encoder(task.model, 3 if task.dataset == "mnli" else 2, root)
    certificate = pruned(model, encoder_weights(task.model, model))
    assert certificate["faults"] == []
    keep(trial, model.state_dict(), certificate)
    return trial, model.eval()


@torch.no_grad()
def test_an_exported_encoder_says_the_same_to_the_bit_without_us(tmp_path: Path) -> None:
    task = text_task(tmp_path)
    trial, model = text_trial(tmp_path / "runs", task, tmp_path)
    state = torch.random.get_rng_state()
    facts = export_trial(trial, tmp_path / "out", tmp_path)
    assert torch.equal(torch.random.get_rng_state(), state)
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    words = AutoTokenizer.from_pretrained(tmp_path / "out")
    ours = tokenizer_of(
        "bert_tiny", tmp_path, list, data_digest(task, tmp_path).split()[0].removeprefix("sst2=")
    )
    texts = [*SENTENCES, " ".join(SENTENCES * 4)]
    batch = words(texts, padding=True, truncation=True, return_tensors="pt")
    assert batch["input_ids"].shape == (5, task.max_length)
    assert (
        batch["input_ids"].tolist()
        == ours(texts, padding=True, truncation=True, max_length=16)["input_ids"]
    )
    assert torch.equal(theirs(**batch).logits, model(**batch).logits)
    assert theirs.config.id2label == {0: "negative", 1: "positive"}
    zeros = sum(int((weight == 0).sum()) for weight in encoder_weights("exported", theirs).values())
    assert zeros == PRUNED
    assert facts["sparsity"] == PRUNED / 65_536
    assert set(facts["files"]) == {
        "README.md", "certificate.json", "config.json", "declaration.json", "model.safetensors",
        "task.json", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip


def test_an_exported_encoder_is_a_folder_that_a_trial_may_start_from(tmp_path: Path) -> None:
    trial, model = text_trial(tmp_path / "runs", text_task(tmp_path), tmp_path)
    export_trial(trial, tmp_path / "out", tmp_path)
    again = build_encoder(str(tmp_path / "out"), 2, None)
    assert all(
        torch.equal(tensor, again.state_dict()[key]) for key, tensor in model.state_dict().items()
    )


def test_the_card_and_the_files_beside_it_say_what_was_pruned_and_declared(tmp_path: Path) -> None:
    task = text_task(tmp_path)
    trial, model = text_trial(tmp_path / "runs", task, tmp_path)
    export_trial(trial, tmp_path / "out", tmp_path)
    card = (tmp_path / "out" / "README.md").read_text()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert f"# text-export, trial {trial.name}" in card
    assert "| prunable weights | 65,536 | 60,000 | 0.9155 |" in card
    assert f"| all parameters | {parameters:,} | 60,000 | {PRUNED / parameters:.4f} |" in card
    declared = json.loads(card.split("```json\n")[1].split("```")[0])
    assert declared == json.loads((tmp_path / "out" / "declaration.json").read_text())
    assert (
        TrialSpec.model_validate({k: v for k, v in declared.items() if k != "schema"}).trial_id()
        == trial.name
    )
    kept = (trial / "attempt-2" / "certificate.json").read_text()
    assert json.loads((tmp_path / "out" / "certificate.json").read_text()) == json.loads(kept)


def test_an_exported_network_of_images_loads_as_its_card_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, spec = recorded(digits_study(), tmp_path, "digits=0")
    model_file = trial / "attempt-2" / "model.safetensors"
    final = train(spec, save_to=model_file, read_test=True)
    write_durably(trial / "attempt-2" / "certificate.json", json.dumps(final.certificate))
    assert main(["export", str(trial), str(tmp_path / "out")]) == 0
    monkeypatch.chdir(tmp_path / "out")
    names: dict[str, Any] = {}
    exec(
        (tmp_path / "out" / "README.md").read_text().split("```python\n")[1].split("```")[0], names
    )
    test = load_task(spec.task).splits.test
    inputs, targets = next(iter(test.read([torch.arange(len(test))])))
    assert isinstance(inputs, torch.Tensor)
    pixels = (16 * inputs).to(torch.uint8)
    right = (names["predict"](pixels) == targets).double().mean()
    assert right.item() == final.test["test_accuracy"]
    assert {path.name for path in Path().iterdir()} == {
        "README.md", "certificate.json", "declaration.json", "model.safetensors", "task.json"
    }  # fmt: skip
    facts = json.loads(Path("task.json").read_text())
    assert facts["class_names"] == list("0123456789")
    assert facts["input_shape"] == [1, 8, 8]


def test_the_command_prints_one_object(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trial, _ = text_trial(tmp_path / "runs", text_task(tmp_path), tmp_path)
    given = [str(trial / "attempt-2"), str(tmp_path / "a" / "out"), "--data-root", str(tmp_path)]
    assert main(["export", *given, "--json"]) == 0
    printed, complained = capfd.readouterr()
    assert json.loads(printed)["trial_id"] == trial.name and complained == ""
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("dataset", "names"),
    [
        ("mnli", ["entailment", "neutral", "contradiction"]),
        ("cola", ["unacceptable", "acceptable"]),
    ],
)
def test_labels_have_glues_names(tmp_path: Path, dataset: str, names: list[str]) -> None:
    saved_bert = tmp_path / "tiny"
    build_encoder("bert_tiny", 2, None).save_pretrained(saved_bert)
    tokenizer_of("bert_tiny", None, lambda: SENTENCES, "0").save_pretrained(saved_bert)
    task = text_task(tmp_path, dataset=dataset, model="tiny")
    data = f"{dataset}=0 tiny={model_digest(str(saved_bert), None)}"
    trial, _ = recorded(study_of(task, "text-export"), tmp_path / "runs", data)
    model = build_encoder("tiny", len(names), tmp_path)
    keep(trial, model.state_dict(), pruned(model, encoder_weights("tiny", model)))
    export_trial(trial, tmp_path / "out", tmp_path)  # no text is read
    assert AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "out"
    ).config.id2label == dict(enumerate(names))


def other_encoder(root: Path) -> None:
    (root / "tiny" / "vocab.txt").write_text("another\n")


def no_encoder(root: Path) -> None:
    (root / "tiny").rename(root / "gone")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (other_encoder, "must be exported with the files that it was trained on"),
        (no_encoder, "must be a local folder"),
    ],
)
def test_another_encoder_than_the_trials_is_refused(
    tmp_path: Path, spoil: Callable[[Path], None], says: str
) -> None:
    build_encoder("bert_tiny", 2, None).save_pretrained(tmp_path / "tiny")
    tokenizer_of("bert_tiny", None, lambda: SENTENCES, "0").save_pretrained(tmp_path / "tiny")
    trial, _ = text_trial(tmp_path / "runs", text_task(tmp_path, model="tiny"), tmp_path)
    spoil(tmp_path)
    with pytest.raises(SparsetuneError, match=says):
        export_trial(trial, tmp_path / "out", tmp_path)
    assert not (tmp_path / "out").exists()


def test_an_untrained_encoders_tokenizer_must_be_of_the_same_texts(tmp_path: Path) -> None:
    trial, _ = text_trial(tmp_path / "runs", text_task(tmp_path), tmp_path)
    (tmp_path / "glue" / "SST-2" / "train.tsv").write_text("sentence\tlabel\nother words\t1\n" * 40)
    with pytest.raises(DataError, match=r"trained on, sst2=\w+ bert_tiny=\w+; got sst2="):
        export_trial(trial, tmp_path / "out", tmp_path)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (None, "must have ended COMPLETE to be exported, got RUNNING"),
        ("DIVERGED", r"got DIVERGED \(loss is nan\)"),
        ("INVALID", "got INVALID"),
        ("PRUNED", "got PRUNED"),
    ],
)
def test_a_trial_that_did_not_end_well_is_refused(
    tmp_path: Path, status: str | None, says: str
) -> None:
    trial, _ = recorded(digits_study(), tmp_path, "", status, error="loss is nan")
    keep(trial, {"0.weight": torch.zeros(1)}, {})
    with pytest.raises(SparsetuneError, match=says):
        export_trial(trial, tmp_path / "out")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda trial: trial.parent, "must be a trial's folder"),
        (lambda trial: trial.parent / "0123456789ab", "must have the trial `0123456789ab`"),
        (lambda trial: trial / "attempt-1", "ended in attempt-2, not in attempt-1"),
        (
            lambda trial: trial,
            r"must have kept its model, and did not; run the study with --keep-models",
        ),
        (lambda trial: trial.parents[2] / "none" / "trials" / "x", "is not a study directory"),
    ],
)
def test_what_is_no_trial_with_a_model_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], wrong: Callable[[Place], Place], says: str
) -> None:
    trial, _ = recorded(digits_study(), tmp_path, "")
    with pytest.raises(SparsetuneError, match=says):
        export_trial(wrong(trial), tmp_path / "out")
    assert main(["export", str(wrong(trial)), str(tmp_path / "out")]) == 2
    printed, complained = capfd.readouterr()
    assert printed == "" and complained.startswith("sparsetune: ") and complained.count("\n") == 1


def test_a_damaged_model_is_refused(tmp_path: Path) -> None:
    trial, _ = recorded(digits_study(), tmp_path, "")
    keep(trial, {"0.weight": torch.zeros(1)}, {"layers": []})
    (trial / "attempt-2" / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(SparsetuneError, match="must hold a whole model, got SafetensorError"):
        export_trial(trial, tmp_path / "out")


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    trial, _ = text_trial(tmp_path / "runs", text_task(tmp_path), tmp_path)
    (tmp_path / "out").mkdir()
    export_trial(trial, tmp_path / "out", tmp_path)  # an empty one will do
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    (tmp_path / "file").write_text("mine")
    for used in ("out", "file"):
        with pytest.raises(SparsetuneError, match="must be a new or an empty folder"):
            export_trial(trial, tmp_path / used, tmp_path)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.cluster
def test_a_trial_in_an_object_store_is_exported(bucket: str, tmp_path: Path) -> None:
    here, spec = recorded(digits_study(), tmp_path, "digits=0")
    final = train(spec, save_to=here / "attempt-2" / "model.safetensors")
    write_durably(here / "attempt-2" / "certificate.json", json.dumps(final.certificate))
    there = resolve_place(bucket)
    for path in (here.parent.parent).rglob("*"):
        if path.is_file():
            write_durably(there / str(path.relative_to(tmp_path)), path.read_bytes())
    export_trial(there / str(here.relative_to(tmp_path)), tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_an_exported_network_of_a_users_own_gives_the_recorded_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = "tests.tasks.custom.own_code"
    declared = CustomTask(
        data=f"{own}:vectors", model=f"{own}:build", batch_size=10, normalise="standard"
    )
    task = resolve_task(declared, None)
    trial, spec = recorded(study_of(task, "own"), tmp_path, "own=0")
    final = train(spec, save_to=trial / "attempt-2" / "model.safetensors", read_test=True)
    write_durably(trial / "attempt-2" / "certificate.json", json.dumps(final.certificate))
    assert main(["export", str(trial), str(tmp_path / "out")]) == 0
    monkeypatch.chdir(tmp_path / "out")
    names: dict[str, Any] = {}
    exec(Path("README.md").read_text().split("```python\n")[1].split("```")[0], names)
    inputs, targets = vectors()["test"]
    right = (names["outputs"](inputs).argmax(1) == targets).double().mean()
    assert right.item() == final.test["test_accuracy"]
    facts = json.loads(Path("task.json").read_text())
    assert len(facts["normalisation"]["mean"]) == 4


def test_exported_files_are_readable_as_others_are(tmp_path: Path) -> None:
    trial, spec = recorded(digits_study(), tmp_path, "digits=0")
    final = train(spec, save_to=trial / "attempt-2" / "model.safetensors")
    write_durably(trial / "attempt-2" / "certificate.json", json.dumps(final.certificate))
    assert main(["export", str(trial), str(tmp_path / "out")]) == 0
    other = tmp_path / "other"
    other.write_text("")
    modes = {path.stat().st_mode for path in (tmp_path / "out").iterdir()}
    assert modes == {other.stat().st_mode}


def digits_trial(parent: Path, **ended: Any) -> Path:
    """A finished trial on digits with its masks and its model: two layers, 90 % pruned."""
    trial, _ = recorded(digits_study(), parent, data_digest(DigitsTask(), None), status=None)
    folder = Path(str(trial)) / "attempt-2"
    torch.manual_seed(0)
    weights = {"1.weight": torch.randn(30, 64), "3.weight": torch.randn(10, 30)}
    pruned_counts = {name: round(0.9 * weight.numel()) for name, weight in weights.items()}
    masks = {}
    for name, weight in weights.items():
        threshold = weight.abs().flatten().kthvalue(pruned_counts[name]).values
        masks[name] = weight.abs() > threshold
        weight *= masks[name]
    groups = [LayerGroup((name,), count) for name, count in pruned_counts.items()]
    certificate = certify(weights, masks, groups, parameters=2300)
    keep(trial, weights, certificate)
    save_masks(masks, folder / "masks.safetensors")
    counts = {column: certificate[name] for column, name in COUNT_COLUMNS.items()}
    end = {"type": "ended", "trial_id": Path(str(trial)).name, "attempt": 2, "status": "COMPLETE"}
    with segment_of(StudyDirectory(parent / "digits-export")) as ledger:
        ledger.append(*records([{**end, **counts, "files": file_digests(folder), **ended}]))
    return folder


def random_numbers(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: torch.randn_like(one) for name, one in weights.items()},
        folder / "model.safetensors",
    )


def other_zeros(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({name: one.flip(0) for name, one in weights.items()}, folder / "model.safetensors")


def another_certificate(folder: Path) -> None:
    path = folder / "certificate.json"
    values = json.loads(path.read_text())
    values["layers"][0]["kept"] += 100
    values["kept"] += 100
    path.write_text(json.dumps(values))


def other_masks(folder: Path) -> None:
    packed = load_file(folder / "masks.safetensors")
    save_file({name: one.flip(0) for name, one in packed.items()}, folder / "masks.safetensors")


def without_a_layer(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["3.weight"]
    save_file(weights, folder / "model.safetensors")


@pytest.mark.parametrize(
    "change", [random_numbers, other_zeros, another_certificate, other_masks, without_a_layer]
)
def test_a_network_is_exported_only_if_it_is_the_one_that_was_certified(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    folder = digits_trial(tmp_path / "whole")
    assert export_trial(folder, tmp_path / "out")["sparsity"] == pytest.approx(0.9)
    change(folder)
    with pytest.raises(StudyDirectoryError, match="is not the file that its trial recorded"):
        export_trial(folder, tmp_path / "refused")
    # A trial of an older version has no digests; its weights, masks and counts must agree.
    older = digits_trial(tmp_path / "older", files={})
    export_trial(older, tmp_path / "again")
    change(older)
    with pytest.raises(
        StudyDirectoryError, match=r"must hold the network that trial .* ended with"
    ):
        export_trial(older, tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_a_trial_that_ended_before_a_damage_is_exported_where_that_is_asked(
    tmp_path: Path,
) -> None:
    folder = digits_trial(tmp_path / "whole")
    segment = sorted((folder.parents[2] / "ledger").iterdir())[-1]
    with segment.open("ab") as file:
        file.write(b'{"type":"note"}\n')  # after its end
    with pytest.raises(StudyDirectoryError, match="it must end with its number and its checksum"):
        export_trial(folder, tmp_path / "refused")
    exported = export_trial(folder, tmp_path / "out", salvage=True)
    assert exported["sparsity"] == pytest.approx(0.9)
    *lines, _, _ = segment.read_bytes().splitlines(keepends=True)
    ends = [n for n, line in enumerate(lines) if b'"ended"' in line]
    segment.write_bytes(b"".join(lines[: ends[-1]]) + b"{}\n")
    with pytest.raises(StudyDirectoryError, match="must have ended"):
        export_trial(folder, tmp_path / "refused", salvage=True)


def test_counts_of_the_ledger_are_those_of_the_certificate(tmp_path: Path) -> None:
    folder = digits_trial(tmp_path, pruned_weights=7)
    with pytest.raises(StudyDirectoryError, match=r"counts \d+ `pruned`, the ledger 7"):
        export_trial(folder, tmp_path / "out")
