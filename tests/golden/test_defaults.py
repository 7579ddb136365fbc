"""A default may change: studies of before keep their values, their trials and their names."""

from __future__ import annotations

import argparse
import json
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import JsonValue

from sparsetune.cli.arguments import load_study
from sparsetune.cli.main import build_parser
from sparsetune.errors import StudyDirectoryError
from sparsetune.launch.launch import Options, launch
from sparsetune.paths import Place
from sparsetune.search.planner import build_planner
from sparsetune.spec import DistillSpec, OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.defaults import DEFAULTS_BY_VERSION
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.spec.task import FolderTask
from sparsetune.storage import StudyDirectory
from sparsetune.storage.ledger import read_records
from sparsetune.storage.trial_state import fold_records
from sparsetune.study import Arm, Study
from sparsetune.study.samplers import Random, Sobol

HERE = Path(__file__).parent
CHANGED: dict[str, JsonValue] = {
    "OptimSpec.momentum": 0.5,
    "RampSpec.updates": 20,
    "RewindSpec.every": "3 epochs",
    "Study.sampler": {"kind": "random"},
    "Study.search_seeds": 2,
}
STUDY_FILE = """
from sparsetune import Arm, LogUniform, ScheduleSpec, Study, TrialSpec
STUDY = Study(
    name="old",
    base=TrialSpec(schedule=ScheduleSpec(epochs=1)),
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={"sparsity.target": [0, 0.9]},
    search={"optim.lr": LogUniform(0.01, 1.0)},
    configurations_per_cell=2,
    report_seeds=1,
)
"""


@pytest.fixture
def version() -> Iterator[int]:
    """A further version of the defaults, while the test runs."""
    with DEFAULTS_BY_VERSION.with_version(CHANGED) as number:
        yield number


@pytest.fixture
def declared() -> Study:
    """The committed study of schema 1, as its author declares it."""
    study: Study = runpy.run_path(str(HERE / "make.py"))["OLD"]
    return study


@pytest.fixture
def old(tmp_path: Path) -> StudyDirectory:
    """A copy of the committed study directory of schema 1."""
    shutil.copytree(HERE / "schema-1", tmp_path / "old")
    return StudyDirectory(tmp_path / "old")


def parsed(file: Path, storage: Place, *, quick: bool = False) -> argparse.Namespace:
    """Arguments of ``sparsetune run FILE --storage DIR``."""
    words = ["run", str(file), "--storage", str(storage), *(["--quick"] if quick else [])]
    return build_parser().parse_args(words)


def test_a_study_that_no_version_touched_is_stored_as_before_but_for_its_version(
    tmp_path: Path, declared: Study
) -> None:
    assert list(DEFAULTS_BY_VERSION.versions) == [1, 2, 3, 4, 5]
    home = StudyDirectory(tmp_path / "again")
    home.create(declared.under_defaults(home.defaults_version()), home.defaults_version())
    stored = json.loads(home.declaration.read_text())
    assert stored.pop("defaults") == 5
    assert stored.pop("checksum")
    assert stored.pop("questions")
    # Which layers are pruned and what a method chooses follow from the version, and are in no name.
    unnamed = {"prunable_by": "account", "method_choices": 5}
    assert stored["declaration"]["base"].pop("sparsity") == unnamed
    assert stored == json.loads((HERE / "schema-1" / "study.json").read_text())


FOLDER = TrialSpec(task=FolderTask(folder="mine", resolution=32), schedule=ScheduleSpec(epochs=2))
IMAGENET = FOLDER.with_values(
    {
        "task.examples": 1_281_167,
        "task.classes": 1000,
        "task.validation": 10_000,
        "task.eval_resolution": 224,
        "task.eval_resize": 256,
        "task.eval_batch": 1000,
        "task.decoding": "pillow",
    }
)


def test_a_folder_means_imagenet_under_version_1_alone() -> None:
    study = Study(name="mine", base=FOLDER)
    old = study.under_defaults(1).base.task
    assert isinstance(old, FolderTask)
    assert (old.examples, old.classes, old.validation) == (1_281_167, 1000, 10_000)
    assert (old.evaluated_side(), old.evaluated_resize()) == (224, 256)
    assert (old.eval_batch, old.decoding) == (1000, "pillow")
    new = study.under_defaults(2).base.task
    assert isinstance(new, FolderTask)
    assert (new.examples, new.classes, new.validation) == (None, None, 0.1)
    # 32 * 256/224 = 36.57
    assert (new.evaluated_side(), new.evaluated_resize()) == (32, 37)
    assert (new.eval_batch, new.decoding) == (None, "faithful")
    assert not new.is_resolved and old.is_resolved


def test_a_folder_with_the_values_of_version_1_keeps_its_name_under_version_2() -> None:
    name = FOLDER.trial_id()
    for spec, version in ((FOLDER, 1), (IMAGENET, 1), (IMAGENET, 2)):
        assert Study(name="s", base=spec).under_defaults(version).base.trial_id() == name
    assert Study(name="s", base=FOLDER).under_defaults(2).base.trial_id() != name


GMP = TrialSpec(sparsity=SparsitySpec(method="gmp", target=0.9))


def test_layers_follow_the_directorys_version_and_no_name_does(
    tmp_path: Path, old: StudyDirectory
) -> None:
    """An old directory goes on with the layers that it has pruned; a new one accounts for all."""
    for base in (GMP, TrialSpec()):
        study = Study(name="layers", base=base)
        for version, rule in ((1, "modules"), (2, "modules"), (3, "account")):
            under = study.under_defaults(version)
            assert under.base.sparsity.prunable_by == rule
            assert under.digest() == study.digest()
            [cell] = under.cells()
            assert cell.spec.trial_id() == base.trial_id()
            assert cell.spec.columns() == base.columns()
            assert cell.spec.sparsity.prunable_by == (rule if base is GMP else None)
    assert old.study().base.sparsity.prunable_by == "modules"
    new = StudyDirectory(tmp_path / "new")
    new.create(Study(name="new", base=GMP).under_defaults(3), 3)
    assert new.study().base.sparsity.prunable_by == "account"


SNIP = SparsitySpec(method="static", score="saliency", target=0.9)


def test_snip_is_global_since_version_5_and_is_named_by_its_value() -> None:
    def under(version: int, **fields: str) -> TrialSpec:
        sparsity = SparsitySpec(method="static", target=0.9, **fields)
        study = Study(name="snip", base=TrialSpec(sparsity=sparsity)).under_defaults(version)
        return study.cells()[0].spec

    def chosen(version: int, **fields: str) -> str | None:
        return under(version, **fields).sparsity.resolved().allocation

    old, new = under(4, score="saliency"), under(5, score="saliency")
    assert (chosen(4, score="saliency"), chosen(5, score="saliency")) == ("erk", "global")
    assert (chosen(4, score="random"), chosen(5, score="random"), chosen(5)) == ("erk",) * 3
    assert old.trial_id() == TrialSpec(sparsity=SNIP).trial_id() != new.trial_id()
    # A value has one name, by default or written out, under every version.
    for version in DEFAULTS_BY_VERSION.versions:
        assert under(version, score="saliency", allocation="global").trial_id() == new.trial_id()
        assert under(version, score="saliency", allocation="erk").trial_id() == old.trial_id()
        assert under(version, score="random").trial_id() == under(1).trial_id()
    # What the ledger holds says the same again.
    for spec in (old, new):
        again = TrialSpec.model_validate(spec.given())
        assert (again.trial_id(), again.columns()) == (spec.trial_id(), spec.columns())
    assert new.columns()["sparsity.allocation"] == "global"
    assert "sparsity.method_choices" not in new.columns()


def test_a_search_over_scores_follows_each_score() -> None:
    base = TrialSpec(sparsity=SparsitySpec(method="static", target=0.9))
    (cell,) = Study(name="scores", base=base).under_defaults(5).cells()
    found = {}
    for score in ("random", "saliency", "magnitude"):
        spec = cell.spec.with_values({"sparsity.score": score})
        found[score] = spec.sparsity.resolved().allocation
    assert found == {"random": "erk", "saliency": "global", "magnitude": "erk"}


def test_a_teacher_keeps_its_directorys_choice() -> None:
    teacher = TrialSpec(sparsity=SNIP)
    taught = TrialSpec(distill=DistillSpec(hardness=0.5, teacher=teacher))
    names = [
        Study(name="taught", base=taught).under_defaults(version).cells()[0].spec.trial_id()
        for version in (1, 4, 5)
    ]
    assert names[0] == names[1] == taught.trial_id() != names[2]


def test_an_arm_that_opens_a_folder_has_the_defaults_of_its_directory() -> None:
    arms = {"folder": Arm({"task.kind": "folder", "task.folder": "mine"})}
    study = Study(name="opened", arms=arms)
    tasks = [study.under_defaults(number).cells()[0].spec.task for number in (1, 2)]
    assert [getattr(task, "classes", 0) for task in tasks] == [1000, None]


def test_an_old_directory_is_read_with_its_own_defaults(version: int, old: StudyDirectory) -> None:
    study = old.study()
    assert old.defaults_version() == 1 < version
    assert study.digest() == json.loads(old.declaration.read_text())["digest"]
    assert (study.base.optim.momentum, study.sampler, study.search_seeds) == (0.9, Sobol(), 1)
    assert study.under_defaults(version) == study


def test_an_old_directory_has_nothing_to_run_again(version: int, old: StudyDirectory) -> None:
    before = (old.path / "study.json").read_bytes()
    trials = fold_records(read_records(old.ledger))
    planner = build_planner(old.study(), trials)
    assert planner.next()[0] is None
    assert before == (old.path / "study.json").read_bytes()


def test_the_same_declaration_is_accepted_over_an_old_directory_and_runs_nothing(
    version: int, declared: Study, old: StudyDirectory
) -> None:
    outcome = launch(declared, Options(storage=old.path.parent, quiet=True))
    assert sum(outcome.counts.values()) == 8
    assert len(fold_records(read_records(old.ledger))) == 8


def test_a_real_change_is_refused_by_name_and_changed_defaults_are_not_named(
    version: int, declared: Study, old: StudyDirectory
) -> None:
    changed = declared.with_changes(report_seeds=2)
    with pytest.raises(StudyDirectoryError) as caught:
        launch(changed, Options(storage=old.path.parent, quiet=True))
    lines = [line for line in str(caught.value).splitlines() if line.startswith("  - ")]
    assert lines == ["  - `report_seeds`: 1 -> 2"]


def test_a_file_over_an_old_directory_declares_the_old_study(
    version: int, old: StudyDirectory, tmp_path: Path
) -> None:
    file = tmp_path / "my_study.py"
    file.write_text(STUDY_FILE)
    here, _ = load_study(parsed(file, old.path.parent))
    assert here.digest() == old.study().digest()
    elsewhere, _ = load_study(parsed(file, tmp_path / "elsewhere"))
    assert elsewhere.digest() != old.study().digest()
    assert elsewhere.sampler == Random()
    quick, _ = load_study(parsed(file, old.path.parent, quick=True))
    assert quick.base.optim.momentum == 0.5


def test_a_new_directory_names_its_version_and_keeps_its_values(
    version: int, declared: Study, tmp_path: Path
) -> None:
    home = StudyDirectory(tmp_path / "new")
    study = declared.under_defaults(home.defaults_version())
    home.create(study, home.defaults_version())
    stored = json.loads(home.declaration.read_text())
    assert list(stored) == ["schema", "defaults", "digest", "declaration", "questions", "checksum"]
    assert stored["defaults"] == version == home.defaults_version()
    assert stored["declaration"]["base"]["optim"] == {"momentum": 0.5}
    assert home.study() == study
    with DEFAULTS_BY_VERSION.with_version({"OptimSpec.momentum": 0.7}):
        assert home.study() == study
        home.create(declared.under_defaults(home.defaults_version()), home.defaults_version())


def test_values_that_are_written_out_are_never_replaced(version: int) -> None:
    written = Study(
        name="written",
        base=TrialSpec(optim=OptimSpec(momentum=0.9)),
        sampler=Sobol(),
        search_seeds=1,
    )
    for study in (written, written.pinned({"optim.lr": 0.2}), written.with_changes(name="other")):
        resolved = study.under_defaults(version)
        assert resolved.base.optim.momentum == 0.9
        assert (resolved.sampler, resolved.search_seeds) == (Sobol(), 1)
        assert "momentum" not in resolved.given()["base"].get("optim", {})
        assert not {"sampler", "search_seeds"} & resolved.given().keys()


def test_names_change_only_with_a_value_that_changes(version: int) -> None:
    sgd = TrialSpec(schedule=ScheduleSpec(epochs=2))
    adamw = sgd.with_values({"optim.name": "adamw", "sparsity.method": "acdc"})
    arms = {"acdc": Arm({"sparsity.method": "acdc"}), "gmp": Arm({"sparsity.method": "gmp"})}
    sweep = {"sparsity.target": [0, 0.9]}

    def names(base: TrialSpec, defaults: int) -> dict[str, str]:
        study = Study(name="names", base=base, arms=arms, sweep=sweep).under_defaults(defaults)
        return {cell.name: cell.spec.trial_id() for cell in study.cells()}

    before = names(adamw, 1)
    after = names(adamw, version)
    assert {cell for cell in before if before[cell] != after[cell]} == {"gmp/target=0.9"}
    before = names(sgd, 1)
    after = names(sgd, version)
    assert set(before) == set(after) == {"dense", "acdc/target=0.9", "gmp/target=0.9"}
    assert not set(before.values()) & set(after.values())


def test_a_value_has_one_name_whether_a_default_or_written_out(version: int) -> None:
    by_default = Study(name="same").under_defaults(version)
    written = Study(name="same", base=TrialSpec(optim=OptimSpec(momentum=0.5)))
    assert by_default.cells()[0].spec.trial_id() == written.cells()[0].spec.trial_id()


def test_a_part_that_an_arm_opens_has_the_new_defaults(version: int) -> None:
    arms = {"rewound": Arm({"schedule.rewind.start": "1 epochs"})}
    study = Study(name="opened", arms=arms)
    values = [study.under_defaults(number).cells()[0].spec for number in (1, version)]
    assert [spec.schedule.rewind.every.value for spec in values if spec.schedule.rewind] == [2, 3]


def test_a_later_version_than_is_known_can_be_read_and_not_continued(
    old: StudyDirectory, declared: Study
) -> None:
    stored = json.loads(old.declaration.read_text())
    (old.path / "study.json").write_text(json.dumps({**stored, "defaults": 6}))
    assert old.study() == declared.under_defaults(1)
    told = r"defaults version 6, this sparsetune knows 1 to 5"
    with pytest.raises(StudyDirectoryError, match=told):
        launch(old.study(), Options(quiet=True), directory=old.path)


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(LookupError, match="versions are 1 to 5, got 6"):
        DEFAULTS_BY_VERSION.values(6)
