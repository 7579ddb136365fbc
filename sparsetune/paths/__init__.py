"""Places of a study: a folder of a disk, or a prefix of an object store.

Both have the interface of `pathlib`.

Credentials and endpoint of an object store come from the environment alone (``AWS_ACCESS_KEY_ID``,
``AWS_SECRET_ACCESS_KEY``, ``AWS_DEFAULT_REGION``, ``AWS_ENDPOINT_URL``); nothing here holds, writes
or prints them.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from sparsetune.errors import StorageError
from sparsetune.paths.confined import delete_file, list_folder, open_file
from sparsetune.paths.credentials import without_credentials

if TYPE_CHECKING:
    from upath import UPath

Place: TypeAlias = "Path | UPath"
S3_CLIENT_OPTIONS = {
    "use_listings_cache": False,  # another process writes there too
    "config_kwargs": {
        "connect_timeout": 5,
        "read_timeout": 60,
        "retries": {"mode": "standard", "max_attempts": 5},
        "max_pool_connections": 64,
    },
}
"""Options of the store's client: a request that fails is sent again for about ten seconds before it
is an error."""
MAX_CONFLICTS = 10
"""Tries of a conditional write while the store is busy with another one of the same key."""
CONFLICT_SECONDS = 0.2
"""Time between two such tries."""


def resolve_place(where: str | os.PathLike[str] | Place) -> Place:
    """The place that a text names: a prefix of an object store for ``s3://``, else a folder.

    Raises:
        StorageError: if it names a store that is not S3, no bucket, or the packages for it are not
            installed.
    """
    text = str(where)
    scheme, separator, name = text.partition("://")
    if not separator:
        return Path(text).resolve()
    if set(name.partition("/")[0]) & set("@:"):
        raise StorageError(
            f"storage must be a folder or s3://bucket/prefix, got `{scheme}://` with a user, a key"
            " or a port before the bucket (not repeated here); give keys as AWS_ACCESS_KEY_ID and"
            " AWS_SECRET_ACCESS_KEY, an address as AWS_ENDPOINT_URL"
        )
    if scheme != "s3" or not name.strip("/") or set(name) & set("*?["):
        raise StorageError(
            "storage must be a folder or s3://bucket/prefix without * ? [, got"
            f" `{without_credentials(text)}`"
        )
    if not os.environ.get("AWS_ENDPOINT_URL", "http").startswith("http"):
        raise StorageError(
            "AWS_ENDPOINT_URL must begin with http:// or https://; set it anew, or unset it for AWS"
        )
    try:
        # Without it a store fails later, with a traceback.
        import s3fs  # type: ignore[import-untyped]  # noqa: F401
        from upath import UPath
    except ImportError as error:
        raise StorageError(
            f"`{text}` is an object store: install `sparsetune[s3]` ({error})"
        ) from error
    return UPath(text.rstrip("/"), protocol="s3", **S3_CLIENT_OPTIONS).resolve()


def resolve_trial_place(text: str) -> Place:
    """The place below ``STUDY/trials`` that a text names: what is above is resolved, on this
    machine, and nothing below, where no link may be.

    Raises:
        ValueError: if a path on this machine has no folder ``trials``.
    """
    place = resolve_place(text)
    if not isinstance(place, Path):
        return place
    given = Path(text).absolute()
    trials = next((folder for folder in given.parents if folder.name == "trials"), None)
    if trials is None:
        raise ValueError(f"a trial's folder must lie below a folder `trials`, got `{text}`")
    return trials.parent.resolve() / given.relative_to(trials.parent)


def relative_path(place: Place) -> str:
    """A place as it is named in the current folder: relative where it lies below, else absolute."""
    if not isinstance(place, Path):
        return str(place)
    current = Path.cwd().resolve()
    absolute = place.resolve()
    is_below = absolute.is_relative_to(current)
    return str(absolute.relative_to(current) if is_below else absolute)


def command_path(place: Place) -> str:
    """A place as a command that is typed in the current folder names it, quoted for a shell."""
    return shlex.quote(relative_path(place))


def storage_errors() -> tuple[type[Exception], ...]:
    """Errors of reading and writing: `OSError`, and those of an object store's client in use."""
    if "aiobotocore" not in sys.modules:
        return (OSError,)
    import aiohttp
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

    return OSError, BotoCoreError, ClientError, aiohttp.ClientError


def refusal_errors() -> tuple[type[Exception], ...]:
    """All of `storage_errors`, and the `StorageError` that they become where a path is named."""
    return (*storage_errors(), StorageError)


def refusal_reason(error: Exception) -> str:
    """Reason of a storage error, in a few words without the endpoint's address."""
    if isinstance(error, OSError) and error.strerror:
        said = error.strerror
    else:
        said = " ".join(str(error).split()) or type(error).__name__
    return re.sub(r'"?\w+://[^\s"]+"?', "(see AWS_ENDPOINT_URL)", said).rstrip(".")


@contextmanager
def translating_read_errors(path: Place) -> Iterator[None]:
    """Turn a disk's or a store's refusal to read into one message; see `_translating_errors`."""
    with _translating_errors(path, "read"):
        yield


@contextmanager
def translating_write_errors(path: Place) -> Iterator[None]:
    """Turn a disk's or a store's refusal to write into one message; see `_translating_errors`."""
    with _translating_errors(path, "written"):
        yield


@contextmanager
def _translating_errors(path: Place, refused: Literal["read", "written"]) -> Iterator[None]:
    """Turn a refusal into one message.

    Raises:
        StorageError: naming the path and the reason.
    """
    try:
        yield
    except storage_errors() as error:
        name = getattr(error, "filename", None) or path
        raise StorageError(f"`{name}` cannot be {refused}: {refusal_reason(error)}") from error


def _read_file(path: Path, limit: int | None) -> bytes:
    with open_file(path) as file:
        _require_size(os.fstat(file.fileno()).st_size, limit)
        return file.read()


def _read_object(path: UPath, limit: int | None) -> bytes:
    if limit is not None:
        _require_size(int(path.fs.info(path.path)["size"]), limit)
    return bytes(path.fs.cat_file(path.path))


def _require_size(size: int, limit: int | None) -> None:
    if limit is not None and size > limit:
        raise OSError(errno.EFBIG, f"it must have at most {limit:,} bytes, and has {size:,}")


def read_content(path: Place, limit: int | None = None) -> bytes | None:
    """Content of a file or an object; None where there is none.

    Args:
        path: The file or the object.
        limit: Largest size in bytes that is read; None for no limit.

    Raises:
        StorageError: if it cannot be read, is no regular file, or is larger; or if its bucket does
            not exist.
    """
    with translating_read_errors(path):
        try:
            return _read_file(path, limit) if isinstance(path, Path) else _read_object(path, limit)
        except (FileNotFoundError, NotADirectoryError) as error:
            if _error_code(error) == "NoSuchBucket":
                raise
            return None


def list_names(folder: Place) -> list[str]:
    """Sorted names in a folder or directly under a prefix; an empty list where there is none.

    Raises:
        StorageError: if it cannot be read.
    """
    with translating_read_errors(folder):
        try:
            if isinstance(folder, Path):
                return sorted(list_folder(folder))
            listed: list[str] = folder.fs.ls(folder.path, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        own = folder.path.rstrip("/")
        return sorted(
            path.rstrip("/").rpartition("/")[2] for path in listed if path.rstrip("/") != own
        )


def read_contents(folder: Place, listed: Sequence[str]) -> Iterator[bytes]:
    """Contents of named files of a folder, in order; objects are fetched together.

    Raises:
        StorageError: if one cannot be read.
    """
    with translating_read_errors(folder):
        if isinstance(folder, Path):
            yield from (_read_file(folder / name, None) for name in listed)
        elif listed:
            paths = [(folder / name).path for name in listed]
            fetched: dict[str, bytes] = folder.fs.cat(paths)
            yield from (fetched[path] for path in paths)


def delete_place(path: Place) -> None:
    """Delete a file or an object; one that is gone already is none to delete.

    Raises:
        OSError: if the disk or the store refuses.
    """
    if isinstance(path, Path):
        delete_file(path)
    else:
        path.unlink(missing_ok=True)


def create_object(path: UPath, data: bytes) -> bool:
    """Write an object unless its key is taken; True if it is there now with this very content.

    The client repeats a request whose answer was lost, and then finds the key taken by itself.

    Raises:
        StorageError: if the store cannot be written.
    """
    try:
        for _ in range(MAX_CONFLICTS):
            try:
                path.fs.pipe_file(path.path, data, mode="create")
                return True
            except OSError as error:
                if isinstance(error, FileExistsError) or _error_code(error) == "PreconditionFailed":
                    return read_content(path) == data
                if _error_code(error) != "ConditionalRequestConflict":
                    raise
            time.sleep(CONFLICT_SECONDS)
        raise TimeoutError(errno.ETIMEDOUT, "other writers are in the way")
    except storage_errors() as error:
        raise StorageError(f"`{path}` cannot be written: {refusal_reason(error)}") from error


def _error_code(error: Exception) -> str | None:
    """The store's own code of an error, such as ``NoSuchBucket``."""
    response = getattr(error.__cause__, "response", None) or {}
    code: str | None = response.get("Error", {}).get("Code")
    return code
