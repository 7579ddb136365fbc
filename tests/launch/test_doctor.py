"""`run_checks`: every check is one line that says what stands and what to do; nothing is left
behind.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from sparsetune.cli.main import main
from sparsetune.cluster import nodes
from sparsetune.cluster.nodes import (
    ClusterError,
    EnvironmentCheck,
    code_versions,
    examine_node,
    nearest_existing_folder,
    node_check,
    require_equal_nodes,
    token_file,
)
from sparsetune.launch.doctor import (
    DATASET_FILES,
    data_checks,
    gpu_checks,
    gpu_checks_for,
    print_checks,
    requirement_check,
    run_checks,
)
from sparsetune.paths import resolve_place
from sparsetune.tasks.images.sources import SOURCES
from tests.object_store import keys

NODE = {
    "NodeManagerAddress": "10.0.0.7",
    "NodeManagerHostname": "a100",
    "Resources": {"CPU": 8.0, "GPU": 2.0},
}


@pytest.fixture(autouse=True)
def _no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPARSETUNE_CACHE", str(tmp_path / "cache"))


def found(storage: Path, **options: Any) -> dict[str, EnvironmentCheck]:
    return {check.name: check for check in run_checks(storage, **options)}


def test_a_storage_that_does_not_exist_yet(tmp_path: Path) -> None:
    checks = found(tmp_path / "new" / "runs")
    assert checks["storage"].level in ("ok", "warning")
    assert f"`{tmp_path}/new/runs` can be written" in checks["storage"].found
    assert (checks["ray"].level, checks["digits"].level) == ("ok", "ok")
    assert list(tmp_path.iterdir()) == []
    names = [
        "python",
        "sparsetune",
        "ray",
        "optuna",
        "torch",
        "CUDA build",
        "pandas",
        "torchvision",
        "transformers",
    ]
    assert [name for name in [*names, "CPUs", "memory"] if name not in checks] == []
    assert f"{len(os.sched_getaffinity(0))} of {os.cpu_count()}" in checks["CPUs"].found


def test_a_storage_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("years of work")
    check = found(tmp_path / "taken" / "runs", address="127.0.0.1:1")["storage"]
    assert (check.level, check.found) == (
        "fault",
        f"`{tmp_path}/taken` cannot be written and locked: Not a directory",
    )
    assert (
        check.advice == "free it, or give another folder with --storage, then ask the nodes again"
    )


@pytest.mark.parametrize(
    "spoil", [["mount", "-o", "remount,ro"], ["sh", "-c", "cat /dev/zero > $0/ballast"]]
)
def test_a_storage_that_refuses(small_disk: Path, spoil: list[str]) -> None:
    subprocess.run([*spoil, str(small_disk)], capture_output=True)
    check = found(small_disk)["storage"]
    assert check.level == "fault"
    assert check.found.endswith(("Read-only file system", "No space left on device"))
    assert {path.name for path in small_disk.iterdir()} <= {"ballast"}


def test_a_small_disk_is_warned_of(small_disk: Path) -> None:
    check = found(small_disk)["storage"]
    assert (check.level, "0.0 GiB free" in check.found, bool(check.advice)) == (
        "warning",
        True,
        True,
    )


def test_bounds() -> None:
    assert requirement_check("torch>=2.9") == EnvironmentCheck(
        "torch", "ok", f"{version('torch')} (>=2.9)"
    )
    check = requirement_check("torch<2")
    assert (check.level, check.found) == ("fault", f"{version('torch')} is outside <2")
    assert check.advice == "install `torch<2`"
    missing = requirement_check("no-such-package[extra]>=1")
    assert missing == EnvironmentCheck(
        "no-such-package", "fault", "is not installed", "install `no-such-package[extra]>=1`"
    )
    assert requirement_check("python>=4").level == "fault"


def test_every_data_set_has_a_line() -> None:
    assert set(DATASET_FILES) == set(SOURCES)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_data_are_found_only_when_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    parts = [
        f"{part}-{kind}-ubyte"
        for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    ]
    for count, part in enumerate(parts):
        levels = [check.level for check in data_checks(tmp_path) if check.name == "fashion_mnist"]
        assert levels == ["warning" if count else "ok"], count
        (raw / (part + suffix)).write_text("")
    monkeypatch.setenv("SPARSETUNE_DATA", str(tmp_path))
    assert EnvironmentCheck("fashion_mnist", "ok", f"in `{tmp_path}`") in data_checks(None)


def test_data_that_are_not_asked_for_are_no_warning(tmp_path: Path) -> None:
    assert {check.level for check in data_checks(None)} == {"ok"}
    (wrong, *_) = data_checks(tmp_path / "nowhere")
    assert (wrong.level, wrong.found) == ("warning", f"`{tmp_path}/nowhere` is not a folder")


def test_gpus() -> None:
    two = list(gpu_checks_for([("NVIDIA H200", 139 * 2**30)] * 2, driver=True, warned=""))
    assert two == [
        EnvironmentCheck(f"GPU {index}", "ok", "NVIDIA H200, 139 GiB") for index in (0, 1)
    ]
    (none,) = gpu_checks_for([], driver=False, warned="")
    assert none == EnvironmentCheck("GPUs", "ok", "there are none: trials run on the CPU")
    for driver, said in ((True, ""), (False, "the driver is too old")):
        (check,) = gpu_checks_for([], driver=driver, warned=said)
        assert (check.level, said in check.found, bool(check.advice)) == ("warning", True, True)
    assert next(iter(gpu_checks())).name == "CUDA build"


def test_a_token_is_removed_and_another_folder_noticed(tmp_path: Path) -> None:
    with token_file(tmp_path / "runs") as token:
        assert token.parent.parent == nearest_existing_folder(tmp_path / "runs") == tmp_path
        assert examine_node(str(token), token.read_text()) == {
            "versions": code_versions(),
            "storage": None,
        }
        assert (
            examine_node(str(token), "another")["storage"] == "another folder has this path there"
        )
    assert list(tmp_path.iterdir()) == []
    assert examine_node(str(token), "")["storage"] == "No such file or directory"


def test_what_nodes_answer(tmp_path: Path) -> None:
    here = {"python": "3.12.1", "torch": "2.9.0", "ray": "2.60.0"}
    good = {"versions": here, "storage": None}
    name = "node a100 (10.0.0.7)"
    same = node_check(NODE, good, here, tmp_path)
    assert same == EnvironmentCheck(
        name, "ok", "CPUs 8, GPUs 2; sees the storage, runs the same versions"
    )
    blind = node_check(NODE, {**good, "storage": "No such file or directory"}, here, tmp_path)
    assert (blind.level, blind.found) == (
        "fault",
        f"cannot use `{tmp_path}`: No such file or directory",
    )
    assert blind.advice == "mount it at the same path on every node"
    older = {"python": "3.12.1", "torch": "2.8.0", "ray": None}
    other = node_check(NODE, {"versions": older, "storage": None}, here, tmp_path)
    assert other.found == "torch is 2.8.0, here 2.9.0; ray is missing, here 2.60.0"
    assert (other.level, other.advice) == ("fault", "install the same versions")
    silent = node_check(NODE, {"error": "No module named 'sparsetune'"}, here, tmp_path)
    assert (silent.level, silent.found) == (
        "fault",
        "does not answer: No module named 'sparsetune'",
    )


def test_a_cluster_that_is_not_there(tmp_path: Path) -> None:
    with socket.socket() as unused:  # bound, but nobody listens
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        check = found(tmp_path, address=address)["cluster"]
    assert (check.level, check.found) == (
        "fault",
        f"`{address}` does not answer: [Errno 111] Connection refused",
    )
    assert "ray status" in check.advice


def test_what_a_person_sees(capsys: pytest.CaptureFixture[str]) -> None:
    checks = [
        EnvironmentCheck("torch", "fault", "is outside [bounds]", "install it " + 20 * "again "),
        EnvironmentCheck("CPUs", "warning", "2"),
    ]
    assert print_checks(checks) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("fault    torch         is outside [bounds]; install it again again")
    assert lines[1:] == ["warning  CPUs          2", "1 fault, 1 warning"]
    assert print_checks([]) == 0
    assert capsys.readouterr().out == "Nothing stands in a study's way.\n"


def test_the_command_as_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    status = main(["doctor", "--storage", str(tmp_path / "taken"), "--json"])
    facts = json.loads(capsys.readouterr().out)
    faults = [check["name"] for check in facts["checks"] if check["level"] == "fault"]
    assert (status, "storage" in faults, facts["faults"]) == (1, True, len(faults))
    assert all(check["advice"] for check in facts["checks"] if check["level"] != "ok")


def test_the_command_without_faults_starts_no_ray(tmp_path: Path) -> None:
    code = (
        "import sys; from sparsetune.cli.main import main;"
        " status = main(sys.argv[1:]); assert 'ray' not in sys.modules"
    )
    command = [
        sys.executable,
        "-c",
        f"{code}; sys.exit(status)",
        "doctor",
        "--storage",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ok       storage" in done.stdout


def test_an_object_store_keeps_what_was_created_once(bucket: str) -> None:
    check = found(resolve_place(f"{bucket}/runs"))["storage"]
    said = f"`{bucket}/runs` can be written and read, and keeps what was created once"
    assert (check.level, check.found) == ("ok", said)
    assert keys(bucket) == {}


def test_an_object_store_that_cannot_be_used(bucket: str) -> None:
    check = found(resolve_place("s3://no-such-bucket/runs"), address="127.0.0.1:1")["storage"]
    assert check.level == "fault"
    assert check.found.endswith("cannot be written: The specified bucket does not exist")
    assert check.advice.endswith("with --storage, then ask the nodes again")


def test_an_object_store_that_overwrites_is_a_fault(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = resolve_place(f"{bucket}/runs")
    put = folder.fs.pipe_file
    monkeypatch.setattr(
        folder.fs, "pipe_file", lambda path, data, mode="overwrite": put(path, data)
    )
    check = found(folder)["storage"]
    assert (
        check.level,
        "must refuse to write a key that is taken (If-None-Match)" in check.found,
    ) == ("fault", True)
    assert keys(bucket) == {}


def test_a_node_uses_the_object_store_with_the_keys_of_its_own_environment(bucket: str) -> None:
    with token_file(resolve_place(f"{bucket}/runs")) as token:
        text = token.read_text()
        assert examine_node(str(token), text)["storage"] is None
        assert (
            examine_node(str(token), "another")["storage"] == "another folder has this path there"
        )
        code = (
            "from sparsetune.cluster.nodes import examine_node; import sys;"
            " print(examine_node(*sys.argv[1:])['storage'])"
        )
        without = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        command = [sys.executable, "-c", code, str(token), text]
        environment = {
            **without,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"],
        }
        node = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert node.stdout == "Unable to locate credentials\n", node.stderr
    here: dict[str, str | None] = {"ray": "2.60.0"}
    blind = {"versions": here, "storage": node.stdout.strip()}
    check = node_check(NODE, blind, here, token.parent.parent)
    assert check.found == f"cannot use `{bucket}/runs`: Unable to locate credentials"
    assert "AWS_ACCESS_KEY_ID" in check.advice


def test_a_cluster_with_a_faulty_node_is_refused_naming_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = {"versions": code_versions(), "storage": None}
    other = {**NODE, "NodeManagerHostname": "b200"}
    answers = [(NODE, good), (other, {**good, "storage": "No such file or directory"})]
    monkeypatch.setattr(nodes, "ask_nodes", lambda address, token: answers)
    with pytest.raises(ClusterError) as caught:
        require_equal_nodes("10.0.0.1:6379", tmp_path)
    first, *lines = str(caught.value).splitlines()
    assert first == "the cluster `10.0.0.1:6379` must be able to run every trial:"
    assert len(lines) == 1
    assert lines[0].startswith(
        f"  - node b200 (10.0.0.7): cannot use `{tmp_path}`: No such file or directory; mount"
    )
    assert list(tmp_path.iterdir()) == []
    answers.pop()
    require_equal_nodes("10.0.0.1:6379", tmp_path)
