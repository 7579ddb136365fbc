"""`from sparsetune import analysis` is ours, whatever else a project calls `analysis`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = str(ROOT / "analysis" / "__init__.py")
THEIRS = "WHOSE = 'theirs'\n"


def output_of(code: str, folder: Path, *path: Path) -> list[str]:
    """Lines that a fresh process prints which runs code as a script in a folder."""
    (folder / "script.py").write_text(code)
    command = [sys.executable, "script.py"]
    environment = {"PYTHONPATH": ":".join(map(str, path)), "MPLBACKEND": "Agg"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with an `analysis` package of the user's own."""
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "__init__.py").write_text(THEIRS)
    (tmp_path / "analysis" / "curves.py").write_text("WHOSE = 'theirs too'\n")
    return tmp_path


SAME = """
{first}
import sys, analysis, sparsetune
import sparsetune.analysis.load, analysis.load
from sparsetune import analysis as ours
from sparsetune.analysis import report
from sparsetune.analysis.curves.curve import Curve
from sparsetune.analysis.page.figure_process import FigureProcess as lazy
from analysis.page.figure_process import FigureProcess
import analysis.curves.curve, sparsetune.analysis.drawing.files
assert ours is analysis is sparsetune.analysis
assert report is analysis.report and Curve is analysis.Curve and lazy is FigureProcess
assert callable(analysis.load) and callable(analysis.report) and callable(analysis.diff)
for name, module in list(sys.modules.items()):
    if name.startswith("sparsetune.analysis"):
        assert module is sys.modules[name.removeprefix("sparsetune.")], name
print(ours.__file__)
"""


@pytest.mark.parametrize("first", ["", "import analysis"])
def test_both_names_are_the_same_modules_where_no_project_has_one(
    first: str, tmp_path: Path
) -> None:
    assert output_of(SAME.format(first=first), tmp_path, ROOT) == [OURS]


THEIRS_TOO = """
{first}
import sys, analysis
import analysis.curves
from sparsetune import analysis as ours
import sparsetune.analysis.curves.curve
import sparsetune
assert ours is sparsetune.analysis is not analysis
assert sparsetune.analysis.curves.curve.Curve is ours.Curve
assert callable(ours.load) and callable(ours.report)
print(analysis.WHOSE, analysis.curves.WHOSE)
print(ours.__file__)
"""


@pytest.mark.parametrize("first", ["", "import sparsetune.analysis"])
def test_a_project_keeps_its_own(first: str, project: Path) -> None:
    found = output_of(THEIRS_TOO.format(first=first), project, ROOT)
    assert found == ["theirs theirs too", OURS]


def test_a_module_that_only_stands_in_the_table_of_modules_is_theirs(tmp_path: Path) -> None:
    code = """
import sys, types
sys.modules["analysis"] = types.ModuleType("analysis")
from sparsetune import analysis
print(analysis.__file__)
"""
    assert output_of(code, tmp_path, ROOT) == [OURS]


def test_a_folder_of_notebooks_is_no_package(project: Path) -> None:
    (project / "analysis" / "__init__.py").unlink()
    code = "from sparsetune import analysis\nimport analysis as top\nprint(top is analysis)"
    assert output_of(code, project, ROOT) == ["True"]


APPENDED = """
import sys
from sparsetune.import_path import append_to_path
append_to_path([sys.argv[0].rpartition("/")[0] or ".", "{project}"])
{first}
from sparsetune import analysis as ours
import analysis
print(analysis.WHOSE)
print(ours.__file__)
"""


def test_the_folder_of_a_study_may_have_its_own(project: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = APPENDED.format(project=project, first="")
    assert output_of(code, elsewhere, ROOT) == ["theirs", OURS]


SECOND_PROCESS = """
{first}
from sparsetune import analysis as ours
from sparsetune.analysis.page.figure_process import FigureProcess, pickle_drawer
{then}
process = FigureProcess()
rendered = process.render(pickle_drawer(ours.paper_figure))
process.close()
print(ours.__name__, sorted(rendered.files))
"""


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("first", "then", "name"),
    [
        ("import analysis; assert analysis.WHOSE", "", "sparsetune.analysis"),
        # Ours was imported before the user's folder came first: its modules are pickled as ours.
        ("import sys; sys.path.pop(0)", "sys.path.insert(0, '.')", "analysis"),
    ],
    ids=["theirs first", "ours first"],
)
def test_the_second_process_draws_with_ours(
    first: str, then: str, name: str, project: Path
) -> None:
    code = SECOND_PROCESS.format(first=first, then=then)
    assert output_of(code, project, ROOT) == [f"{name} ['pdf', 'png', 'svg']"]
