"""`docs/clusters.md`: its commands are of the command line, and its SLURM script does what the page
says.

There is no SLURM here: its commands, Ray's and the study are stand-ins that write down how they
were called.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from sparsetune.cli.main import build_parser

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "clusters.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
(SCRIPT,) = (text for language, text in BLOCKS if language == "bash")
TYPED = re.findall(
    r"^sparsetune .*$|(?<=`)sparsetune [^`]+(?=`)", PAGE.replace("\\\n", " "), re.MULTILINE
)
COMMANDS = [line for line in TYPED if line not in ("sparsetune status", "sparsetune doctor")]
"""Those with arguments; two are named in the text alone."""
STAND_INS = {
    "scontrol": '[[ $1 == show ]] && printf "one\\ntwo\\n"',
    "srun": '[[ $* == *hostname* ]] && echo "10.0.0.1 fe80::1"',
    "ray": 'printf "Active:\\n 1 node_a\\n 1 node_b\\nPending:\\n"',
    "sleep": "exit 0",
    "sparsetune": 'until [[ -e leave ]]; do command -p sleep 0.02; done; exit "$(<leave)"',
}
JOB = {
    "SLURM_JOB_ID": "4321",
    "SLURM_JOB_NODELIST": "n[1-2]",
    "SLURM_NNODES": "2",
    "SLURM_CPUS_PER_TASK": "4",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_understood(command: str) -> None:
    words = [word for word in shlex.split(command, comments=True) if word != "&"]
    parsed = build_parser().parse_args(words[1:])
    if study := getattr(parsed, "study", None):
        assert (ROOT / (study.replace(".", "/") + ".py")).is_file()


def test_every_place_has_its_commands() -> None:
    assert len(COMMANDS) >= 12
    assert {"doctor", "preview", "run", "resume", "status", "report"} <= {
        line.split()[1] for line in COMMANDS
    }


@pytest.mark.parametrize("text", [text for language, text in BLOCKS if language in ("sh", "bash")])
def test_a_block_is_valid_shell(text: str) -> None:
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def job(tmp_path: Path) -> subprocess.Popen[str]:
    """The script as a job of two nodes, its study running."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").touch()
    for name, body in STAND_INS.items():
        file = tmp_path / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f'#!/bin/bash\ntrap "exit 130" USR1\necho "{name} $*" >> calls\n{body}\n')
        file.chmod(0o755)
    (tmp_path / "study.sbatch").write_text(SCRIPT)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    process = subprocess.Popen(
        ["bash", "study.sbatch"], cwd=tmp_path, env={**os.environ, **JOB, "PATH": path}, text=True
    )
    deadline = time.monotonic() + 30
    while len(_starts(tmp_path)) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    return process


def _starts(folder: Path) -> list[str]:
    """Head, workers, study; they are started beside each other."""
    return [call for call in _calls(folder) if "ray start" in call or call.startswith("sparsetune")]


def _calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines() if (folder / "calls").exists() else []


def test_a_signalled_job_stops_its_study_and_queues_itself_again(
    job: subprocess.Popen[str], tmp_path: Path
) -> None:
    job.send_signal(signal.SIGUSR1)
    assert job.wait(timeout=30) == 130
    assert "scontrol requeue 4321" in _calls(tmp_path)


@pytest.mark.parametrize("status", [0, 1, 2])
def test_a_job_whose_study_ends_is_over(
    job: subprocess.Popen[str], tmp_path: Path, status: int
) -> None:
    (tmp_path / "leave").write_text(str(status))
    assert job.wait(timeout=30) == status
    assert [call for call in _calls(tmp_path) if "requeue" in call] == []


def test_head_workers_and_study_share_one_address(
    job: subprocess.Popen[str], tmp_path: Path
) -> None:
    (tmp_path / "leave").write_text("0")
    job.wait(timeout=30)
    head, workers, study = sorted(
        _starts(tmp_path), key=lambda call: (not call.startswith("srun"), "--head" not in call)
    )
    assert "--nodelist=one" in head and "--head --node-ip-address=10.0.0.1 --port=24321" in head
    assert "--nodes=1 --ntasks=1 --exclude=one ray start --address=10.0.0.1:24321" in workers
    assert "--num-cpus=4 --num-gpus=0" in head and "--num-cpus=4 --num-gpus=0" in workers
    assert "--address 10.0.0.1:24321 --storage /shared/runs" in study
