"""A trained network as files that other programs read: an encoder by `save_pretrained`, any other as a state dict."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file

from sparsetune.errors import DataError, SparsetuneError, StudyDirectoryError
from sparsetune.paths import Place, read_content, resolve_place
from sparsetune.spec import SCHEMA_VERSION, TrialSpec
from sparsetune.spec.task import TextTask
from sparsetune.storage import StudyDirectory, ledger, translating_write_errors
from sparsetune.storage.ledger import TrialState
from sparsetune.tasks.kinds import data_digest, network_of
from sparsetune.tasks.model_folder import quiet_transformers
from sparsetune.tasks.network import ImageNetwork
from sparsetune.tasks.text import glue
from sparsetune.tasks.text.encoders import UNTRAINED_ENCODERS, meta_encoder, model_digest
from sparsetune.tasks.text.tokens import tokenizer_for

GLUE_CLASS_NAMES = {
    "cola": ("unacceptable", "acceptable"),
    "sst2": ("negative", "positive"),
    "mrpc": ("not_equivalent", "equivalent"),
    "qqp": ("not_duplicate", "duplicate"),
    "stsb": ("score",),
    "wnli": ("not_entailment", "entailment"),
}
"""What GLUE's class numbers mean, as the hub has it; the other tasks' files say it."""


@dataclass(frozen=True)
class FinishedTrial:
    """A finished trial with its model.

    Args:
        study: The study's name.
        trial_id: The trial's.
        state: What the ledger says of it.
        spec: Its declaration.
        weights: The final state dict, pruned weights zero.
        certificate: See `sparsetune.sparsity.certificate.certify`.
    """

    study: str
    trial_id: str
    state: TrialState
    spec: TrialSpec
    weights: dict[str, torch.Tensor]
    certificate: dict[str, Any]


def export_trial(trial: Place, out: Path, data_root: Path | None = None) -> dict[str, Any]:
    """Write the final network of a trial to a new folder, with its certificate, declaration and a model card.

    An encoder is written with configuration and tokenizer, as transformers loads it; of another network the state dict
    is, and the card says how to load it.

    Args:
        trial: ``STUDY/trials/TRIAL``, or an attempt's folder in it, on a disk or in an object store.
        out: A folder that is not there yet, or empty. It appears whole.
        data_root: The folder that data sets and models lie in.

    Returns:
        ``study trial_id directory files sparsity sparsity_of_parameters``, as plain JSON values.

    Raises:
        SparsetuneError: if there is no such trial, it did not end well or kept no model, or ``out`` is in use.
        DataError: if the encoder that the trial started from is missing, or another one.
        StorageError: if the study cannot be read, or ``out`` not written.
    """
    out = Path(out).expanduser().absolute()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise SparsetuneError(f"`{out}` must be a new or an empty folder; name another one")
    kept = find_finished_trial(trial)
    with translating_write_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as inside:
            folder = Path(inside) / out.name
            folder.mkdir()
            _write_model(kept, folder, data_root)
            os.replace(folder, out)
    shares = {name: kept.certificate[name] for name in ("sparsity", "sparsity_of_parameters")}
    files = sorted(path.name for path in out.iterdir())
    return {
        "study": kept.study,
        "trial_id": kept.trial_id,
        "directory": str(out),
        "files": files,
        **shares,
    }


def find_finished_trial(trial: Place) -> FinishedTrial:
    """The finished trial whose folder this is.

    Raises:
        StudyDirectoryError: if it is no trial's, the trial did not end well, or kept no model.
        StorageError: if the study cannot be read.
    """
    given = resolve_place(trial)
    folder = given.parent if given.name.startswith("attempt-") else given
    if folder.parent.name != "trials":
        raise StudyDirectoryError(
            f"`{given}` must be a trial's folder, as in runs/digits/trials/0123456789ab"
        )
    directory = StudyDirectory(folder.parent.parent)
    study = directory.study()
    trial_id = folder.name
    state = ledger.fold_records(ledger.read_records(directory.ledger)).get(trial_id)
    if state is None:
        raise StudyDirectoryError(
            f"the study `{study.name}` must have the trial `{trial_id}`, and does not; see its table"
        )
    attempt = _finished_attempt(trial_id, state)
    if given is not folder and given.name != f"attempt-{attempt}":
        raise StudyDirectoryError(
            f"trial {trial_id} ended in attempt-{attempt}, not in {given.name}; name that one"
        )
    last = directory.attempt(trial_id, attempt)
    weights = read_content(last / "model.safetensors")
    certificate = read_content(last / "certificate.json")
    if weights is None or certificate is None:
        advice = "run the study with --keep-models, and with another --name, since a finished trial is never run again"
        raise StudyDirectoryError(
            f"trial {trial_id} must have kept its model, and did not; {advice}"
        )
    try:
        tensors = load(weights)
        facts = json.loads(certificate)
    except (SafetensorError, ValueError) as error:
        raise StudyDirectoryError(
            f"`{last}` must hold a whole model, got {type(error).__name__}: damaged?"
        ) from error
    return FinishedTrial(
        study.name, trial_id, state, TrialSpec.model_validate(state.use["spec"]), tensors, facts
    )


def _finished_attempt(trial_id: str, state: TrialState) -> int:
    if state.status == "COMPLETE" and state.ended:
        return int(state.ended["attempt"])
    ended = (state.ended or {}).get("error")
    why = f"{state.status} ({ended})" if ended else state.status
    raise StudyDirectoryError(
        f"trial {trial_id} must have ended COMPLETE to be exported, got {why}"
    )


def _write_model(kept: FinishedTrial, folder: Path, data_root: Path | None) -> None:
    task = kept.spec.task
    if isinstance(task, TextTask):
        _write_encoder(kept, task, folder, data_root)
        load_lines = TEXT_LINES
        library = "transformers"
    else:
        save_file(kept.weights, folder / "model.safetensors", {"format": "pt"})
        network = network_of(task, data_root)
        assert isinstance(network, ImageNetwork)
        load_lines = IMAGE_LINES.format(network=network)
        library = "pytorch"
    declaration = json.dumps({"schema": SCHEMA_VERSION, **kept.spec.given()}, indent=2)
    (folder / "certificate.json").write_text(json.dumps(kept.certificate, indent=1) + "\n")
    (folder / "declaration.json").write_text(declaration + "\n")
    (folder / "README.md").write_text(_model_card(kept, library, load_lines, declaration))


def _write_encoder(
    kept: FinishedTrial, task: TextTask, folder: Path, data_root: Path | None
) -> None:
    _require_same_encoder(kept, task, data_root)
    name = kept.spec.sparsity.checkpoint or task.model
    names = GLUE_CLASS_NAMES.get(task.dataset) or glue.GLUE_TASKS[task.dataset].classes
    model = meta_encoder(name, glue.output_count(task), data_root)
    try:
        model.load_state_dict(kept.weights, assign=True)
    except RuntimeError as error:
        raise DataError(
            f"`{name}` must have the shape that trial {kept.trial_id} started from, got another"
        ) from error
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {label: number for number, label in enumerate(names)}
    model.config.problem_type = "regression" if len(names) == 1 else "single_label_classification"
    tokenizer = tokenizer_for(task, data_root)
    tokenizer.model_max_length = task.max_length
    with quiet_transformers():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _require_same_encoder(kept: FinishedTrial, task: TextTask, data_root: Path | None) -> None:
    """A tokenizer other than the trial's would go unnoticed, and spoil every prediction."""
    recorded = kept.state.starts[-1].get("data", "") if kept.state.starts else ""
    here = f"{task.model}={model_digest(task.model, data_root)}"
    if task.model in UNTRAINED_ENCODERS:  # its tokenizer is trained on the texts
        here = data_digest(task, data_root)
    if here not in recorded:
        rule = f"trial {kept.trial_id} must be exported with the files that it was trained on, {recorded or 'unknown'}"
        raise DataError(f"{rule}; got {here}")


TEXT_LINES = """\
from transformers import AutoModelForSequenceClassification, AutoTokenizer

model = AutoModelForSequenceClassification.from_pretrained(FOLDER)
tokenizer = AutoTokenizer.from_pretrained(FOLDER)"""

IMAGE_LINES = """\
from safetensors.torch import load_file
from sparsetune.tasks.models import build_model

model = build_model({network.name!r}, {network.input_shape}, {network.outputs})
model.load_state_dict(load_file("model.safetensors"))"""


def _model_card(kept: FinishedTrial, library: str, load_lines: str, declaration: str) -> str:
    use = kept.state.use
    facts = kept.certificate
    return f"""\
---
library_name: {library}
tags: [sparsity, pruning]
---

# {kept.study}, trial {kept.trial_id}

The final weights of a {use["role"]} trial of the study `{kept.study}` (cell `{use["cell"]}`, seed {use["seed"]}).
Pruned weights are zeros in dense tensors; `certificate.json` counts them layer by layer.

| | weights | zeroed by the mask | sparsity |
|---|---|---|---|
| prunable weights | {facts["weights"]:,} | {facts["pruned"]:,} | {facts["sparsity"]:.4f} |
| all parameters | {facts["parameters"]:,} | {facts["pruned"]:,} | {facts["sparsity_of_parameters"]:.4f} |

```python
{load_lines}
```

The trial's declaration, also in `declaration.json`:

```json
{declaration}
```
"""
