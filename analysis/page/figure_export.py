"""Renders a report's figures in a second process and writes its files in a thread.

Meanwhile the analyses continue in the calling thread.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType

from sparsetune.paths import Place
from sparsetune.storage import write_durably

from .figure_process import (
    FigureDrawer,
    FigureProcess,
    RenderedFigure,
    can_start_process,
    pickle_drawer,
    render_figure,
)

MAX_FIGURES_WITHOUT_PROCESS = 3
"""Figures that are rendered here: starting a process takes as long as rendering so many."""


class FigureJob:
    """One figure to render, in the second process or here.

    Args:
        drawer: Makes the figure.
        on_rendered: Called once with the rendered figure, in the thread that received it.
    """

    def __init__(self, drawer: FigureDrawer, on_rendered: Callable[[RenderedFigure], None]) -> None:
        self._drawer = drawer
        self._on_rendered = on_rendered
        self._outcome: RenderedFigure | Exception | None = None
        self.remote: Future[RenderedFigure] | None = None
        """Answer of the second process; None if the figure was not sent there."""

    def send(self, threads: ThreadPoolExecutor, process: FigureProcess) -> None:
        """Let the second process render the figure, if its drawer can be pickled.

        Args:
            threads: Where to wait for the answer.
            process: The second process.
        """
        pickled_drawer = pickle_drawer(self._drawer)
        if pickled_drawer is not None:
            self.remote = threads.submit(self._render_in, process, pickled_drawer)

    def result(self) -> RenderedFigure:
        """Wait for the figure; render it here if the second process has not begun, or has ended.

        Raises:
            Exception: what drawing or rendering raised; the same one each time.
        """
        if self._outcome is None:
            self._outcome = self._wait()
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    def _wait(self) -> RenderedFigure | Exception:
        """The figure, or what drawing or rendering it raised."""
        try:
            if self.remote and not self.remote.cancel():
                with suppress(EOFError, BrokenPipeError):
                    return self.remote.result()
            return self._render_here()
        except Exception as error:
            return error

    def _render_here(self) -> RenderedFigure:
        found = render_figure(self._drawer)
        self._on_rendered(found)
        return found

    def _render_in(self, process: FigureProcess, pickled_drawer: bytes) -> RenderedFigure:
        found = process.render(pickled_drawer)
        self._on_rendered(found)
        return found


class FigureExporter:
    """Renders figures and writes files in the background, inside a ``with`` block.

    Leaving the block ends the second process and the threads.

    Args:
        max_without_process: Figures up to which no second process is started; with the next one it
            is, and all are sent. With 0 it starts before the first figure, to be ready by then.
    """

    def __init__(self, max_without_process: int = MAX_FIGURES_WITHOUT_PROCESS) -> None:
        self.process: FigureProcess | None = None
        """The second process, once it is started."""
        self._max_without_process = max_without_process
        self._jobs: list[FigureJob] = []
        self._written: list[Future[None]] = []
        self._receiver = ThreadPoolExecutor(1)
        self._writer = ThreadPoolExecutor(1)

    def __enter__(self) -> FigureExporter:
        if self._max_without_process == 0:
            self._start_process()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process:
            # Killed first, or its thread would wait until the figure in progress is rendered.
            self.process.kill()
        self._receiver.shutdown(cancel_futures=True)
        self._writer.shutdown(cancel_futures=True)
        if self.process:
            self.process.close()

    def write(self, path: Place, make_contents: Callable[[], str | bytes]) -> None:
        """Write a file in the background.

        Args:
            path: The file.
            make_contents: Called in the writing thread, when the file's turn comes.
        """
        self._written.append(self._writer.submit(lambda: write_durably(path, make_contents())))

    def order(self, drawer: FigureDrawer, stem: Place) -> FigureJob:
        """Render a figure into ``stem`` as .pdf, .png and .svg, in the background.

        Args:
            drawer: Makes the figure; nothing that it reads may change from now on.
            stem: Path of the files without a suffix.
        """

        def write_files(rendered: RenderedFigure) -> None:
            for kind, contents in rendered.files.items():
                self._write_bytes(stem.with_suffix(f".{kind}"), contents)

        job = FigureJob(drawer, write_files)
        self._jobs.append(job)
        waiting = len(self._jobs) - self._max_without_process
        if waiting >= 1 and self._start_process():
            # The first figure too many takes along those that waited for it.
            self._send(self._jobs if waiting == 1 else [job])
        return job

    def finish(self) -> None:
        """Wait until every figure is rendered and every file written.

        Figures that the second process has not begun are rendered here from the last one backwards,
        while it continues from the first one onwards.

        Raises:
            Exception: the first that writing met. What drawing met is raised by each job's result.
        """
        for job in reversed(self._jobs):
            with suppress(Exception):
                job.result()
        for written in self._written:
            written.result()

    def _write_bytes(self, path: Place, contents: bytes) -> None:
        self.write(path, lambda: contents)

    def _send(self, jobs: list[FigureJob]) -> None:
        assert self.process is not None
        for job in jobs:
            job.send(self._receiver, self.process)

    def _start_process(self) -> bool:
        """Start the second process if it does not run. Returns False if there can be none."""
        if self.process is None and can_start_process():
            try:
                self.process = FigureProcess()
            except OSError:
                # Not tried again for every figure.
                self._max_without_process = sys.maxsize
        return self.process is not None
