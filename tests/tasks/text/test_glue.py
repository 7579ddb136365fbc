"""GLUE's files: every task's layout, traps of reading, refusals, and the hub's format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparsetune.errors import DataError
from sparsetune.spec.task import GLUE_TRAIN_SIZES, TextTask
from sparsetune.tasks.text import glue
from sparsetune.tasks.text.glue import (
    GLUE_TASKS,
    check_train_size,
    glue_digest,
    output_count,
    read_glue,
)
from sparsetune.tasks.text.tsv import read_tsv, write_tsv


def prepare_glue(task: TextTask, data_root: Path | None) -> dict[str, glue.Sentences]:
    """The texts, proved to be enough."""
    sets = read_glue(task, data_root)
    check_train_size(task, len(sets["train"]))
    return sets


PARSES = (
    "index\tpromptID\tpairID\tgenre\tparse1\tparse2\ttree1\ttree2\tsentence1\tsentence2\tlabel1"
    "\tgold_label\n"
)
MNLI = PARSES + (
    "0\tp\tq\tfiction\t( a )\t( b )\t(A)\t(B)\tIt rains .\tIt is wet .\tneutral\tentailment\n"
    "1\tp\tq\tfiction\t( a )\t( b )\t(A)\t(B)\tIt rains .\tIt is dry .\tneutral\tcontradiction\n"
    "2\tp\tq\tfiction\t( a )\t( b )\t(A)\t(B)\tIt rains .\tIt is May .\tneutral\tneutral\n"
)
FILES = {
    "cola": "gj04\t1\t\tDay by day .\ngj04\t0\t*\tDay day by .\n",
    "sst2": "sentence\tlabel\nfine work \t1\nno \t0\n",
    "mrpc": (
        "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
        "1\t7\t8\tHe ran .\tHe did run .\n0\t7\t9\tHe ran .\tHe sat .\n"
    ),
    "qqp": (
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
        "1\t2\t3\tWhy ?\tHow come ?\t1\n"
        "4\t5\t6\tWho was it\n\n?\tWas it ?\t0\n"
        "7\t8\t9\tWho ?\tWhat ?\t0\n"
    ),
    "stsb": (
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
        "0\tnews\tf\t2012\t1\ts\ts\tA plane .\tAn airplane .\t5.000\n"
        "1\tnews\tf\t2012\t2\ts\ts\tA man .\tA cat .\t0.25\n"
    ),
    "mnli": MNLI,
    "mnli_mismatched": MNLI,
    "qnli": (
        "index\tquestion\tsentence\tlabel\n"
        "0\tWhen ?\tIn May .\tentailment\n1\tWhen ?\tYes .\tnot_entailment\n"
    ),
    "rte": (
        "index\tsentence1\tsentence2\tlabel\n"
        "0\tIt rains .\tIt is dry .\tnot_entailment\n1\tA .\tA .\tentailment\n"
    ),
    "wnli": (
        "index\tsentence1\tsentence2\tlabel\n"
        "0\tI saw it .\tIt was I .\t1\n1\tI saw it .\tIt saw .\t0\n"
    ),
}
"""A small file of each task, in GLUE's layout."""
READ: dict[str, tuple[list[str], list[str] | None, list[float]]] = {
    "cola": (["Day by day .", "Day day by ."], None, [1, 0]),
    "sst2": (["fine work ", "no "], None, [1, 0]),
    "mrpc": (["He ran .", "He ran ."], ["He did run .", "He sat ."], [1, 0]),
    "qqp": (["Why ?", "Who ?"], ["How come ?", "What ?"], [1, 0]),
    "stsb": (["A plane .", "A man ."], ["An airplane .", "A cat ."], [5, 0.25]),
    "mnli": (["It rains ."] * 3, ["It is wet .", "It is dry .", "It is May ."], [0, 2, 1]),
    "mnli_mismatched": (
        ["It rains ."] * 3,
        ["It is wet .", "It is dry .", "It is May ."],
        [0, 2, 1],
    ),
    "qnli": (["When ?", "When ?"], ["In May .", "Yes ."], [0, 1]),
    "rte": (["It rains .", "A ."], ["It is dry .", "A ."], [1, 0]),
    "wnli": (["I saw it .", "I saw it ."], ["It was I .", "It saw ."], [1, 0]),
}
"""Expected content of those files: first texts, second texts, and the hub's class numbers."""


def task(name: str, folder: Path | str | None = None, **changes: Any) -> TextTask:
    return TextTask(dataset=name, folder=None if folder is None else str(folder), **changes)  # type: ignore[arg-type]


def written(folder: Path, name: str, train: str | None = None, dev: str | None = None) -> TextTask:
    """A task with these files; by default, of two or three examples."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.tsv").write_text(FILES[name] if train is None else train, encoding="utf-8")
    (folder / f"{GLUE_TASKS[name].dev}.tsv").write_text(
        FILES[name] if dev is None else dev, encoding="utf-8"
    )
    return task(name, folder)


def message(declared: TextTask) -> str:
    """Why the task cannot be read, which must fit into a line."""
    with pytest.raises(DataError) as raised:
        read_glue(declared, None)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_all_tasks_are_those_of_the_declaration() -> None:
    assert GLUE_TASKS.keys() == GLUE_TRAIN_SIZES.keys() == FILES.keys() == READ.keys()


@pytest.mark.parametrize("name", FILES)
def test_texts_and_class_numbers_of_each_layout(name: str, tmp_path: Path) -> None:
    declared = written(tmp_path, name)
    first, second, labels = READ[name]
    for part in read_glue(declared, None).values():
        assert (part.first, part.second, part.labels.tolist()) == (first, second, labels)
        assert part.labels.dtype == (np.float64 if name == "stsb" else np.int64)
    assert output_count(declared) == {"stsb": 1, "mnli": 3, "mnli_mismatched": 3}.get(name, 2)


def test_dev_is_the_test_set_and_the_unlabelled_test_file_is_never_read(tmp_path: Path) -> None:
    declared = written(tmp_path, "sst2", dev="sentence\tlabel\nall \t1\n")
    (tmp_path / "test.tsv").write_text("index\tsentence\n0\tunlabelled\n")
    sets = read_glue(declared, None)
    assert sets["test"].first == ["all "]
    assert sets["train"].first == READ["sst2"][0]


def test_both_dev_sets_of_mnli_are_told_apart(tmp_path: Path) -> None:
    written(tmp_path, "mnli")
    other = written(tmp_path, "mnli_mismatched", dev=MNLI.replace("It rains", "It snows"))
    assert read_glue(task("mnli", tmp_path), None)["test"].first == ["It rains ."] * 3
    assert read_glue(other, None)["test"].first == ["It snows ."] * 3
    assert glue_digest(task("mnli", tmp_path), None) != glue_digest(other, None)


TRAPS = [
    '"',
    '" an open quote',
    'say "so" "',
    "NA",
    "null",
    "nan",
    "",
    "None",
    "10000",
    "0010",
    "1e5",
    " led ",
    "é\u2028\x85x",
]


def test_what_other_readers_change_stays_as_it_is(tmp_path: Path) -> None:
    rows = "".join(f"{text}\t1\n" for text in TRAPS)
    assert (
        read_glue(written(tmp_path, "sst2", f"sentence\tlabel\n{rows}"), None)["train"].first
        == TRAPS
    )


def test_line_ends_of_other_systems_and_a_missing_last_one(tmp_path: Path) -> None:
    declared = written(tmp_path, "sst2")
    (tmp_path / "train.tsv").write_bytes(b"sentence\tlabel\r\nfine work \t1\r\nno \t0")
    assert read_glue(declared, None)["train"].first == READ["sst2"][0]
    assert read_glue(declared, None)["train"].labels.tolist() == [1, 0]


FIELD = st.text(
    st.characters(exclude_characters="\t\n\r\0\ufeff", exclude_categories=["Cs"]), max_size=8
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=5))
def test_any_text_without_tab_and_line_break_is_read_as_written(
    tmp_path: Path, rows: list[tuple[str, str]]
) -> None:
    first, second = (list(column) for column in zip(*rows, strict=True))
    write_tsv(tmp_path / "any.tsv", {"a": first, "b": second})
    assert read_tsv(tmp_path / "any.tsv", ["b", "a"]).columns == {"b": second, "a": first}


def test_what_would_tear_a_row_is_written_as_a_space(tmp_path: Path) -> None:
    write_tsv(
        tmp_path / "any.tsv", {"a": ["one\ttwo\r\nthree"], "b": ["0"]}, header=("empty", "a", "b")
    )
    assert (tmp_path / "any.tsv").read_text() == "\tone two  three\t0\n"


@pytest.mark.parametrize(
    ("name", "train", "said"),
    [
        ("sst2", "text\tlabel\nfine\t1\n",
         "must have the column `sentence`, its header has text, label"),
        ("mrpc", "Quality\tx\ty\n1\ta\tb\n",
         "the column `#1 String` and `#2 String`, its header has Quality, x, y"),
        ("sst2", "sentence\tlabel\nfine\t1\nno\n",
         "line 3: a row must have 2 columns, got 1; a text holds neither"),
        ("sst2", 'sentence\tlabel\n"torn\nquote"\t1\n', "line 2: a row must have 2 columns, got 1"),
        ("sst2", "sentence\tlabel\nfine\tand\t1\n", "line 2: a row must have 2 columns, got 3"),
        ("cola", "gj04\t1\t\tFine .\ngj04\t1\t\tA\ttab .\n",
         "line 2: a row must have 4 columns, got 5"),
        ("qqp", "id\tq\tr\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\ta\tb\t1\t1\n",
         "must have 6 columns, got 7"),
        ("sst2", "sentence\tlabel\nfine\t1\nno\t2\n",
         "line 3: a label must be one of 0, 1, got '2'"),
        ("cola", "gj04\tyes\t\tFine .\n", "line 1: a label must be one of 0, 1, got 'yes'"),
        ("rte", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\t1\n",
         "one of entailment, not_entailment, got '1'"),
        ("stsb", "sentence1\tsentence2\tscore\na\tb\t5.1\n",
         "line 2: a label must be a number from 0 to 5, got '5.1'"),
        ("stsb", "sentence1\tsentence2\tscore\na\tb\t-1\n", "a number from 0 to 5, got '-1'"),
        ("stsb", "sentence1\tsentence2\tscore\na\tb\tnan\n", "a number from 0 to 5, got 'nan'"),
        ("stsb", "sentence1\tsentence2\tscore\na\tb\thigh\n", "a number from 0 to 5, got 'high'"),
        ("qqp", FILES["qqp"].replace("What ?\t0", "What ?\t3"),
         "line 6: a label must be one of 0, 1, got '3'"),
        ("sst2", "sentence\tlabel\n", "must have rows, got none"),
        ("sst2", "", "must have rows, got none"),
        ("cola", "", "must have rows, got none"),
    ],
)  # fmt: skip
def test_a_faulty_file_is_one_message_with_file_and_line(
    name: str, train: str, said: str, tmp_path: Path
) -> None:
    found = message(written(tmp_path, name, train))
    assert said in found
    assert f"`{tmp_path / 'train.tsv'}`" in found


def test_text_in_another_encoding_is_refused(tmp_path: Path) -> None:
    declared = written(tmp_path, "sst2")
    (tmp_path / "train.tsv").write_bytes("sentence\tlabel\ncliché\t1\n".encode("latin-1"))
    assert "must be a readable text in UTF-8, got UnicodeDecodeError" in message(declared)


def test_a_missing_file_is_named_with_what_to_set(tmp_path: Path) -> None:
    declared = written(tmp_path, "sst2")
    (tmp_path / "dev.tsv").unlink()
    assert message(declared).startswith(
        f"`{tmp_path / 'dev.tsv'}` must be there; set `task.folder`"
    )
    assert "train.tsv` and" in message(task("sst2", tmp_path / "nowhere"))


def test_folders_below_the_data_root(tmp_path: Path) -> None:
    written(tmp_path / "glue" / "SST-2", "sst2")
    written(tmp_path / "mine", "sst2", "sentence\tlabel\nmine\t1\n")
    assert read_glue(task("sst2"), tmp_path)["train"].first == READ["sst2"][0]
    assert read_glue(task("sst2", "mine"), tmp_path)["train"].first == ["mine"]


def test_a_training_set_too_small_or_too_large_is_refused(tmp_path: Path) -> None:
    declared = written(tmp_path, "sst2")
    with pytest.raises(
        DataError,
        match=r"SST-2's train.tsv must have the 67,349 rows .*\(6,735\) .*\(60,614\).*got 2;",
    ):
        prepare_glue(declared, None)
    small = task("sst2", tmp_path, validation=1, train_examples=1)
    assert len(prepare_glue(small, None)["train"]) == 2
    check_train_size(task("rte"), 2490)
    with pytest.raises(DataError, match=r"at most GLUE's 2,490 rows, got 2,491"):
        check_train_size(task("rte"), 2491)


def test_the_digest_is_of_every_byte_of_both_files_and_of_no_other(tmp_path: Path) -> None:
    declared = written(tmp_path / "a", "sst2")
    before = glue_digest(declared, None)
    assert len(before) == 12
    assert glue_digest(written(tmp_path / "b", "sst2"), None) == before
    (tmp_path / "a" / "test.tsv").write_text("index\tsentence\n")
    assert glue_digest(declared, None) == before
    changed = written(tmp_path / "a", "sst2", dev=FILES["sst2"].replace("no", "nO"))
    assert glue_digest(changed, None) != before


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder in the hub's layout that stands for the hub, since there may be no network.

    The cache is new.
    """
    monkeypatch.setattr(glue, "HUB_DATASET", str(tmp_path / "hub"))
    monkeypatch.setenv("SPARSETUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "hub"


def publish(hub: Path, name: str) -> None:
    """Small task as Parquet, with the hub's columns, class numbers and splits.

    A test split without labels lies with it.
    """
    import datasets

    published, (first, second, labels) = GLUE_TASKS[name], READ[name]
    texts = dict(zip(published.hub_texts, (first, second) if second else (first,), strict=True))
    kind = (
        datasets.ClassLabel(names=list(published.classes))
        if published.classes
        else datasets.Value("float32")
    )
    features = {column: datasets.Value("string") for column in texts} | {
        "label": kind,
        "idx": datasets.Value("int32"),
    }
    rows = datasets.Dataset.from_dict(
        texts | {"label": labels, "idx": list(range(len(labels)))},
        features=datasets.Features(features),
    )
    splits = {"train", "test", published.hub_dev}
    for split in splits:
        (hub / published.config).mkdir(parents=True, exist_ok=True)
        rows.to_parquet(str(hub / published.config / f"{split}.parquet"))
    files = "".join(
        f"  - split: {split}\n    path: {published.config}/{split}.parquet\n"
        for split in sorted(splits)
    )
    (hub / "README.md").write_text(
        f"---\nconfigs:\n- config_name: {published.config}\n  data_files:\n{files}---\n"
    )


@pytest.mark.parametrize("name", ["cola", "mrpc", "stsb", "mnli_mismatched", "rte"])
def test_the_hubs_form_becomes_files_that_are_read_alike(
    name: str, hub: Path, tmp_path: Path
) -> None:
    publish(hub, name)
    first, second, labels = READ[name]
    for part in read_glue(task(name), tmp_path).values():
        assert (part.first, part.second, part.labels.tolist()) == (first, second, labels)


def test_the_hub_is_asked_once(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(hub, "rte")
    before = read_glue(task("rte"), None)["train"]
    digest = glue_digest(task("rte"), None)
    monkeypatch.setattr(glue, "HUB_DATASET", str(hub / "gone"))
    assert read_glue(task("rte"), None)["train"].first == before.first
    assert glue_digest(task("rte"), None) == digest


def test_without_network_the_folder_that_would_serve_is_named(hub: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        read_glue(task("wnli"), tmp_path)
    assert "\n" not in str(raised.value)
    assert f"`{tmp_path / 'glue' / 'WNLI'}` with train.tsv and dev.tsv would serve" in str(
        raised.value
    )


OFFICIAL = {
    "sst2": ([29_780, 37_569], [428, 444]),
    "cola": ([2_528, 6_023], [322, 721]),
    "mrpc": ([1_194, 2_474], [129, 279]),
    "rte": ([1_249, 1_241], [146, 131]),
}
"""Examples by class of the official files, train and dev."""


@pytest.mark.data("glue")
@pytest.mark.parametrize("name", OFFICIAL)
def test_the_official_files(name: str, data_root: Path) -> None:
    sets = prepare_glue(task(name), data_root)
    assert tuple(np.bincount(part.labels).tolist() for part in sets.values()) == OFFICIAL[name]
    assert all(len(part.second) == len(part) for part in sets.values() if part.second is not None)
