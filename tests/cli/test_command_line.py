"""The command line: a mistake is one message with what is allowed, status 2, and nothing created or
lost.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ray

from sparsetune.cli.main import build_parser, main
from sparsetune.launch.followers import trackers
from sparsetune.search.sampling.points import quiet_optuna
from sparsetune.spec import OptimSpec, TrialSpec
from sparsetune.storage import StudyDirectory
from sparsetune.study import Arm, Study

GOOD = """
from sparsetune import *
STUDY = Study(
    name="mine",
    base=TrialSpec(task=DigitsTask(), sparsity=SparsitySpec(method="gmp", target=0.9)),
)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a good study in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "mine.py").write_text(GOOD)
    quiet_optuna()
    return tmp_path


def declare(body: str) -> None:
    """Write `mine.py` with a study of these arguments."""
    Path("mine.py").write_text(f'from sparsetune import *\nSTUDY = Study(name="mine", {body})\n')


def contents(folder: Path) -> dict[Path, bytes | None]:
    return {
        path: path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command that must be refused says; nothing may have been made, changed or started."""
    before = contents(Path.cwd())
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("sparsetune: ")
    assert "Traceback" not in output.err
    assert contents(Path.cwd()) == before
    assert not ray.is_initialized()
    return output.err


SETTINGS = {
    "unknown field": (
        "optim.rate=0.1",
        ["base.optim.rate", "unknown field", "`lr`", "`momentum`"],
    ),
    "unknown part": (
        "optimizer.lr=0.1",
        ["base.optimizer", "unknown field", "`optim`", "`schedule`"],
    ),
    "negative rate": ("optim.lr=-0.1", ["base.optim.lr", "greater than 0", "got -0.1"]),
    "rate of nan": ("optim.lr=NaN", ["base.optim.lr", "finite", "got nan"]),
    "rate of text": ("optim.lr=fast", ["base.optim.lr", "number", "got 'fast'"]),
    "part as a value": ("optim=5", ["base.optim", "got 5"]),
    "sparsity of 1": ("sparsity.target=1.0", ["base.sparsity.target", "less than 1", "got 1.0"]),
    "sparsity in percent": (
        "sparsity.target=90",
        ["base.sparsity.target", "less than 1", "got 90"],
    ),
    "sparse dense": (
        "sparsity.method=dense",
        ["base.sparsity", "a target of 0.9 needs a sparse method", "gmp, acdc"],
    ),
    "unknown method": (
        "sparsity.method=magic",
        ["base.sparsity.method", "'gmp'", "'acdc'", "got 'magic'"],
    ),
    "ramp past the end": (
        "sparsity.ramp.start=0.7",
        ["base.sparsity.ramp", "at most 1", "0.7 + 0.6", "0.3 would do"],
    ),
    "too few updates": (
        "schedule.epochs=0.2",
        ["base.sparsity.ramp", "10 mask updates", "`schedule.epochs` of"],
    ),
    "unknown task": (
        "task.kind=mnist",
        ["base.task", "`kind` must be one of", "'digits', 'image'", "'mnist'"],
    ),
    "unknown model": (
        "task.model=vgg",
        ["base.task.model", "mlp, lenet_300_100", "module:function", "got 'vgg'"],
    ),
    "model that is nowhere": (
        "task.model=no_such:build",
        ["base.task.model", "No module named 'no_such'"],
    ),
    "batch too large": ("task.batch_size=5000", ["base.task", "5000"]),
    "no equals sign": ("optim.lr", ["--set takes `field=value`", "'optim.lr'"]),
    "no field": ("=3", ["unknown field"]),
}


@pytest.mark.parametrize("command", ["run", "preview"])
@pytest.mark.parametrize(("setting", "words"), SETTINGS.values(), ids=SETTINGS)
def test_a_faulty_setting(
    capsys: pytest.CaptureFixture[str], command: str, setting: str, words: list[str]
) -> None:
    message = refused(capsys, command, "mine.py", "--set", setting)
    for word in words:
        assert word in message


FILES = {
    "unknown field": (
        "bass=TrialSpec()",
        ["`bass`: unknown field; valid are", "`base`", "`sweep`"],
    ),
    "unknown field of a part": (
        "base=TrialSpec(optim=OptimSpec(rate=1))",
        ["base.optim.rate", "unknown field"],
    ),
    "empty axis": ('sweep={"optim.lr": []}', ["sweep.optim.lr", "must not be empty"]),
    "empty choice": ('search={"optim.lr": Choice([])}', ["search.optim.lr", "must not be empty"]),
    "unknown axis": ('sweep={"optim.rate": [1, 2]}', ["sweep.optim.rate", "unknown field"]),
    "axis out of range": (
        'search={"optim.lr": Uniform(-1, 1)}',
        ["search.optim.lr", "greater than 0", "-1"],
    ),
    "range upside down": (
        'search={"optim.lr": LogUniform(1, 0.1)}',
        ["search.optim.lr", "low bound must lie below"],
    ),
    "sparsity of 1 in a sweep": (
        'arms={"gmp": Arm({"sparsity.method": "gmp"})}, sweep={"sparsity.target": [0, 1.0]}',
        ["sweep.sparsity.target", "less than 1", "got 1.0"],
    ),
    "ramp past the end in an axis": (
        'base=TrialSpec(sparsity=SparsitySpec(method="gmp", target=0.9)), '
        'search={"sparsity.ramp.start": Uniform(0, 0.5)}',
        ["search.sparsity.ramp", "at most 1 (the end of training)", "a length of 0.5 would do"],
    ),
    "acdc too short": (
        'base=TrialSpec(schedule=ScheduleSpec(epochs=20), '
        'sparsity=SparsitySpec(method="acdc", target=0.9, acdc=PUBLISHED_ACDC))',
        ["base.sparsity.acdc", "at least 3 compressed phases", "`schedule.epochs` of 50 would do"],
    ),
    "unknown model in an axis": (
        'sweep={"task.model": ["mlp", "vgg"]}',
        ["sweep.task.model", "got 'vgg'"],
    ),
    "objective on the test set": (
        'objective=Minimize("test_loss")',
        ["objective.column", "val_error", "'test_loss'"],
    ),
    "startup too long": ("sampler=TPE(n_startup=5)", ["sampler.n_startup", "below half", "5 of 8"]),
    "axis without brackets": ('sweep={"optim.lr": 0.1}', ["sweep.optim.lr", "got 0.1"]),
    "search axis without a range": ('search={"optim.lr": 0.1}', ["search.optim.lr", "got 0.1"]),
    "arms as a list": ('arms=["gmp"]', ["`arms`", "['gmp']"]),
    "base as text": ('base="gmp"', ["`base`", "got 'gmp'"]),
    "fault and short plan": (
        'report_seeds=0, base=TrialSpec(schedule=ScheduleSpec(epochs=0.2), '
        'sparsity=SparsitySpec(method="gmp", target=0.9))',
        ["report_seeds", "base.sparsity.ramp", "10 mask updates"],
    ),
    "unknown model beside a negative rate": (
        'base=TrialSpec(task=DigitsTask(model="vgg"), optim=OptimSpec(lr=-1))',
        ["2 problems", "base.task.model", "mlp, lenet_300_100", "base.optim.lr", "got -1"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("command", ["run", "preview"])
@pytest.mark.parametrize(("body", "words"), FILES.values(), ids=FILES)
def test_a_faulty_file(
    capsys: pytest.CaptureFixture[str], command: str, body: str, words: list[str]
) -> None:
    declare(body)
    message = refused(capsys, command, "mine.py")
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    "body", [body for body, _ in FILES.values() if "TPE" not in body]
)  # quick needs no TPE
def test_a_faulty_file_cannot_be_changed_by_options(
    capsys: pytest.CaptureFixture[str], body: str
) -> None:
    declare(body)
    for options in (["--quick"], ["--set", "optim.momentum=0.5"]):
        assert "in study `mine" in refused(capsys, "preview", "mine.py", *options)


def test_a_study_without_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text("from sparsetune import *\nSTUDY = Study()\n")
    assert "`name`: must be given" in refused(capsys, "run", "mine.py")
    assert "`name`: must be given" in refused(capsys, "run", "mine.py", "--quick")


def test_every_fault_is_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    declare(
        'base=TrialSpec(task=DigitsTask(model="vgg"), optim=OptimSpec(lr=-1, rate=2)), '
        'sweep={"schedule.epochs": []}, search={"optim.momentum": Uniform(0.5, 0.1)}, '
        'objective=Minimize("test_loss"), report_seeds=0'
    )
    message = refused(capsys, "run", "mine.py")
    assert "7 problems in study `mine`:" in message
    for path in ("base.task.model", "base.optim.lr", "base.optim.rate", "sweep.schedule.epochs",
                 "search.optim.momentum", "objective.column", "report_seeds"):  # fmt: skip
        assert f"  - `{path}`: " in message


def test_a_name_that_is_no_folder_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert "`name`" in refused(capsys, "run", "mine.py", "--name", "../elsewhere")


@pytest.mark.parametrize("name", ["nowhere.py", "no.such.module"])
def test_a_study_that_is_not_there(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert f"`{name}`" in refused(capsys, "run", name)


OLD = Study(
    name="old", arms={"gmp": Arm({"sparsity.method": "gmp"})}, sweep={"sparsity.target": [0, 0.9]}
)


def made(study: Study = OLD) -> StudyDirectory:
    directory = StudyDirectory(Path("runs") / study.name)
    directory.create(study)
    return directory


def spoiled(directory: StudyDirectory, **changes: Any) -> None:
    stored = json.loads(directory.declaration.read_text())
    directory.declaration.write_text(json.dumps(stored | changes))


READERS = ["resume", "status", "report"]


@pytest.mark.parametrize("command", READERS)
def test_a_directory_that_is_not_a_study(capsys: pytest.CaptureFixture[str], command: str) -> None:
    Path("thesis").mkdir()
    Path("thesis/chapter.tex").write_text("years of work")
    for name in ("thesis", "nowhere", "mine.py"):
        message = refused(capsys, command, name)
        assert f"{name}` is not a study directory" in message


@pytest.mark.parametrize("command", READERS)
def test_a_directory_of_another_schema_version(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    spoiled(made(), schema=99)
    message = refused(capsys, command, "runs/old")
    assert "has schema version 99, this sparsetune reads 1" in message


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize(
    "text", ["{torn", "[]", '{"schema": 1}', '{"schema": 1, "declaration": {"name": 3}}']
)
def test_a_directory_with_a_damaged_declaration(
    capsys: pytest.CaptureFixture[str], command: str, text: str
) -> None:
    made().declaration.write_text(text)
    assert "study.json`" in refused(capsys, command, "runs/old")


@pytest.mark.parametrize("command", READERS)
def test_a_damaged_ledger(capsys: pytest.CaptureFixture[str], command: str) -> None:
    directory = made()
    directory.ledger.mkdir()
    segment = directory.ledger / "000001.jsonl"
    segment.write_bytes(b'{"type": "rep\n{"type":"extended"}\n')
    before = segment.read_bytes()
    assert main([command, "runs/old"]) == 2
    assert "line 1 of `" in capsys.readouterr().err
    assert segment.read_bytes() == before


def test_another_declaration_over_an_existing_directory(capsys: pytest.CaptureFixture[str]) -> None:
    made(Study(name="mine", base=TrialSpec(optim=OptimSpec(lr=0.2))))
    message = refused(capsys, "run", "mine.py")
    assert "holds a study of another declaration" in message
    assert "`base.optim.lr`: 0.2 -> (absent)" in message
    assert "`base.sparsity.target`: (absent) -> 0.9" in message


def test_what_cannot_be_added_is_refused_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    made()
    message = refused(
        capsys, "resume", "runs/old", "--add-configurations", "1", "--retry-failed",
        "--add-sweep", "sparsity.target=0.9,1.5", "--add-sweep", "optim.lr=0.1",
    )  # fmt: skip
    assert message.splitlines() == [
        "sparsetune: 4 problems in what is to be added to study `old`:",
        "  - `configurations_per_cell`: the study searches nothing, so that it has none to add",
        "  - `optim.lr`: this is no sweep axis of the study; declared are `sparsity.target`",
        "  - `sparsity.target`: swept already are [0, 0.9]; give values that are not, got [0.9]",
        "  - `sweep.sparsity.target`: must be less than 1, got 1.5",
    ]
    assert "--add-sweep takes `field=value,value`, got 'optim.lr'" in refused(
        capsys, "resume", "runs/old", "--add-sweep", "optim.lr"
    )


def test_trackers_that_cannot_be_used(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is started or written."""
    message = refused(capsys, "run", "mine.py", "--track", "tensorboard", "--track", "aim")
    assert "a tracker must be one of tensorboard, wandb, mlflow, got `aim`" in message
    monkeypatch.setattr(trackers, "find_spec", lambda package: None)
    message = refused(capsys, "run", "mine.py", "--track", "mlflow")
    assert message == (
        "sparsetune: MLflow needs the package `mlflow`, which is not installed;"
        " install it with: pip install 'sparsetune[mlflow]'\n"
    )
    made()
    message = refused(capsys, "track", "runs/old", "--with", "mlflow")
    assert "pip install 'sparsetune[mlflow]'" in message


def test_a_study_without_trials_is_tracked(capsys: pytest.CaptureFixture[str]) -> None:
    made()
    assert main(["track", "runs/old", "--with", "tensorboard"]) == 0
    assert capsys.readouterr().out == (
        f"tensorboard: 0 runs sent, 0 were there: {Path('runs/old/tensorboard').absolute()}\n"
    )


def test_a_folder_that_holds_something_else(capsys: pytest.CaptureFixture[str]) -> None:
    Path("runs/mine").mkdir(parents=True)
    Path("runs/mine/thesis.tex").write_text("years of work")
    assert "exists and is not a study" in refused(capsys, "run", "mine.py")


def test_a_storage_that_is_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("taken").write_text("")
    assert "cannot be written: Not a directory" in refused(
        capsys, "run", "mine.py", "--storage", "taken"
    )


def test_a_disk_without_room(capsys: pytest.CaptureFixture[str], small_disk: Path) -> None:
    fill = ["dd", "if=/dev/zero", f"of={small_disk / 'ballast'}", "bs=1k"]
    assert b"No space left" in subprocess.run(fill, capture_output=True).stderr
    message = refused(capsys, "run", "mine.py", "--storage", str(small_disk))
    assert "must have room for the study, with 0 KiB free" in message
    assert not ray.is_initialized()


def test_a_disk_that_is_read_only(capsys: pytest.CaptureFixture[str], small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    message = refused(capsys, "run", "mine.py", "--storage", str(small_disk))
    assert "cannot be written: Read-only file system" in message


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (["resume", "runs/old", "--add-report-seeds", "-1"], "a whole number that is not negative"),
        (
            ["resume", "runs/old", "--add-configurations", "2.5"],
            "a whole number that is not negative",
        ),
        (["run", "mine.py", "--cpus-per-trial", "-1"], "a number that is not negative"),
        (["run", "mine.py", "--gpus-per-trial", "half"], "a number that is not negative"),
        (["run", "mine.py", "--checkpoint-seconds", "nan"], "a number that is not negative"),
        (["run"], "the following arguments are required: study"),
        (["status"], "the following arguments are required: directory"),
        (["train"], "invalid choice: 'train'"),
        (["run", "mine.py", "--seeds", "3"], "unrecognized arguments: --seeds 3"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_arguments_that_cannot_be(
    capsys: pytest.CaptureFixture[str], arguments: list[str], rule: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert rule in capsys.readouterr().err


COMMANDS = [
    "run", "resume", "status", "report", "merge", "track", "preview", "layers", "clean", "doctor",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert f"usage: sparsetune {command}" in capsys.readouterr().out
    assert command in build_parser().format_help()


HEAVY = """
import runpy, sys
sys.argv = ["sparsetune", "--help"]
try:
    runpy.run_module("sparsetune", run_name="__main__", alter_sys=True)
except SystemExit as end:
    heavy = {"torch", "ray", "pandas", "pydantic", "numpy", "optuna", "analysis"}
    loaded = sorted(heavy & sys.modules.keys())
    sys.exit(f"status {end.code}, loaded {loaded}")
"""


def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", HEAVY], capture_output=True, text=True)
    assert done.stderr == "status 0, loaded []\n"
    assert all(command in done.stdout for command in COMMANDS)


def test_a_preview_as_json_with_settings_and_another_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [
        "preview",
        "mine.py",
        "--set",
        "schedule.epochs=8",
        "--quick",
        "--name",
        "other",
        "--json",
    ]
    assert main(arguments) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["study"], {cell["epochs"] for cell in facts["cells"]}) == ("other", {8})


def test_a_setting_pins_an_axis(capsys: pytest.CaptureFixture[str]) -> None:
    declare('sweep={"schedule.epochs": [2, 4]}, search={"optim.lr": LogUniform(0.01, 1)}')
    assert (
        main(
            ["preview", "mine.py", "--set", "schedule.epochs=3", "--set", "optim.lr=0.5", "--json"]
        )
        == 0
    )
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert [(cell["cell"], cell["search"]) for cell in cells] == [("dense/epochs=3", [])]


def test_status_of_a_study_that_has_not_begun(capsys: pytest.CaptureFixture[str]) -> None:
    made()
    assert main(["status", "runs/old", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["study"], facts["trials"], facts["expected"], facts["driver"]) == (
        "old",
        {},
        6,
        None,
    )


@pytest.mark.cluster
def test_a_reader_that_leaves_early_gets_no_traceback(folder: Path) -> None:
    command = [sys.executable, "-m", "sparsetune", "preview", "mine.py", "--json"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
