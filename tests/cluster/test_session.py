"""A local Ray is nobody else's: its folder, its ports, its token."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SESSION = """
import json, os, stat, sys
import psutil, ray
from sparsetune.cluster.session import ray_session

before = {name: value for name, value in os.environ.items() if name.startswith("RAY_AUTH")}
with ray_session():
    context = ray.get_runtime_context()
    session = ray._private.worker._global_node.get_session_dir_path()
    folder = os.path.dirname(session)
    own = {one.pid for one in psutil.Process().children(recursive=True)} | {os.getpid()}
    ports = [one.laddr.ip for one in psutil.net_connections("tcp")
             if one.status == "LISTEN" and one.pid in own]
    facts = {
        "address": context.gcs_address,
        "ips": sorted(set(ports)),
        "modes": [stat.S_IMODE(os.stat(one).st_mode) for one in (os.path.dirname(folder),)],
        "token": os.environ["RAY_AUTH_TOKEN"],
        "answer": ray.get(ray.remote(lambda: 7).remote()),
    }
    print(json.dumps(facts), flush=True)
    sys.stdin.readline()
after = {name: value for name, value in os.environ.items() if name.startswith("RAY_AUTH")}
assert before == after and not os.path.exists(os.path.dirname(folder))
with ray_session():  # another one in this process has another token
    assert ray.get(ray.remote(lambda: 8).remote()) == 8
"""
ASK = """
import sys
from ray._raylet import GcsClient
client = GcsClient(address=sys.argv[1])
client.internal_kv_put(b"key", b"value", True, None, timeout=10)
print("served")
"""
DYING_WORKER = """
import os, time
import ray
from sparsetune.cluster.session import ray_session

with ray_session():
    try:
        ray.get(ray.remote(lambda: os._exit(1)).options(max_retries=0).remote())
    except ray.exceptions.WorkerCrashedError:
        time.sleep(2)  # Ray says it from another thread
        print("crashed")
"""
ASK_SECONDS = 40


def environment(home: Path, **given: str) -> dict[str, str]:
    """This process's environment with another home, without a token but those given."""
    kept = {name: value for name, value in os.environ.items() if "RAY_AUTH" not in name}
    return {**kept, "HOME": str(home), **given}


def is_served(address: str, environment: dict[str, str]) -> bool:
    """True if a Ray serves another process; what is refused, Ray tries again."""
    command = [sys.executable, "-c", ASK, address]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        try:
            return "served" in process.communicate(timeout=ASK_SECONDS)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            return False


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_a_local_ray_listens_on_loopback_and_serves_nobody_without_its_token(
    tmp_path: Path,
) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", SESSION],
        stdin=pipe,
        stdout=pipe,
        text=True,
        env=environment(tmp_path),
    ) as session:
        assert session.stdin and session.stdout
        facts = json.loads(session.stdout.readline())
        assert facts["answer"] == 7
        assert facts["modes"] == [0o700]
        assert facts["ips"] and all(ip.endswith("127.0.0.1") or ip == "::1" for ip in facts["ips"])
        mode = {"RAY_AUTH_MODE": "token"}
        known = environment(tmp_path, **mode, RAY_AUTH_TOKEN=facts["token"])
        assert is_served(facts["address"], known)
        wrong = environment(tmp_path, **mode, RAY_AUTH_TOKEN="0" * 64)
        assert not is_served(facts["address"], wrong)
        assert not is_served(facts["address"], environment(tmp_path, RAY_AUTH_MODE="disabled"))
        session.communicate("\n")
    assert session.returncode == 0
    assert not (tmp_path / ".ray").exists()  # no token is stored for others to find


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_a_worker_that_ends_prints_nothing_where_json_is_expected(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DYING_WORKER]
    ended = subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment(tmp_path)
    )
    assert ended.stdout == "crashed\n"
