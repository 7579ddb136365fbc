"""Places: what names one, what a store that refuses says, and that a key is created once."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sparsetune.cli.main import main
from sparsetune.errors import StorageError
from sparsetune.paths import (
    S3_CLIENT_OPTIONS,
    command_path,
    create_object,
    list_names,
    read_content,
    read_contents,
    resolve_place,
)
from sparsetune.storage import StudyDirectory
from sparsetune.study import Study
from tests.object_store import KEYS


def test_a_command_names_a_folder_from_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command_path(tmp_path / "runs" / "digits") == "runs/digits"
    assert command_path(Path("my runs")) == "'my runs'"
    monkeypatch.chdir(tmp_path.parent)
    assert command_path(tmp_path / "a") == f"{tmp_path.name}/a"
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert command_path(tmp_path / "runs" / "digits") == f"{tmp_path}/runs/digits"


def test_a_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_place("runs") == resolve_place(Path("runs")) == tmp_path / "runs"


def test_a_prefix_is_named_as_it_was_given(bucket: str) -> None:
    for text in (f"{bucket}/runs/x", f"{bucket}/runs/x/", f"{bucket}/runs/y/../x"):
        assert str(resolve_place(text)) == f"{bucket}/runs/x"
    study = resolve_place(f"{bucket}/runs/x")
    assert (study.name, str(study.parent), resolve_place(study)) == ("x", f"{bucket}/runs", study)


@pytest.mark.parametrize(
    "text", ["gs://bucket/x", "file:///tmp/x", "s3://", "s3:///", "s3://bucket/x*", "s3://b/[x]"]
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(StorageError, match=r"must be a folder or s3://bucket/prefix"):
        resolve_place(text)


def test_an_endpoint_without_a_scheme_is_refused_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "10.0.0.7:9000")
    with pytest.raises(StorageError, match="AWS_ENDPOINT_URL must begin with") as caught:
        resolve_place("s3://bucket/x")
    assert "10.0.0.7" not in str(caught.value)


def test_a_missing_package_is_named() -> None:
    code = (
        "import sys; sys.modules['s3fs'] = None; from sparsetune.cli.main import main;"
        " sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "status", "s3://bucket/x"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "`s3://bucket/x` is an object store: install `sparsetune[s3]`" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_and_a_prefix_are_read_alike(tmp_path: Path, bucket: str) -> None:
    for folder in (tmp_path / "x", resolve_place(f"{bucket}/x")):
        assert (
            list_names(folder),
            read_content(folder / "a"),
            list(read_contents(folder, [])),
        ) == ([], None, [])
        if isinstance(folder, Path):
            (folder / "sub").mkdir(parents=True)
        for name in ("b", "a", "sub/c"):
            (folder / name).write_bytes(name.encode())
        assert list_names(folder) == ["a", "b", "sub"]
        assert list(read_contents(folder, ["b", "a"])) == [b"b", b"a"]
        assert (read_content(folder / "b"), read_content(folder / "z")) == (b"b", None)


def test_a_key_is_created_once_and_the_same_content_is_no_other_writer(bucket: str) -> None:
    path = resolve_place(f"{bucket}/x/key")
    assert create_object(path, b"mine")
    assert create_object(path, b"mine"), (
        "a repeated request must not take itself for another driver"
    )
    assert not create_object(path, b"yours")
    assert read_content(path) == b"mine"


def test_of_many_that_create_a_key_exactly_one_does(bucket: str) -> None:
    path = resolve_place(f"{bucket}/x/key")
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: create_object(path, b"%d" % number), range(8)))
    assert made.count(True) == 1
    assert read_content(path) == b"%d" % made.index(True)


def refusal(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    assert main(command) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert not any(secret in printed.err for secret in KEYS.values())
    return printed.err


def test_a_missing_bucket_is_one_message_and_is_not_made(
    bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(capsys, "status", "s3://no-such-bucket/x")
    assert "cannot be read: The specified bucket does not exist" in said
    with pytest.raises(StorageError, match="cannot be read: The specified bucket does not exist"):
        StudyDirectory("s3://no-such-bucket/x").create(Study(name="x"))
    assert not resolve_place("s3://no-such-bucket").fs.exists("no-such-bucket")


def test_a_prefix_without_a_study_is_one_message(
    bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"`{bucket}/x` is not a study directory" in refusal(capsys, "status", f"{bucket}/x")


def test_a_store_that_does_not_answer_is_one_message_without_its_address(
    bucket: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setitem(S3_CLIENT_OPTIONS, "config_kwargs", {"retries": {"max_attempts": 0}})
    said = refusal(capsys, "status", f"{bucket}/x")
    assert "cannot be read: Could not connect to the endpoint URL: (see AWS_ENDPOINT_URL)" in said
    assert "127.0.0.1" not in said


@pytest.fixture
def guarded(bucket: str, object_store: dict[str, str]) -> Iterator[str]:
    """A bucket of a store that checks keys, which the test's are none of."""

    def unguarded(requests: str) -> None:
        address = f"{object_store['AWS_ENDPOINT_URL']}/moto-api/reset-auth"
        plain = {"Content-Type": "text/plain"}
        urllib.request.urlopen(urllib.request.Request(address, requests.encode(), plain)).close()

    unguarded("0")
    yield bucket
    unguarded("inf")


def test_denied_access_is_one_message(guarded: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "cannot be read: " in refusal(capsys, "status", f"{guarded}/x")
    with pytest.raises(StorageError, match="cannot be read: "):
        StudyDirectory(f"{guarded}/x").create(Study(name="x"))


def test_missing_keys_are_one_message(bucket: str, object_store: dict[str, str]) -> None:
    kept = {
        "AWS_ENDPOINT_URL": object_store["AWS_ENDPOINT_URL"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "HOME": "/",
    }
    command = [
        sys.executable,
        "-c",
        "from sparsetune.paths import *; import sys; read_content(resolve_place(sys.argv[1]))",
    ]
    done = subprocess.run([*command, f"{bucket}/x"], capture_output=True, text=True, env=kept)
    assert "cannot be read: Unable to locate credentials" in done.stderr
