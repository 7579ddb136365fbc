"""Places: what names one, what a store that refuses says, and that a key is created once."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

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
    resolve_trial_place,
)
from sparsetune.paths.confined import (
    create_file,
    delete_file,
    file_facts,
    open_lock,
    replace_file,
)
from sparsetune.paths.credentials import without_credentials
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


def _link_at(path: Path, target: Path) -> None:
    """Put a link in the place of a file or a folder, which moves to its target."""
    path.rename(target)
    path.symlink_to(target)


OPERATIONS: dict[str, Callable[[Path], object]] = {
    "read": read_content,
    "facts": file_facts,
    "list": lambda path: list_names(path.parent),
    "replace": lambda path: replace_file(path, b"new"),
    "create": lambda path: os.close(create_file(path.with_name("other"))),
    "delete": delete_file,
    "lock": lambda path: os.close(open_lock(path)),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_link_above_a_file_is_refused_by_name(name: str, tmp_path: Path) -> None:
    file = tmp_path / "study" / "trials" / "t" / "file"
    file.parent.mkdir(parents=True)
    file.write_text("precious")
    OPERATIONS[name](file)  # without a link it works
    file.write_text("precious")
    for linked in (file.parent, file.parent.parent):
        away = tmp_path / f"away-{linked.name}"
        _link_at(linked, away)
        before = contents(away)
        with pytest.raises((OSError, StorageError), match=f"must be no link|{linked}"):
            OPERATIONS[name](file)
        assert contents(away) == before
        linked.unlink()
        away.rename(linked)


@pytest.mark.parametrize("name", ["read", "replace", "lock"])
@pytest.mark.parametrize("kind", ["link", "link to nothing", "FIFO", "folder", "socket"])
def test_what_is_no_regular_file_is_refused_without_waiting(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    victim = tmp_path / "victim"
    victim.write_text("precious")
    match kind:
        case "FIFO":
            os.mkfifo(file)
        case "folder":
            file.mkdir()
        case "socket":
            monkeypatch.chdir(tmp_path)  # the whole path may be too long for a socket
            with socket.socket(socket.AF_UNIX) as server:
                server.bind("file")
        case _:
            file.symlink_to(victim if kind == "link" else tmp_path / "new")
    names = os.listdir(tmp_path)
    with pytest.raises((OSError, StorageError), match=str(file)):
        OPERATIONS[name](file)
    assert victim.read_text() == "precious" and os.listdir(tmp_path) == names


def test_a_path_never_leads_upwards(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "study").mkdir()
    with pytest.raises(StorageError, match="must not lead upwards"):
        read_content(tmp_path / "study" / ".." / "victim")
    with pytest.raises(OSError, match="must not lead upwards"):
        replace_file(tmp_path / ".." / "victim", b"new")


def test_a_storage_path_may_hold_links_and_is_resolved_once(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "disk")
    place = resolve_place(tmp_path / "runs" / "study")
    assert place == tmp_path / "disk" / "study"
    replace_file(Path(str(place)) / "file", b"data")
    assert read_content(place / "file") == b"data"
    folder = tmp_path / "runs" / "study" / "trials" / "t" / "attempt-1"
    assert resolve_trial_place(str(folder)) == place / "trials" / "t" / "attempt-1"


def test_a_link_within_a_study_is_not_resolved_for_a_worker(tmp_path: Path) -> None:
    (tmp_path / "study" / "trials").mkdir(parents=True)
    (tmp_path / "study" / "trials" / "t").symlink_to(tmp_path)
    place = resolve_trial_place(str(tmp_path / "study" / "trials" / "t" / "attempt-1"))
    with pytest.raises(OSError, match="must be no link"):
        replace_file(Path(str(place)) / "file", b"new")


def test_a_folder_that_may_only_be_passed_is_passed(tmp_path: Path) -> None:
    """As a home folder on a cluster is, of mode 711."""
    inner = tmp_path / "home" / "study"
    inner.mkdir(parents=True)
    (inner / "file").write_text("data")
    code = (
        "import os, sys; from pathlib import Path; from sparsetune.paths import read_content;"
        "os.setuid(65534) if os.getuid() == 0 else None;"
        "print(read_content(Path(sys.argv[1])))"
    )
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if folder.owner() == inner.owner() and folder != Path("/tmp"):
            folder.chmod(0o711)
    (tmp_path / "home").chmod(0o111)
    try:
        command = [sys.executable, "-c", code, str(inner / "file")]
        done = subprocess.run(command, capture_output=True, text=True)
    finally:
        (tmp_path / "home").chmod(0o755)
    assert done.stdout == "b'data'\n", done.stderr


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "file"
    replace_file(file, b"old")

    def refuse(written: BinaryIO) -> None:
        assert written.read() == b"new"
        raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged"):
        replace_file(file, b"new", refuse)
    assert contents(tmp_path) == {"file": b"old"}


def contents(folder: Path) -> dict[str, bytes]:
    """Content of every file below a folder, by its path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


@pytest.mark.parametrize(
    "url",
    ["s3://KEY:SECRET@bucket/p", "s3://KEY:SEC/RET@bucket", "https://KEY:SECRET@host/p"],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(StorageError, match="AWS_ACCESS_KEY_ID") as refused:
        resolve_place(url)
    assert "KEY:" not in str(refused.value) and "SEC" not in str(refused.value).replace(
        "AWS_SECRET_ACCESS_KEY", ""
    )


@pytest.mark.parametrize(
    ("text", "recorded"),
    [
        ("run a.py --storage s3://K:SEC/RET@bucket/p", "run a.py --storage s3://***@bucket/p"),
        ("https://oauth2:pw@github.com/a.git", "https://***@github.com/a.git"),
        ("track --wandb-api-key abc --json", "track --wandb-api-key *** --json"),
        ("AWS_SECRET_ACCESS_KEY=abc run", "AWS_SECRET_ACCESS_KEY=*** run"),
        ("https://h/x?X-Amz-Signature=ab&c=1", "https://h/x?X-Amz-Signature=***&c=1"),
        ("hf_abcdefghijklmnopqrstuv", "***"),
    ],
)
def test_credentials_are_left_out_of_what_is_recorded(text: str, recorded: str) -> None:
    assert without_credentials(text) == recorded


@pytest.mark.parametrize(
    "text",
    [
        "run studies/token.py --quick --set optim.lr=0.1",
        "run --max-tokens 5 --storage s3://bucket/a@b",
        "git+https://github.com/x@v1 https://host:8080/a@b git@github.com:a/b",
    ],
)
def test_what_is_no_credential_stays(text: str) -> None:
    assert without_credentials(text) == text
