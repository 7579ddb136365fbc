"""What it takes to go on with a long study: every part between `launch` and its first new trial,
and memory.

    python -m tests.benchmarks.resume_cost FOLDER    a study that lies there, part by part, as JSON

The study is one cell whose trials have all ended, extended by one configuration. Each measure is a
process of its own.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from sparsetune import LogUniform, ScheduleSpec, Study, TrialSpec
from sparsetune.search.planner import Planner
from sparsetune.storage import StudyDirectory
from sparsetune.storage.ledger import Ledger, read_records
from sparsetune.storage.records import Ended, Extended, Proposed, Record, Report, Started
from sparsetune.storage.trial_state import TrialState, apply_record, fold_records
from tests.benchmarks.ledger_cost import report_rows
from tests.benchmarks.mask_update import resident
from tests.benchmarks.rows import Row

REPORTS = 20
"""Of each trial."""
RESUME_SECONDS = 10.0
"""From `launch` to the first new trial, beyond starting Ray and a worker."""
SIZES = [1000, 5000]
ROOT = Path(__file__).parents[2]
WHOLE = "all of them"
LAUNCHED = "a real launch, to its first new trial proposed"


def resume_rows(rounds: int, *, launches: bool = True) -> list[Row]:
    """Seconds of each part, and of a launch with Ray; memory is what a process has grown by since
    its imports.
    """
    rows = []
    for trials in SIZES:
        with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".benchmark-") as folder:
            home = write_study(Path(folder), trials)
            measured = [_measure(home.path) for _ in range(rounds)]
            if launches:
                measured[0] |= _measure(home.path, "--launch")
        title = f"going on with {trials:,} trials of {REPORTS} reports each"
        rows += [_row(title, name, measured) for name in measured[0]]
    return rows


def _row(title: str, name: str, measured: list[dict[str, tuple[float, float]]]) -> Row:
    seconds, mebibytes = zip(*(one[name] for one in measured if name in one), strict=True)
    limit = RESUME_SECONDS if name in (WHOLE, LAUNCHED) else None
    return Row(title, name, seconds, at_most=limit, notes={"mebibytes": max(mebibytes)})


def _measure(path: Path, *how: str) -> dict[str, tuple[float, float]]:
    command = [sys.executable, "-m", "tests.benchmarks.resume_cost", str(path), *how]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    done = subprocess.run(
        command, check=True, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    return {name: (taken, grown) for name, taken, grown in json.loads(done.stdout.splitlines()[-1])}


def study(trials: int) -> Study:
    """One dense cell: all but one trial search, and one is a report."""
    return Study(
        name="long",
        base=TrialSpec(schedule=ScheduleSpec(epochs=REPORTS)),
        search={"optim.lr": LogUniform(0.01, 0.5), "optim.weight_decay": LogUniform(1e-6, 1e-2)},
        configurations_per_cell=trials - 1,
        report_seeds=1,
    )


def write_study(folder: Path, trials: int) -> StudyDirectory:
    """A finished study, as its driver would have written it, with the reports of one real trial in
    every one.
    """
    home = StudyDirectory(folder / "long")
    states = dict[str, TrialState]()
    home.create(study(trials))
    home.record_launch({"time": time.time()})
    rows = report_rows(REPORTS)
    planner = new_planner(home.study(), states)
    with closing(Ledger(home.ledger)) as segment:
        while use := planner.next()[0]:
            records = [
                use.record(),
                *_life(use.trial_id, rows, error=0.1 + 0.001 * (len(states) % 97)),
            ]
            for record in records:
                apply_record(states, record)
            segment.append(*records)
            planner.ended(use.trial_id)
    assert len(states) == trials
    return home


def _life(trial_id: str, rows: list[Report], error: float) -> list[Record]:
    names = {"trial_id": trial_id, "attempt": 1}
    start = Started(**names, resumed_from_step=0, pid=1, host="h", device="cpu", threads=1)
    reports = [Report(**names, row={**row.row, "val_error": error}) for row in rows]
    return [start, *reports, Ended(**names, status="COMPLETE", certified=True)]


def new_planner(
    study: Study, states: dict[str, TrialState], journal: Path | None = None
) -> Planner:
    """A planner with an Optuna journal of its own."""
    from sparsetune.search.journal import SearchJournal
    from sparsetune.search.sampling.points import quiet_optuna

    quiet_optuna()
    return Planner(study, states, SearchJournal(journal, study, study.cells()))


class Parts:
    """Runs parts one after the other; keeps a name, seconds and the growth of memory, in MiB, for
    each.
    """

    def __init__(self) -> None:
        gc.collect()
        self.taken: list[tuple[str, float, float]] = []
        self._start = time.perf_counter()
        self._before = resident("VmRSS")

    def run(self, name: str, work: Callable[[], Any]) -> Any:
        """What ``work`` gives."""
        start = time.perf_counter()
        before = resident("VmRSS")
        result = work()
        self.taken.append((name, time.perf_counter() - start, (resident("VmRSS") - before) / 2**20))
        return result

    def whole(self, name: str) -> None:
        """All since the beginning, as one more part."""
        self.taken.append(
            (name, time.perf_counter() - self._start, (resident("VmRSS") - self._before) / 2**20)
        )


def by_parts(home: StudyDirectory) -> list[tuple[str, float, float]]:
    """What a launch does before its first new trial, without writing to the study; imports come
    before.
    """
    from sparsetune.launch.preflight import require_runnable

    require_runnable(home.study())  # torch imports some of itself when it is first used
    journal = home.path.parent / "search.journal"
    parts = Parts()
    declared = parts.run("check the declaration", lambda: require_runnable(home.study()))
    records = parts.run("read the ledger", lambda: read_records(home.ledger))
    longer = declared.extended([*records, Extended(configurations_per_cell=1)])
    states = parts.run("fold its records", lambda: fold_records(records))
    planner = parts.run(
        "planner and Optuna's journal", lambda: new_planner(longer, states, journal)
    )
    use, _ = parts.run("name the new trial", planner.next)
    assert use is not None and use.trial_id not in states
    parts.whole(WHOLE)
    return parts.taken


def by_launch(home: StudyDirectory) -> list[tuple[str, float, float]]:
    """Extend the study for real, in a Ray that runs already."""
    import ray

    from sparsetune.launch.extension import Extension
    from sparsetune.launch.launch import Options, launch

    environment = {"env_vars": {"PYTHONPATH": str(ROOT)}}
    ray.init(
        address="local",
        num_cpus=1,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env=environment,
    )
    gc.collect()
    began = time.time()
    before = resident("VmRSS")
    launch(
        home.study(),
        Options(home.path.parent, quiet=True),
        extend=Extension(configurations_per_cell=1),
    )
    grown = (resident("VmHWM") - before) / 2**20
    ray.shutdown()
    records = read_records(home.ledger)
    proposed = [record.time for record in records if isinstance(record, Proposed)]
    return [(LAUNCHED, min(time for time in proposed if time > began) - began, grown)]


def main() -> None:
    """Measure once; the study stays as it is unless it is launched."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.resume_cost")
    parser.add_argument("study", type=Path)
    parser.add_argument("--launch", action="store_true")
    given = parser.parse_args()
    home = StudyDirectory(given.study)
    print(json.dumps(by_launch(home) if given.launch else by_parts(home)))


if __name__ == "__main__":
    main()
