"""Texts of a data set that the library `datasets` reads: sizes, trials, exports, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sparsetune.errors import DataError
from sparsetune.spec import OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.task import TextTask
from sparsetune.tasks.kinds import data_digest, kind_of, resolve_task
from sparsetune.tasks.text.hub import forget_texts
from sparsetune.tasks.text.texts import class_names, read_texts
from sparsetune.train import train
from tests.hub_data import write_pairs


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARSETUNE_CACHE", str(tmp_path / "cache"))
    forget_texts()


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    write_pairs(tmp_path / "pairs/train.csv", 60)
    write_pairs(tmp_path / "pairs/test.csv", 20)
    return tmp_path


def task(**given: Any) -> TextTask:
    small = {"model": "bert_tiny", "batch_size": 8, "max_length": 16, "validation": 12}
    return TextTask(**{"dataset": "hf:pairs", "text": ("a", "b"), "label": "y", **small, **given})


def resolved(data_root: Path, **given: Any) -> TextTask:
    found = resolve_task(task(**given), data_root)
    assert isinstance(found, TextTask)
    return found


def test_sizes_and_texts_are_those_of_the_data(pairs: Path) -> None:
    found = resolved(pairs)
    assert (found.pool(), found.train_size(), found.sizes().test) == (60, 48, 20)
    assert class_names(found) == ("neg", "pos")
    train = read_texts(found, pairs)["train"]
    assert (train.first[:2], train.second) == (["the plot, dull", "the plot, warm"], ["end"] * 60)
    assert train.labels.tolist() == [0, 1] * 30
    assert data_digest(found, pairs).startswith(f"hf:pairs={found.sizes().fingerprint} bert_tiny=")
    single = read_texts(resolved(pairs, text="a"), pairs)["test"]
    assert (len(single), single.second) == (20, None)


def test_a_trial_learns_and_its_export_names_the_classes(pairs: Path, tmp_path: Path) -> None:
    from transformers import AutoConfig

    rows: list[dict[str, Any]] = []
    optim = OptimSpec(name="adamw", lr=0.003, weight_decay=0)
    spec = TrialSpec(task=task(), optim=optim, schedule=ScheduleSpec(epochs=6))
    result = train(spec, data_root=pairs, report=rows.append)
    assert result.status == "COMPLETE"
    assert rows[-1]["val_accuracy"] == 1
    kind = kind_of(resolved(pairs))
    weights = kind.network(pairs, None).build().state_dict()
    (tmp_path / "out").mkdir()
    kind.export(weights, tmp_path / "out", pairs, None)
    assert AutoConfig.from_pretrained(tmp_path / "out").id2label == {0: "neg", 1: "pos"}


def test_another_text_is_other_data(pairs: Path) -> None:
    before = resolved(pairs).sizes().fingerprint
    forget_texts()
    file = pairs / "pairs/train.csv"
    file.write_text(file.read_text().replace("tired", "tried"))
    assert resolved(pairs).sizes().fingerprint != before


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (',end,"neg"', r"`train`, row 60, `a`: a text must be a string, got none"),
        ("plot,end,", r"`train`, row 60, `y`: a label must be a class .*, got none"),
    ],
)
def test_a_missing_value_is_refused_with_its_row(pairs: Path, line: str, told: str) -> None:
    file = pairs / "pairs/train.csv"
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(DataError, match=told):
        resolved(pairs)


def test_f1_is_for_two_classes(pairs: Path) -> None:
    file = pairs / "pairs/train.csv"
    file.write_text(file.read_text() + "plot,end,odd\n")
    found = resolved(pairs, metric="f1")
    (problem,) = kind_of(found).fit_problems(kind_of(found).network(pairs, None).meta())
    assert (problem.path, problem.got) == ("task.metric", "f1 for 3 classes")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"dataset": "imdb"}, "must be 'cola', .*'wnli', or 'hf:owner/name'"),
        ({"text": "sentence"}, "`text` is for a data set `hf:…`, got the data set `sst2`"),
        ({"dataset": "hf:mine", "text": ("a", "b", "c")}, "at most 2 items"),
        ({"dataset": "hf:mine", "folder": "there"}, "`folder` is for GLUE's tasks; name your own"),
        ({"dataset": "hf:mine", "metric": "pearson"}, "must be one of accuracy, f1, matthews"),
    ],
)
def test_what_means_nothing_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TextTask.model_validate(given)
