"""Draws the figures of a report in a second process and writes its files in a thread, while the analyses go on.

The process is no child of `multiprocessing`: that would run a user's script once more where it has no guard, or fork a
process that has threads. It reads pickled drawers from its standard input and answers on its standard output, and ends
with the process that started it, since then its input ends.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from analysis.drawing.files import render_files
from analysis.page.interactive.figure import PlotlyFigure, to_plotly
from sparsetune.paths import Place
from sparsetune.storage import write_durably

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AT_ONCE = 3
"""Figures up to which none is handed over: the start of a process takes as long as to print so many."""
Drawer = Callable[[], "Figure"]
"""Makes a figure when asked."""
ONE_THREAD_ENVIRONMENT = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


@dataclass(frozen=True)
class RenderedFigure:
    """A figure, laid out.

    Args:
        files: What it is as ``pdf``, ``png`` and ``svg``.
        width: In pixels of a page.
        height: The same.
        interactive: What makes it interactive, where it can be.
    """

    files: Mapping[str, bytes]
    width: int
    height: int
    interactive: PlotlyFigure | None


def render_figure(drawer: Drawer) -> RenderedFigure:
    """Draw a figure, lay it out and print it, whatever settings of matplotlib this process has.

    Where it cannot be made interactive for a fault of ours, it stays as drawn.
    """
    import matplotlib

    settings = {
        name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"
    }
    with matplotlib.rc_context(cast("Any", settings)):
        figure = drawer()
        files = render_files(figure)
        width, height = (round(96 * inches) for inches in figure.get_size_inches())
        try:
            live = to_plotly(figure)
        except Exception as error:  # days of training must not end without a page
            text = f"a figure stays as drawn, for a fault of sparsetune: {error!r}"
            warnings.warn(text, RuntimeWarning, stacklevel=2)
            live = None
    return RenderedFigure(files, width, height, live)


class FigureJob:
    """A figure that is printed, or will be.

    Args:
        drawer: Makes the figure.
        keep: Told once what came of it.
    """

    def __init__(self, drawer: Drawer, keep: Callable[[RenderedFigure], None]) -> None:
        self._drawer = drawer
        self._keep = keep
        self._future: Future[RenderedFigure] | None = None
        self._done: RenderedFigure | Exception | None = None

    def sent(self, asker: ThreadPoolExecutor, ask: Callable[[bytes], RenderedFigure]) -> None:
        """Let the second process print it, where it can be sent."""
        if job := _pickle_drawer(self._drawer):
            self._future = asker.submit(self._kept, lambda: ask(job))

    def result(self) -> RenderedFigure:
        """What came of it; printed here where the second process has not begun with it, or is gone.

        Raises:
            Exception: the same each time, that drawing or printing met.
        """
        if self._done is None:
            self._done = self._await_answer()
        if isinstance(self._done, Exception):
            raise self._done
        return self._done

    def _await_answer(self) -> RenderedFigure | Exception:
        try:
            if self._future and not self._future.cancel():
                with suppress(EOFError, BrokenPipeError):
                    return self._future.result()
            return self._kept(lambda: render_figure(self._drawer))
        except Exception as error:
            return error

    def _kept(self, make: Callable[[], RenderedFigure]) -> RenderedFigure:
        found = make()
        self._keep(found)
        return found


class FigureExporter:
    """Prints and writes while its caller goes on; leaving its ``with`` block ends the process and the threads.

    Args:
        at_once: Figures that wait until `finish`; with the next one a second process is started for all. With 0 it
            is started before the first, to be ready by then.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._child: subprocess.Popen[bytes] | None = None
        self._orders: list[FigureJob] = []
        self._written: list[Future[None]] = []
        self._asker = ThreadPoolExecutor(1)
        self._writer = ThreadPoolExecutor(1)

    def __enter__(self) -> FigureExporter:
        if not self._at_once:
            self._started()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._child:
            self._child.kill()
        self._asker.shutdown(cancel_futures=True)
        self._writer.shutdown(cancel_futures=True)
        if self._child:
            with self._child:  # closes its pipes and waits
                pass

    def write(self, path: Place, contents: Callable[[], str | bytes]) -> None:
        """Write a file, made when its turn comes."""
        self._written.append(self._writer.submit(lambda: write_durably(path, contents())))

    def order(self, drawer: Drawer, stem: Place) -> FigureJob:
        """Print a figure into ``stem`` as .pdf, .png and .svg; nobody may change any more what it is drawn from."""

        def keep(found: RenderedFigure) -> None:
            for kind, whole in found.files.items():
                self.write(stem.with_suffix(f".{kind}"), lambda whole=whole: whole)  # type: ignore[misc]

        self._orders.append(FigureJob(drawer, keep))
        if len(self._orders) > self._at_once and self._started():
            for order in self._orders[-1 if len(self._orders) > self._at_once + 1 else 0 :]:
                order.sent(self._asker, self._request_figure)
        return self._orders[-1]

    def finish(self) -> None:
        """Wait until all is printed and written; what is left is shared with the second process, from both ends.

        Raises:
            Exception: the first that writing met; an order raises itself what drawing met.
        """
        for order in reversed(self._orders):
            with suppress(Exception):
                order.result()
        for written in self._written:
            written.result()

    def _started(self) -> bool:
        if self._child is None and _can_start_process():
            found = os.pathsep.join(path or os.getcwd() for path in sys.path)
            environment = {**os.environ, **ONE_THREAD_ENVIRONMENT, "PYTHONPATH": found}
            command = [
                sys.executable,
                "-P",
                "-c",
                "from analysis.page.printer import serve; serve()",
            ]
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            try:  # in a session of its own: an interrupt from the keyboard is its parent's to handle
                self._child = subprocess.Popen(
                    command, env=environment, start_new_session=True, **pipes
                )
            except OSError:
                self._at_once = sys.maxsize
        return self._child is not None

    def _request_figure(self, job: bytes) -> RenderedFigure:
        """In the thread: one figure's answer.

        Raises:
            EOFError: if the process is gone, as BrokenPipeError.
            Exception: what printing raised.
        """
        assert self._child and self._child.stdin and self._child.stdout
        self._child.stdin.write(job)
        self._child.stdin.flush()
        found, warned = pickle.load(self._child.stdout)
        for warning in warned:
            warnings.warn(warning, stacklevel=2)
        if isinstance(found, Exception):
            raise found
        return cast("RenderedFigure", found)


def _can_start_process() -> bool:
    """Whether this is Python, and not a program that has it inside and would start once more."""
    name = Path(sys.executable or "").name.lower()
    return name.startswith(("python", "pypy")) and not getattr(sys, "frozen", False)


def _pickle_drawer(drawer: Drawer) -> bytes | None:
    """A drawer as it can be sent; None where something in it cannot."""
    try:
        return pickle.dumps(drawer, pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError):
        return None


def serve() -> None:
    """Answer on standard output each drawer that comes on standard input, until that ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else prints must not stand between answers
    while True:
        try:
            drawer = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        answers.write(_answer(drawer))
        answers.flush()


def _answer(drawer: Drawer) -> bytes:
    found: RenderedFigure | Exception
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            found = render_figure(drawer)
        except Exception as error:  # the one who ordered the figure raises it
            found = error
    said = [warning.message for warning in warned]
    try:
        return pickle.dumps((found, said), pickle.HIGHEST_PROTOCOL)
    except Exception:
        return pickle.dumps((RuntimeError(repr(found)), []))
