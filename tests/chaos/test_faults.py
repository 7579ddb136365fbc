"""One study, every fault: five times its driver, then a worker and a node are killed, and its files
are damaged.

Each launch resumes from the directory alone. Nothing is lost, nothing runs twice, no number
changes.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.chaos import PATIENCE, Chaos, parent
from tests.integration.runs import trials
from tests.ledger_records import plain_records

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2 * PATIENCE)]


def refuse_a_second_driver(study: Chaos) -> None:
    second = study.start()
    output, _ = second.communicate(timeout=PATIENCE)
    assert second.returncode == 2, output
    assert (
        f"is being run by another process (pid {study.driver.pid} on " in output
        and "Traceback" not in output
    )
    assert study.driver.poll() is None
    study.count("second driver")


def kill_worker(study: Chaos) -> str:
    """Kill a process that trains; the same launch tries its trial again, and says why."""
    pid, state = study.wait(lambda: list(study.running().items()))[-1]
    os.kill(pid, signal.SIGKILL)
    study.count("worker killed")
    return str(state.use.trial_id)


def kill_node(study: Chaos, cluster: Any, node: Any) -> str:
    """Kill a node while one of its workers trains; its trial goes on elsewhere."""
    raylet = node.all_processes["raylet"][0].process.pid

    def on_node() -> list[str]:
        running = study.running().items()
        return [state.use.trial_id for pid, state in running if parent(pid) == raylet]

    (trial_id,) = study.wait(on_node)[:1]
    cluster.remove_node(node, allow_graceful=False)
    study.count("node killed")
    return str(trial_id)


def starts(study: Chaos, trial_id: str) -> list[dict[str, Any]]:
    records = plain_records(study.directory / "ledger")
    return [r for r in records if r["type"] == "started" and r["trial_id"] == trial_id]


def test_a_study_survives_every_fault(tmp_path: Path, cluster: Any) -> None:
    study = Chaos(tmp_path, cluster.address)
    study.launch(own_ray=True)
    study.wait(lambda: study.reports() >= 60 and study.running())
    study.kill_driver()

    study.launch()
    study.wait(study.holds)
    refuse_a_second_driver(study)
    study.wait(lambda: study.reports() >= 140 and study.running())
    study.kill_driver()
    study.workers_end()
    study.tear_last_record()

    study.launch()
    study.wait(lambda: study.reports() >= 220 and study.running())
    study.wait(
        lambda: any(
            len(list(f.glob("checkpoint-*.pt"))) > 1 for f in study.directory.glob("trials/*/*")
        )
    )
    study.kill_driver()
    study.workers_end()
    truncated, step = study.truncate_newest_checkpoint()
    before = len(starts(study, truncated))

    study.launch()
    study.wait(
        lambda: (
            study.reports() >= 290 and study.running() and len(starts(study, truncated)) > before
        )
    )
    assert starts(study, truncated)[before]["resumed_from_step"] == step
    study.kill_driver()

    study.launch()
    retried = kill_worker(study)
    study.wait(lambda: "reason" in starts(study, retried)[-1])
    study.wait(lambda: study.reports() >= 360 and study.running())
    study.kill_driver()

    node = cluster.add_node(num_cpus=2)
    study.launch("--cpus-per-trial", "1.5")
    moved = kill_node(study, cluster, node)
    counts = study.finish()
    assert (
        starts(study, moved)[-1]["reason"] and trials(study.directory)[moved].status == "COMPLETE"
    )
    print(json.dumps(counts))
    assert counts["driver killed"] == 5 and counts["of them mid-ramp"] > 0
