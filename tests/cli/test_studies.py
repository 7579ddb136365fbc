"""The study that a command names: modules, files, and what is said when there is none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sparsetune.cli.arguments import load_study
from sparsetune.cli.main import build_parser
from sparsetune.cli.studies import find_study, parse_overrides, parse_sweep
from sparsetune.errors import DeclarationError, SparsetuneError
from sparsetune.study import Study

STUDY = 'from sparsetune import Study\nSTUDY = Study(name="mine")\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with imports undone afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def refused(name: str) -> str:
    with pytest.raises(SparsetuneError) as caught:
        find_study(name)
    return str(caught.value)


def test_a_study_in_a_file(folder: Path) -> None:
    (folder / "my-study.py").write_text(STUDY)
    study, file = find_study("my-study.py")
    assert (study.name, file) == ("mine", folder / "my-study.py")


def test_a_study_in_a_module_of_the_current_folder(folder: Path) -> None:
    (folder / "questions").mkdir()
    (folder / "questions" / "first.py").write_text(STUDY)
    study, file = find_study("questions.first")
    assert (study.name, file) == ("mine", folder / "questions" / "first.py")


def test_the_projects_own_study_by_its_module() -> None:
    assert find_study("studies.digits")[0].name == "digits"


def test_a_file_may_import_what_lies_beside_it_and_declare_dataclasses(folder: Path) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "beside_the_study.py").write_text('NAME = "beside"\n')
    (elsewhere / "with_dataclass.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from beside_the_study import NAME\n"
        "from sparsetune import Study\n"
        "@dataclass\n"
        "class Part:\n"
        "    size: int = 1\n"
        "STUDY = Study(name=NAME)\n"
    )
    assert find_study("elsewhere/with_dataclass.py")[0].name == "beside"


def test_one_study_under_two_names_is_one(folder: Path) -> None:
    (folder / "one.py").write_text(STUDY + "ALSO = STUDY\n")
    assert find_study("one.py")[0].name == "mine"


@pytest.mark.parametrize(("text", "count"), [("", 0), (STUDY + STUDY.replace("STUDY", "OTHER"), 2)])
def test_a_file_holds_exactly_one_study(folder: Path, text: str, count: int) -> None:
    (folder / "s.py").write_text(text)
    assert refused("s.py") == f"`s.py` must hold exactly one `Study` at its top level, got {count}"


@pytest.mark.parametrize(
    ("text", "reason", "line"),
    [
        ("x = 1\nif True print()\n", "SyntaxError", 2),
        ("\n\n1 / 0\n", "ZeroDivisionError: division by zero", 3),
        ("import no_such_package\n", "ModuleNotFoundError: No module named 'no_such_package'", 1),
        ("from sparsetune import Studdy\n", "ImportError: cannot import name 'Studdy'", 1),
    ],
)
@pytest.mark.parametrize("name", ["broken.py", "broken"])
def test_a_file_that_fails_is_named_with_its_reason_and_line(
    folder: Path, name: str, text: str, reason: str, line: int
) -> None:
    (folder / "broken.py").write_text(text)
    message = refused(name)
    assert message.startswith(f"`{name}` cannot be imported: {reason}")
    assert message.endswith(f"broken.py, line {line})")


@pytest.mark.parametrize("name", ["no.such.module", "runs/digits", "studies.no_such"])
def test_a_module_that_does_not_exist(folder: Path, name: str) -> None:
    message = refused(name)
    assert message.startswith(f"there is no module `{name}` here; give the path of a .py file")
    assert "`sparsetune init" in message


def test_a_file_that_does_not_exist(folder: Path) -> None:
    assert refused("none.py").startswith("there is no file `none.py`")


@pytest.mark.parametrize("name", ["", ".relative", "a..b"])
def test_a_name_that_is_none(folder: Path, name: str) -> None:
    assert name in refused(name)


WHICH = """
import sys
sys.path.remove("")
import sparsetune.cli.studies
study, _ = sparsetune.cli.studies.find_study(sys.argv[1])
from sparsetune import analysis
print(study.name, analysis.__file__)
"""


@pytest.mark.parametrize(
    ("own", "study"),
    [
        ("raise SystemExit('own analysis imported')", STUDY),
        ("NAME = 'mine'", f"from analysis import NAME\n{STUDY}"),
    ],
    ids=["not imported", "imported by the study"],
)
def test_a_users_own_analysis_folder_is_theirs(tmp_path: Path, own: str, study: str) -> None:
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "__init__.py").write_text(own)
    (tmp_path / "s.py").write_text(study)
    command = [sys.executable, "-c", WHICH, "s.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        "mine",
        str(Path(__file__).parents[2] / "analysis" / "__init__.py"),
    ]


def test_python_m_puts_the_current_folder_last_too(tmp_path: Path) -> None:
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "__init__.py").write_text("raise SystemExit('own analysis imported')")
    command = [sys.executable, "-m", "sparsetune", "report", "nothing"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, "is not a study directory" in done.stderr) == (2, True), done.stderr


def test_overrides_are_json_where_they_can_be() -> None:
    pairs = ["a.b=0.05", "c=true", "d=text", "e=5 epochs", "f=[1, 2]", "g=a=b", "h=null"]
    assert parse_overrides(pairs) == {
        "a.b": 0.05, "c": True, "d": "text", "e": "5 epochs", "f": [1, 2], "g": "a=b", "h": None,
    }  # fmt: skip


def test_every_override_without_an_equals_sign_is_named() -> None:
    with pytest.raises(DeclarationError) as caught:
        parse_overrides(["optim.lr", "a=1", "0.5"])
    assert "'optim.lr'" in str(caught.value)
    assert "'0.5'" in str(caught.value)


def test_sweep_values_are_json_where_they_can_be_read_so() -> None:
    pairs = [
        "sparsity.target=0.97,0.99",
        "optim.nesterov=true",
        "schedule.lr=cosine",
        "sparsity.target=0.5",
    ]
    assert parse_sweep(pairs) == {
        "sparsity.target": [0.97, 0.99, 0.5], "optim.nesterov": [True], "schedule.lr": ["cosine"],
    }  # fmt: skip
    assert parse_sweep([]) == {}


def test_every_text_that_is_no_sweep_is_named() -> None:
    with pytest.raises(DeclarationError) as caught:
        parse_sweep(["sparsity.target", "optim.lr=0.1,", "optim.momentum=0.5"])
    assert [problem.got for problem in caught.value.problems] == [
        "'optim.lr=0.1,'",
        "'sparsity.target'",
    ]


SWEPT = """
from sparsetune import Arm, LogUniform, OptimSpec, Quick, ScheduleSpec, Study, TrialSpec
STUDY = Study(
    name="mine",
    arms={
        "gmp": Arm({"sparsity.method": "gmp"}),
        "own": Arm({"sparsity.method": "acdc", "optim": OptimSpec(lr=0.2)}),
    },
    sweep={"sparsity.target": [0.5, 0.9]},
    search={"optim.weight_decay": LogUniform(1e-5, 1e-3)},
    quick_form=Quick(overrides={"schedule.epochs": 2}, sweep={"sparsity.target": [0.9]}),
)
"""


def set_study(folder: Path, *arguments: str) -> Study:
    (folder / "mine.py").write_text(SWEPT)
    parsed = build_parser().parse_args(["preview", "mine.py", *arguments])
    return load_study(parsed)[0]


def set_faults(folder: Path, *arguments: str) -> list[str]:
    with pytest.raises(DeclarationError) as caught:
        set_study(folder, *arguments)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("order", [1, -1])
def test_what_is_set_holds_in_the_quick_form(folder: Path, order: int) -> None:
    words = [["--set", "sparsity.target=0.8", "--set", "schedule.epochs=3"], ["--quick"]]
    study = set_study(folder, *words[::order][0], *words[::order][1])
    assert study.name == "mine-quick"
    targets = {cell.spec.sparsity.target for cell in study.cells() if not cell.is_dense}
    assert targets == {0.8}
    assert {cell.spec.schedule.epochs for cell in study.cells()} == {3}
    (problem,) = set_study(folder, "--quick", "--set", "sparsity.target=90").problems()
    assert str(problem) == "`sweep.sparsity.target`: must be less than 1, got 90"


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        (["schedule.epochs=4"], "`schedule.epochs`: changes nothing"),
        (["sparsity.regrow.fraction=0.5"], "`sparsity.regrow.fraction`: changes nothing"),
        (
            ["optim.lr=0.05"],
            "`optim.lr`: is overridden by `arms.own.overrides.optim` in cells of `own`",
        ),
        (["optim.momentum=0.5", "optim.momentum=0.6"], "`optim.momentum`: must be set once"),
        (
            ['sparsity.ramp={"start": 0.2}', "sparsity.ramp.start=0.3"],
            "`sparsity.ramp.start`: must",
        ),
    ],
)
def test_a_setting_that_would_be_lost_is_refused_by_name(
    folder: Path, settings: list[str], fault: str
) -> None:
    words = [word for setting in settings for word in ("--set", setting)]
    (found,) = set_faults(folder, *words)
    assert found.startswith(fault)


@pytest.mark.parametrize(
    "setting",
    [
        "schedule.epochs=5",
        "sparsity.method=gmp",
        "sparsity.ramp.start=0.2",
        "optim.weight_decay=0.0001",
        "sparsity.target=0.9",
        "schedule.floor=0.1",
    ],
)
def test_a_setting_that_takes_effect(folder: Path, setting: str) -> None:
    assert set_study(folder, "--set", setting).problems() == []
