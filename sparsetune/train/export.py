"""Export of a trained network: an encoder as transformers saves it, any other as a state dict."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from sparsetune.errors import DataError, SparsetuneError, StudyDirectoryError
from sparsetune.imports import without_own_code
from sparsetune.paths import Place, resolve_place
from sparsetune.sparsity.masks.exact import count_nonzero, unpack_masks
from sparsetune.spec import SCHEMA_VERSION, TrialSpec
from sparsetune.storage import StudyDirectory, translating_write_errors
from sparsetune.storage.checks import is_count
from sparsetune.storage.records import COUNT_COLUMNS, ColumnValue, Ended, null_non_finite
from sparsetune.storage.trial_files import MASKS_FILE, MODEL_FILE, AttemptFiles
from sparsetune.storage.trial_state import TrialState, fold_records
from sparsetune.tasks.kind import ExportedFiles
from sparsetune.tasks.kinds import kind_of

MAX_NAMED_FAULTS = 5
"""Differences between a model and its records that a message names."""


@dataclass(frozen=True)
class FinishedTrial:
    """Finished trial with its model.

    Args:
        study: Name of its study.
        trial_id: Digest of its declaration.
        state: Its state from the ledger.
        spec: Its declaration.
        weights: Final state dict, in which pruned weights are zero.
        certificate: See `sparsetune.sparsity.certificate.certify`.
    """

    study: str
    trial_id: str
    state: TrialState
    spec: TrialSpec
    weights: dict[str, torch.Tensor]
    certificate: dict[str, Any]


@without_own_code()
def export_trial(
    trial: Place, out: Path, data_root: Path | None = None, *, salvage: bool = False
) -> dict[str, Any]:
    """Write the final network of a trial to a new folder.

    Its certificate, declaration and a model card are written with it. An encoder is written with
    configuration and tokenizer, as transformers loads it. Of any other network the state dict is
    written, and the card says how to load it.

    Args:
        trial: ``STUDY/trials/TRIAL``, or an attempt's folder in it, on a disk or in an object
            store.
        out: Folder that does not exist, or is empty. It appears whole.
        data_root: Folder that data sets and models lie in.
        salvage: True to read a damaged ledger up to its first damage: a trial whose end stands
            before it is whole.

    Returns:
        ``study trial_id directory files sparsity sparsity_of_parameters``, as plain JSON values.

    Raises:
        SparsetuneError: if there is no such trial, it did not end well or kept no model, or ``out``
            is in use.
        DataError: if the encoder that the trial started from is missing, or is another one.
        StorageError: if the study cannot be read, or ``out`` not written.
    """
    out = Path(out).expanduser().absolute()
    is_empty_folder = out.is_dir() and not any(out.iterdir())
    if out.exists() and not is_empty_folder:
        raise SparsetuneError(f"`{out}` must be a new or an empty folder; name another one")
    finished = find_finished_trial(trial, salvage=salvage)
    with translating_write_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as inside:
            folder = Path(inside) / out.name
            folder.mkdir()
            _write_model(finished, folder, data_root)
            # Renamed when it is complete: a failure leaves nothing behind.
            os.replace(folder, out)
    return {
        "study": finished.study,
        "trial_id": finished.trial_id,
        "directory": str(out),
        "files": sorted(path.name for path in out.iterdir()),
        "sparsity": finished.certificate["sparsity"],
        "sparsity_of_parameters": finished.certificate["sparsity_of_parameters"],
    }


def find_finished_trial(trial: Place, *, salvage: bool = False) -> FinishedTrial:
    """Finished trial in a folder.

    Args:
        trial: ``STUDY/trials/TRIAL``, or the folder of its last attempt.
        salvage: As in `export_trial`.

    Raises:
        StudyDirectoryError: if it is no trial's folder, the trial did not end well, or kept no
            model.
        StorageError: if the study cannot be read.
    """
    given = resolve_place(trial)
    folder = given.parent if given.name.startswith("attempt-") else given
    if folder.parent.name != "trials":
        rule = f"`{given}` must be a trial's folder"
        raise StudyDirectoryError(f"{rule}, as in runs/digits/trials/0123456789ab")
    directory = StudyDirectory(folder.parent.parent)
    recorded = directory.recorded(salvage=salvage)
    study = recorded.declared
    trial_id = folder.name
    states = fold_records(recorded.records)
    state = states.get(trial_id)
    if state is None:
        rule = f"the study `{study.name}` must have the trial `{trial_id}`, and does not"
        raise StudyDirectoryError(f"{rule}; see its table")
    attempt = _finished_attempt(trial_id, state)
    if given is not folder and given.name != f"attempt-{attempt}":
        rule = f"trial {trial_id} ended in attempt-{attempt}, not in {given.name}"
        raise StudyDirectoryError(f"{rule}; name that one")
    last = directory.attempt(trial_id, attempt)
    files = AttemptFiles.of(directory, trial_id, state)
    certificate = files.certificate()
    weights = files.read(MODEL_FILE)
    masks = files.read(MASKS_FILE)
    if weights is None or certificate is None:
        rule = f"trial {trial_id} must have kept its model, and did not"
        reason = "since a finished trial is never run again"
        advice = f"run the study with --keep-models, and with another --name, {reason}"
        raise StudyDirectoryError(f"{rule}; {advice}")
    try:
        tensors = load(weights)
        packed = load(masks) if masks is not None else None
    except (SafetensorError, ValueError, KeyError) as error:
        got = type(error).__name__
        raise StudyDirectoryError(
            f"`{last}` must hold a whole model, got {got}: damaged?"
        ) from error
    if faults := list(model_faults(tensors, certificate, packed, state.ended)):
        lines = "\n".join(f"  - {fault}" for fault in faults[:MAX_NAMED_FAULTS])
        raise StudyDirectoryError(
            f"`{last}` must hold the network that trial {trial_id} ended with, and does not\n"
            f"{lines}\nCopy the study's directory again; nothing was exported"
        )
    spec = TrialSpec.model_validate(state.use.spec)
    return FinishedTrial(study.name, trial_id, state, spec, tensors, certificate)


def model_faults(
    weights: Mapping[str, torch.Tensor],
    certificate: Mapping[str, Any],
    masks: Mapping[str, torch.Tensor] | None,
    ended: Ended | None,
) -> Iterator[str]:
    """Differences between a model and what its trial recorded of it, a clause each.

    Args:
        weights: State dict of the model.
        certificate: See `sparsetune.sparsity.certificate.certify`.
        masks: Packed masks by layer, as `save_masks` writes them; None where none were kept.
        ended: End of the trial, with its counts.
    """
    for layer in certificate["layers"]:
        yield from _layer_faults(layer, weights.get(layer["name"]), masks)
    yield from _total_faults(certificate)
    for column, name in COUNT_COLUMNS.items():
        recorded = ended.value(column) if ended else None
        if recorded is not None and recorded != certificate.get(name):
            got = certificate.get(name)
            yield f"the certificate counts {got} `{name}`, the ledger {recorded}"


def _layer_faults(
    layer: Mapping[str, Any],
    weight: torch.Tensor | None,
    masks: Mapping[str, torch.Tensor] | None,
) -> Iterator[str]:
    name = layer["name"]
    if weight is None:
        yield f"`{name}` of the certificate is not in the model"
        return
    shape = list(weight.shape)
    if weight.numel() != layer["weights"] or shape != layer.get("shape", shape):
        certified = f"certified were {layer['weights']:,} of shape {layer.get('shape')}"
        yield f"`{name}` has {weight.numel():,} weights of shape {shape}, {certified}"
        return
    zeros = weight.numel() - count_nonzero([weight])
    if zeros != layer.get("zeros"):
        yield f"`{name}` has {zeros:,} zeros, certified were {layer.get('zeros')}"
    if zeros < layer["weights"] - layer["kept"]:
        pruned = layer["weights"] - layer["kept"]
        yield f"`{name}` has {zeros:,} zeros, and {pruned:,} of its weights are certified as pruned"
    if masks is None:
        return
    packed = masks.get(name)
    if packed is None or packed.dtype != torch.uint8 or packed.numel() != -(-weight.numel() // 8):
        yield f"`{name}` has no mask of its size"
        return
    mask = unpack_masks({name: packed}, {name: weight})[name]
    if count_nonzero([mask]) != layer["kept"]:
        yield f"the mask of `{name}` keeps {count_nonzero([mask]):,}, certified {layer['kept']:,}"
    if outside := count_nonzero([weight.masked_fill(mask, 0)]):
        yield f"`{name}` has {outside:,} weights outside its mask that are not zero"


def _total_faults(certificate: Mapping[str, Any]) -> Iterator[str]:
    """Totals of a certificate that are not those of its layers."""
    layers = certificate["layers"]
    weights = sum(one["weights"] for one in layers)
    kept = sum(one["kept"] for one in layers)
    zeros = sum(one.get("zeros", 0) for one in layers)
    parameters = certificate.get("parameters")
    if not is_count(parameters) or parameters < weights:
        yield f"the certificate has {weights:,} weights of {parameters} parameters"
        return
    totals = {
        "weights": weights,
        "kept": kept,
        "zeros": zeros,
        "pruned": weights - kept,
        "sparsity": (weights - kept) / max(1, weights),
        "sparsity_of_parameters": (weights - kept) / max(1, parameters),
    }
    for name, value in totals.items():
        if certificate.get(name) != value:
            got = certificate.get(name)
            yield f"`{name}` of the certificate is {got}, that of its layers {value}"


def _finished_attempt(trial_id: str, state: TrialState) -> int:
    """Number of the attempt in which a trial ended.

    Raises:
        StudyDirectoryError: if the trial did not end well.
    """
    if state.status == "COMPLETE" and state.ended:
        return state.ended.attempt
    error = state.ended.error if state.ended else None
    got = f"{state.status} ({error})" if error else state.status
    rule = f"trial {trial_id} must have ended COMPLETE to be exported"
    raise StudyDirectoryError(f"{rule}, got {got}")


def _write_model(finished: FinishedTrial, folder: Path, data_root: Path | None) -> None:
    _require_same_sources(finished, data_root)
    checkpoint = finished.spec.sparsity.checkpoint
    kind = kind_of(finished.spec.task)
    exported = kind.export(finished.weights, folder, data_root, checkpoint)
    certificate = json.dumps(finished.certificate, indent=1)
    declaration = json.dumps({"schema": SCHEMA_VERSION, **finished.spec.given()}, indent=2)
    (folder / "certificate.json").write_text(certificate + "\n")
    (folder / "declaration.json").write_text(declaration + "\n")
    facts = {**exported.facts, "scores": _scores(finished)}
    (folder / "task.json").write_text(json.dumps(null_non_finite(facts), indent=1) + "\n")
    card = folder / "README.md"
    card.write_text(_model_card(finished, exported, declaration))
    # Libraries write tensors for their owner alone; the card has the mode that the user's are made
    # with.
    for path in folder.iterdir():
        path.chmod(stat.S_IMODE(card.stat().st_mode))


def _scores(finished: FinishedTrial) -> dict[str, ColumnValue]:
    """Measures of the final network on validation, and on test where it was read, by column."""
    reports = finished.state.reports
    last = reports[max(reports)].row if reports else {}
    ended = finished.state.ended
    measured = {**last, **(ended.columns if ended else {})}
    return {name: measured[name] for name in measured if name.startswith(("val_", "test_"))}


def _require_same_sources(finished: FinishedTrial, data_root: Path | None) -> None:
    """Refuse files other than those that the trial was trained on.

    Another tokenizer would go unnoticed, and spoil every prediction.

    Raises:
        DataError: if the files differ.
    """
    starts = finished.state.starts
    recorded = (starts[-1].data or "") if starts else ""
    found = kind_of(finished.spec.task).export_sources(data_root)
    if found is not None and found not in recorded:
        rule = f"trial {finished.trial_id} must be exported with the files that it was trained on"
        raise DataError(f"{rule}, {recorded or 'unknown'}; got {found}")


def _model_card(finished: FinishedTrial, exported: ExportedFiles, declaration: str) -> str:
    """Model card in Markdown, with the metadata that the Hugging Face hub reads."""
    use = finished.state.use
    counts = finished.certificate
    origin = f"a {use.role} trial of the study `{finished.study}`"
    weights = f"{counts['weights']:,} | {counts['pruned']:,} | {counts['sparsity']:.4f}"
    sparsity = f"{counts['sparsity_of_parameters']:.4f}"
    parameters = f"{counts['parameters']:,} | {counts['pruned']:,} | {sparsity}"
    return f"""\
---
library_name: {exported.library}
tags: [sparsity, pruning]
---

# {finished.study}, trial {finished.trial_id}

The final weights of {origin} (cell `{use.cell}`, seed {use.seed}).
Pruned weights are zeros in dense tensors; `certificate.json` counts them layer by layer.

| | weights | zeroed by the mask | sparsity |
|---|---|---|---|
| prunable weights | {weights} |
| all parameters | {parameters} |

| | validation | test |
|---|---|---|
{_score_rows(_scores(finished))}

`task.json` has every measure, and what the inputs must look like.

```python
{exported.loading_lines}
```

The trial's declaration, also in `declaration.json`:

```json
{declaration}
```
"""


def _score_rows(scores: Mapping[str, ColumnValue]) -> str:
    """Rows of a Markdown table with the loss, the accuracy and the score."""
    rows: list[str] = []
    for name in ("score", "accuracy", "loss"):
        values = [scores.get(f"{split}_{name}") for split in ("val", "test")]
        texts = [f"{value:.4f}" if isinstance(value, float) else "" for value in values]
        rows.append(f"| {name} | {texts[0]} | {texts[1]} |")
    return "\n".join(rows)
