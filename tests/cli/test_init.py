"""``sparsetune init``: every template is a valid study under the name of its file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sparsetune.cli import init
from sparsetune.cli.init import TEMPLATES
from sparsetune.cli.main import main
from sparsetune.cli.studies import find_study

NAME = "pruned_well"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder; the study that is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop(NAME, None)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_is_a_valid_study_with_a_quick_form(template: str) -> None:
    assert main(["init", f"{NAME}.py", "--template", template]) == 0
    study, file = find_study(f"{NAME}.py")
    assert (study.name, file) == (NAME, Path(f"{NAME}.py").resolve())
    assert study.validate_declaration() == []
    assert study.quick().validate_declaration() == []
    assert study.question
    text = file.read_text()
    assert f"sparsetune run {NAME}.py" in text
    assert init.PLACEHOLDER not in text
    assert len(text.splitlines()) <= 85


def test_every_template_that_is_packaged_is_offered() -> None:
    packaged = Path(init.__file__).parent / "templates"
    assert {path.stem for path in packaged.glob("[a-z]*.py")} == set(TEMPLATES)


def test_the_next_command_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", "s.py"])
    assert capsys.readouterr().out == (
        "Wrote s.py. Read it, then run it with: sparsetune run s.py\n"
    )
    main(["init", "other.py", "--json"])
    assert json.loads(capsys.readouterr().out)["next"] == "sparsetune run other.py"


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Message of a command that must write nothing."""
    before = {path: path.read_text() for path in Path().iterdir()}
    assert main(["init", *arguments]) == 2
    assert {path: path.read_text() for path in Path().iterdir()} == before
    return capsys.readouterr().err


def test_a_file_that_exists_is_replaced_only_by_force(capsys: pytest.CaptureFixture[str]) -> None:
    Path("s.py").write_text("years of work")
    assert "`s.py` exists; give another name, or --force" in refused(capsys, "s.py")
    assert main(["init", "s.py", "--force"]) == 0
    assert "Study(" in Path("s.py").read_text()


@pytest.mark.parametrize("name", ["my-study.py", "study", "2nd.py", "class.py", "étude.py"])
def test_a_name_that_cannot_be_imported(capsys: pytest.CaptureFixture[str], name: str) -> None:
    message = refused(capsys, name)
    assert f"got `{name}`; `my_study.py` would do" in message


@pytest.mark.parametrize("name", ["random.py", "torch.py", "analysis.py"])
def test_a_name_that_is_taken(capsys: pytest.CaptureFixture[str], name: str) -> None:
    message = refused(capsys, name)
    assert "is the name of an installed module, which would be imported instead" in message


def test_a_folder_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no folder `nowhere`; make it first" in refused(capsys, "nowhere/s.py")


def test_a_study_that_is_not_there_is_answered_with_init(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("nobodys_study", "nobodys_study.py"):
        assert main(["run", name]) == 2
        assert "`sparsetune init " in capsys.readouterr().err
