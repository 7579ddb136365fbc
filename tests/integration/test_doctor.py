"""Every node of a real cluster is asked, and the folder that studies would lie in is left as it
was.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.runs import HERE, start
from tests.object_store import keys

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


@pytest.fixture
def cluster() -> Iterator[str]:
    """The address of a cluster of two nodes, of 1 and 2 CPUs, on this machine."""
    from ray.cluster_utils import Cluster

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own, at start and stop
        nodes = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
        )
        nodes.add_node(num_cpus=2)
        yield nodes.address
        nodes.shutdown()


def test_both_nodes_see_the_storage(cluster: str, tmp_path: Path) -> None:
    with start(
        "doctor", "--storage", tmp_path / "runs", "--address", cluster, "--json", cwd=tmp_path
    ) as process:
        output, _ = process.communicate(timeout=240)
    facts = json.loads(output[output.index("{") :])
    (answered,) = (check for check in facts["checks"] if check["name"] == "cluster")
    assert (answered["level"], answered["found"]) == (
        "ok",
        f"`{cluster}` answers: 2 nodes, CPUs 3, GPUs 0",
    )
    nodes = [check for check in facts["checks"] if check["name"].startswith("node ")]
    assert {node["found"].partition(";")[0] for node in nodes} == {
        "CPUs 1, GPUs 0",
        "CPUs 2, GPUs 0",
    }
    assert all(node["found"].endswith("sees the storage, runs the same versions") for node in nodes)
    assert process.returncode == int(facts["faults"] > 0)
    assert list(tmp_path.iterdir()) == []


def test_nodes_without_the_keys_of_the_store_are_refused_before_the_first_trial(
    cluster: str, bucket: str, tmp_path: Path
) -> None:
    command = ("run", HERE / "small_study.py", "--storage", bucket, "--address", cluster)
    with start(*command, cwd=tmp_path) as process:
        output, _ = process.communicate(timeout=240)
    assert process.returncode == 2, output
    assert f"the cluster `{cluster}` must be able to run every trial:" in output
    assert (
        output.count(
            f"cannot use `{bucket}/small`: Unable to locate credentials;"
            " start Ray with AWS_ACCESS_KEY_ID"
        )
        == 2
    )
    assert "Traceback" not in output
    kept = keys(bucket)
    assert not any("doctor" in key for key in kept)
    ledger = b"".join(text for key, text in kept.items() if key.startswith("small/ledger"))
    assert [json.loads(line)["type"] for line in ledger.splitlines()] == ["opened", "closed"]
