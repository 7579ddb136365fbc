"""Figures of a report: the second process renders them as this one would, and never outlives it."""

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
from analysis.drawing.axes import set_sparsity_axis
from analysis.drawing.files import render_files
from analysis.drawing.marks import attach_hover_texts
from analysis.drawing.style import project_style
from analysis.exhibit import Exhibit
from analysis.page.figure_export import FigureExporter
from analysis.page.figure_process import pickle_drawer, render_figure
from analysis.page.sections import SECTIONS, combination_exhibits, combinations


def drawn(words: str = "plain") -> Figure:
    with project_style():
        figure = Figure(layout="constrained", figsize=(3, 2))
        axes = figure.subplots()
        attach_hover_texts(
            axes.errorbar([0, 2.3], [1, 2], yerr=[0.1, 0.2], label="gmp"), ["a\n1", "b\n2"]
        )
        set_sparsity_axis(axes.xaxis, [0, 0.9])
        axes.set_title(words)
    return figure


def broken() -> Figure:
    """A figure whose text is no mathematics, which only rendering finds out."""
    figure = drawn()
    figure.axes[0].set_title("$\\frac{$", parse_math=True)
    return figure


def unknown() -> Figure:
    raise KeyError("no such column")


def unnamed() -> Figure:
    """A figure whose positions have no names, which only its interactive form asks for."""

    def name_position(position: float) -> str:
        raise ValueError("no such mark")

    figure = Figure()
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1])
    axes.fmt_xdata = name_position  # type: ignore[assignment]
    return figure


@pytest.fixture(scope="module")
def exporter() -> Iterator[FigureExporter]:
    with FigureExporter(max_without_process=0) as started:
        yield started


def test_the_second_process_renders_the_same_files_and_interactive_figure(
    exporter: FigureExporter, tmp_path: Path
) -> None:
    job = exporter.order(drawn, tmp_path / "figure")
    # `result` of the job would render it here meanwhile.
    found = job.remote.result()  # type: ignore[union-attr]
    here = render_figure(drawn)
    assert found.files == here.files
    assert (found.width, found.height, found.interactive) == (
        here.width,
        here.height,
        here.interactive,
    )
    assert job.result() is found
    exporter.finish()
    assert {file.suffix: file.read_bytes() for file in tmp_path.iterdir()} == {
        f".{kind}": whole for kind, whole in here.files.items()
    }


def test_errors_and_warnings_of_the_second_process_come_back(
    exporter: FigureExporter, tmp_path: Path
) -> None:
    job = exporter.order(partial(drawn, "\N{SNOWMAN}\U0001f980"), tmp_path / "figure")
    with pytest.raises(UserWarning, match="Glyph"):
        job.remote.result()  # type: ignore[union-attr]
    for fault, error, text in (
        (broken, ValueError, "Parse"),
        (unknown, KeyError, "no such column"),
    ):
        job = exporter.order(fault, tmp_path / "figure")
        with pytest.raises(error, match=text):
            job.remote.result()  # type: ignore[union-attr]
        exporter.finish()
        with pytest.raises(error, match=text):
            job.result()
    assert list(tmp_path.iterdir()) == []


def test_a_figure_that_cannot_be_sent_or_answered_is_rendered_here(tmp_path: Path) -> None:
    with FigureExporter(max_without_process=0) as exporter:
        assert exporter.order(lambda: drawn("plain"), tmp_path / "lambda").remote is None
        job = exporter.order(drawn, tmp_path / "figure")
        child = exporter.process
        assert child is not None
        child.kill()
        with pytest.raises((EOFError, BrokenPipeError)):
            job.remote.result()  # type: ignore[union-attr]
        exporter.finish()
        assert job.result().files == render_figure(drawn).files
    assert child.has_ended
    assert len(list(tmp_path.iterdir())) == 6


def test_few_figures_start_no_process_and_a_program_that_embeds_python_never_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FigureExporter(max_without_process=1) as exporter:
        exporter.order(drawn, tmp_path / "a")
        assert exporter.process is None
        monkeypatch.setattr(sys, "frozen", True, raising=False)
        exporter.order(drawn, tmp_path / "b")
        assert exporter.process is None
        exporter.finish()
    assert len(list(tmp_path.iterdir())) == 6


def test_waiting_figures_go_to_the_second_process_with_the_first_one_too_many(
    tmp_path: Path,
) -> None:
    with FigureExporter(max_without_process=2) as exporter:
        jobs = [exporter.order(drawn, tmp_path / name) for name in "abcd"]
        assert len({job.remote for job in jobs} - {None}) == 4
        exporter.finish()
    assert len(list(tmp_path.iterdir())) == 12


def test_settings_of_the_process_change_no_figure() -> None:
    plain = render_figure(drawn)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        assert render_figure(drawn).files == plain.files


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with FigureExporter() as exporter:
        exporter.write(tmp_path / "file" / "a.csv", lambda: "a")
        with pytest.raises(OSError, match="file"):
            exporter.finish()


SCRIPT = """
import os, signal
from pathlib import Path
from analysis.page.figure_export import FigureExporter
from matplotlib.figure import Figure
print("ran", flush=True)
exporter = FigureExporter(max_without_process=0)
exporter.order(Figure, Path("figure")).remote.result()
print(exporter.process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.cluster
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
    """True if a process runs; one that has ended and was not waited for does not."""
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
                    assert pickle_drawer(found.draw) is not None, found.name


def test_a_png_has_150_pixels_per_inch() -> None:
    width, height = struct.unpack(">II", render_files(drawn())["png"][16:24])
    assert (width, height) == (450, 300)  # 3 x 2 inches


def test_a_figure_that_cannot_become_interactive_is_rendered_all_the_same() -> None:
    with pytest.warns(RuntimeWarning, match="no such mark"):
        found = render_figure(unnamed)
    assert found.interactive is None and set(found.files) == {"pdf", "png", "svg"}
