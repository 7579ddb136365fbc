"""Figures that a second process prints are those that this one would, and nothing of it stays behind."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import matplotlib
import pytest
from matplotlib.figure import Figure

import analysis
from analysis.drawing.axes import set_sparsity_ticks
from analysis.drawing.files import render_files
from analysis.drawing.marks import attach_hover_texts
from analysis.drawing.style import project_style
from analysis.exhibit import Exhibit
from analysis.page.printer import FigureExporter, _pickle_drawer, render_figure
from analysis.page.sections import SECTIONS, combination_exhibits, combinations


def drawn(words: str = "plain") -> Figure:
    with project_style():
        figure = Figure(layout="constrained", figsize=(3, 2))
        axes = figure.subplots()
        attach_hover_texts(
            axes.errorbar([0, 2.3], [1, 2], yerr=[0.1, 0.2], label="gmp"), ["a\n1", "b\n2"]
        )
        set_sparsity_ticks(axes.xaxis, [0, 0.9])
        axes.set_title(words)
    return figure


def broken() -> Figure:
    """Its text is no mathematics, which only its printing finds out."""
    figure = drawn()
    figure.axes[0].set_title("$\\frac{$", parse_math=True)
    return figure


def unknown() -> Figure:
    raise KeyError("no such column")


@pytest.fixture(scope="module")
def printer() -> Iterator[FigureExporter]:
    with FigureExporter(at_once=0) as one:
        yield one


def test_the_second_process_prints_the_same_bytes_and_says_the_same(
    printer: FigureExporter, tmp_path: Path
) -> None:
    order = printer.order(drawn, tmp_path / "figure")
    found = order._future.result()  # type: ignore[union-attr]  # not `result`, which would print it here meanwhile
    here = render_figure(drawn)
    assert found.files == here.files
    assert (found.width, found.height, found.interactive) == (
        here.width,
        here.height,
        here.interactive,
    )
    assert order.result() is found
    printer.finish()
    assert {file.suffix: file.read_bytes() for file in tmp_path.iterdir()} == {
        f".{kind}": whole for kind, whole in here.files.items()
    }


def test_what_printing_raises_or_warns_of_comes_back(
    printer: FigureExporter, tmp_path: Path
) -> None:
    order = printer.order(partial(drawn, "\N{SNOWMAN}\U0001f980"), tmp_path / "figure")
    with pytest.raises(UserWarning, match="Glyph"):
        order._future.result()  # type: ignore[union-attr]
    for fault, error, text in (
        (broken, ValueError, "Parse"),
        (unknown, KeyError, "no such column"),
    ):
        order = printer.order(fault, tmp_path / "figure")
        with pytest.raises(error, match=text):
            order._future.result()  # type: ignore[union-attr]
        printer.finish()
        with pytest.raises(error, match=text):
            order.result()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_sent_or_answered_is_printed_here(tmp_path: Path) -> None:
    with FigureExporter(at_once=0) as printer:
        assert printer.order(lambda: drawn("plain"), tmp_path / "lambda")._future is None
        order = printer.order(drawn, tmp_path / "figure")
        child = printer._child
        assert child is not None
        child.kill()
        with pytest.raises((EOFError, BrokenPipeError)):
            order._future.result()  # type: ignore[union-attr]
        printer.finish()
        assert order.result().files == render_figure(drawn).files
    assert child.returncode is not None
    assert len(list(tmp_path.iterdir())) == 6


def test_few_figures_start_no_process_and_a_program_that_has_python_inside_none_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FigureExporter(at_once=1) as printer:
        printer.order(drawn, tmp_path / "a")
        assert printer._child is None
        monkeypatch.setattr(sys, "frozen", True, raising=False)
        printer.order(drawn, tmp_path / "b")
        assert printer._child is None
        printer.finish()
    assert len(list(tmp_path.iterdir())) == 6


def test_figures_that_waited_go_to_the_second_process_with_the_first_one_too_many(
    tmp_path: Path,
) -> None:
    with FigureExporter(at_once=2) as printer:
        orders = [printer.order(drawn, tmp_path / name) for name in "abcd"]
        assert len({order._future for order in orders} - {None}) == 4
        printer.finish()
    assert len(list(tmp_path.iterdir())) == 12


def test_settings_of_the_process_change_no_figure() -> None:
    plain = render_figure(drawn)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        assert render_figure(drawn).files == plain.files


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with FigureExporter() as printer:
        printer.write(tmp_path / "file" / "a.csv", lambda: "a")
        with pytest.raises(OSError, match="file"):
            printer.finish()


SCRIPT = """
import os, signal
from pathlib import Path
from analysis.page.printer import FigureExporter
from matplotlib.figure import Figure
print("ran", flush=True)
printer = FigureExporter(at_once=0)
printer.order(Figure, Path("figure"))._future.result()
print(printer._child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="has no SIGKILL")
def test_a_script_without_a_guard_runs_once_and_its_process_ends_with_it(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    found = os.pathsep.join(path or os.getcwd() for path in sys.path)
    ended = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": found},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    ran, pid = ended.stdout.split()
    assert ran == "ran"
    until = time.monotonic() + 30
    while _alive(int(pid)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _alive(int(pid))


def _alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_every_figure_of_a_report_can_be_sent(small: Path) -> None:
    results = analysis.load(small)
    for at in combinations(results):
        for analyses in SECTIONS.values():
            for found in combination_exhibits(results, at, analyses):
                if isinstance(found, Exhibit) and found.draw:
                    assert _pickle_drawer(found.draw) is not None, found.name


def test_a_picture_is_sharp_enough_to_print() -> None:
    width, height = struct.unpack(">II", render_files(drawn())["png"][16:24])
    assert (width, height) == (450, 300)  # 3 x 2 inches


def test_a_figure_that_cannot_be_made_interactive_is_printed_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaks(figure: Figure) -> None:
        raise ValueError("no such mark")

    monkeypatch.setattr("analysis.page.printer.to_plotly", breaks)
    with pytest.warns(RuntimeWarning, match="no such mark"):
        found = render_figure(drawn)
    assert found.interactive is None and set(found.files) == {"pdf", "png", "svg"}
