"""Facts of the machine: with what Linux says, and without."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sparsetune import machine

NO_PROC = Path("no", "such", "folder")


def test_the_cpus_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 5, 6}, raising=False)
    assert machine.usable_cpus() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    assert machine.usable_cpus() == 12
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine.usable_cpus() == 1


def test_the_ram_of_a_container_counts_without_the_pages_of_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "PROC", tmp_path)
    monkeypatch.setattr(machine, "CGROUP", tmp_path / "none")
    whole = machine.ram_bytes()
    assert machine.available_ram_bytes() is None, "a system that does not say what is free"
    (tmp_path / "meminfo").write_text("MemTotal:  900 kB\nMemAvailable:  500 kB\n")
    assert machine.available_ram_bytes() == 500 * 1024
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("300000\n")
    (tmp_path / "memory.current").write_text("200000\n")
    (tmp_path / "memory.stat").write_text("anon 90000\nfile 100000\nshmem 10000\n")
    assert machine.available_ram_bytes() == 300_000 - 200_000 + 90_000
    assert machine.ram_bytes() == 300_000 < whole
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.available_ram_bytes() == 500 * 1024
    assert machine.ram_bytes() == whole


@pytest.mark.parametrize("proc", [machine.PROC, NO_PROC], ids=["proc", "ps"])
def test_when_a_process_started(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PROC", proc)
    with subprocess.Popen(["sleep", "60"]) as process:
        start = machine.process_start(process.pid)
        assert start and start == machine.process_start(process.pid)
        assert start != machine.process_start(1)
        process.kill()
        time.sleep(0.2)
        assert machine.process_start(process.pid) is None, "dead, and nobody waited for it"
    assert machine.process_start(process.pid) is None


def test_names_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.machine_id() != machine.host_name()
    monkeypatch.setattr(machine, "PROC", NO_PROC)
    assert machine.machine_id() == machine.host_name() == os.uname().nodename
    assert machine.processor_name()
    assert not machine.has_nvidia_driver()


@pytest.mark.parametrize(("system", "factor"), [("linux", 1024), ("darwin", 1)])
def test_the_peak_is_kib_on_linux_and_bytes_on_macos(
    system: str, factor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    monkeypatch.setattr(machine, "PROC", NO_PROC)
    monkeypatch.setattr(sys, "platform", system)
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert machine.peak_memory_bytes() == pytest.approx(factor * largest, rel=0.05)


@pytest.mark.parametrize(
    ("folder", "used"),
    [("/tmp", "/tmp"), ("/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T", "/tmp")],
)
def test_ray_gets_a_folder_whose_sockets_have_short_paths(
    folder: str, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine.tempfile, "gettempdir", lambda: folder)
    assert machine.socket_folder() == used


WINDOWS = """
import sys
sys.platform = "win32"
for name in ("fcntl", "resource", "pwd", "grp"):
    sys.modules[name] = None
from sparsetune.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("arguments", [["doctor"], ["run", "s.py"], []])
def test_windows_is_told_of_wsl_in_one_line(arguments: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", WINDOWS, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("sparsetune: it must run on Linux or macOS, got Windows")
    assert "WSL" in done.stderr
