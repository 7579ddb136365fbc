"""Second process that draws a report's figures, and what it and its parent send each other.

`concurrent.futures.ProcessPoolExecutor` cannot do this: its children import a user's script once
more, which breaks scripts without an ``if __name__ == "__main__"`` guard, and they outlive a parent
that is killed. This process imports nothing but the package, and ends when its standard input does,
which is when its parent ends in whatever way.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..drawing.files import render_files
from .interactive.figure import PlotlyFigure, to_plotly

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FigureDrawer = Callable[[], "Figure"]
"""Function that makes a figure; it can be sent to the second process if it can be pickled."""
CSS_PIXELS_PER_INCH = 96
ONE_THREAD_ENVIRONMENT = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
SERVER_CODE = (
    "from sparsetune.import_path import load_analysis_as;"
    # Under this process's name for it: what is pickled here names modules, and a project may have
    # another `analysis`.
    f" load_analysis_as({__name__.removesuffix('.page.figure_process')!r});"
    f" from {__name__} import serve; serve()"
)


@dataclass(frozen=True)
class RenderedFigure:
    """A figure, laid out and rendered.

    Args:
        files: Contents of its files by kind: ``pdf``, ``png`` and ``svg``.
        width: Width in CSS pixels.
        height: Height in CSS pixels.
        interactive: The figure for Plotly; None if it can only be shown as drawn.
    """

    files: Mapping[str, bytes]
    width: int
    height: int
    interactive: PlotlyFigure | None


def render_figure(drawer: FigureDrawer) -> RenderedFigure:
    """Draw a figure and render its files, unaffected by this process's settings of matplotlib.

    Warns:
        RuntimeWarning: if a defect of ours keeps the figure from becoming interactive.
    """
    import matplotlib

    settings = dict(matplotlib.rcParamsDefault)
    # The backend belongs to the process: setting it would load a window system or close figures.
    del settings["backend"]
    with matplotlib.rc_context(cast("Any", settings)):
        figure = drawer()
        files = render_files(figure)
        width, height = figure.get_size_inches()
        try:
            interactive = to_plotly(figure)
        except Exception as error:
            # Days of training must not end without a page.
            text = f"a figure stays as drawn, for a fault of sparsetune: {error!r}"
            warnings.warn(text, RuntimeWarning, stacklevel=2)
            interactive = None
    return RenderedFigure(
        files,
        round(CSS_PIXELS_PER_INCH * width),
        round(CSS_PIXELS_PER_INCH * height),
        interactive,
    )


def pickle_drawer(drawer: FigureDrawer) -> bytes | None:
    """A drawer as bytes for the second process; None if something in it cannot be pickled."""
    try:
        return pickle.dumps(drawer, pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError):
        return None


def can_start_process() -> bool:
    """True if `sys.executable` is Python.

    A program that embeds Python would start itself once more.
    """
    name = Path(sys.executable or "").name.lower()
    is_frozen = getattr(sys, "frozen", False)
    return name.startswith(("python", "pypy")) and not is_frozen


class FigureProcess:
    """A running second process, which renders one figure at a time.

    Raises:
        OSError: if the process cannot be started.
    """

    def __init__(self) -> None:
        # What the parent can import, the pickled drawers may name.
        search_path = os.pathsep.join(path or os.getcwd() for path in sys.path)
        environment = {**os.environ, **ONE_THREAD_ENVIRONMENT, "PYTHONPATH": search_path}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", SERVER_CODE],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # An interrupt from the keyboard goes to the parent alone, which ends this process.
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """True if the process has ended and was waited for."""
        return self._process.returncode is not None

    def render(self, pickled_drawer: bytes) -> RenderedFigure:
        """Send a drawer and wait for its figure.

        Raises:
            EOFError: if the process has ended before it answered.
            BrokenPipeError: if the process has ended before it was asked.
            Exception: what drawing or rendering raised.
        """
        process = self._process
        assert process.stdin and process.stdout
        process.stdin.write(pickled_drawer)
        process.stdin.flush()
        answer, warned = pickle.load(process.stdout)
        # Given here, they are subject to the parent's filters.
        for warning in warned:
            warnings.warn(warning, stacklevel=2)
        if isinstance(answer, Exception):
            raise answer
        return cast("RenderedFigure", answer)

    def kill(self) -> None:
        """End the process at once; a `render` in another thread raises."""
        self._process.kill()

    def close(self) -> None:
        """Close the pipes and wait until the process has ended."""
        # A process that ended on its own leaves what it was sent last in the pipe's buffer.
        with suppress(BrokenPipeError), self._process:
            pass


def serve() -> None:
    """Answer each pickled drawer on standard input with a figure on standard output, until EOF."""
    answers = os.fdopen(os.dup(1), "wb")
    # Anything else that prints to standard output would corrupt the answers.
    os.dup2(2, 1)
    while True:
        try:
            drawer = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answers.write(_answer(drawer))
            answers.flush()
        except BrokenPipeError:
            os._exit(1)  # the parent was killed: nobody is left to read an answer, or a traceback


def _answer(drawer: FigureDrawer) -> bytes:
    """Pickled pair of a figure, or of the exception met, and the warnings given meanwhile."""
    found: RenderedFigure | Exception
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            found = render_figure(drawer)
        except Exception as error:
            # The parent raises it, where the figure was ordered.
            found = error
    messages = [warning.message for warning in warned]
    try:
        return pickle.dumps((found, messages), pickle.HIGHEST_PROTOCOL)
    except Exception:
        # Some exceptions and warnings cannot be pickled.
        return pickle.dumps((RuntimeError(repr(found)), []))
