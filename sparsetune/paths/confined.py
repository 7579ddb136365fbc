"""Files of a study on a disk, none of them reached through a link.

The path of a study may contain links, and is resolved once (`resolve_place`). From then on every
file is opened folder by folder, each as an entry of the one before, and a link anywhere is refused
by name: a directory that comes from elsewhere can lead neither a reader nor a writer out of it.
Files are written as new ones of names that nobody can guess, and renamed.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

# To pass through a folder, permission to search it must suffice, as for any path.
_PASS_THROUGH = getattr(os, "O_PATH", 0) or getattr(os, "O_SEARCH", 0) or os.O_RDONLY
_FOLDER = _PASS_THROUGH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LISTED_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A FIFO or a device must not make its opener wait.
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
NEW_FILE_MODE = 0o666
"""Mode of a new file, of which the process's mask takes its part."""


@contextmanager
def opened_folder(path: Path, *, create: bool = False) -> Iterator[int]:
    """Descriptor of a folder, for the ``dir_fd`` of functions of `os`.

    Args:
        path: The folder, resolved.
        create: Whether to make it and the folders above it.

    Raises:
        OSError: if there is none, or a part of its path is a link.
    """
    whole = path.absolute()
    descriptor = os.open(whole.anchor, _PASS_THROUGH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        reached = Path(whole.anchor)
        for name in whole.parts[1:]:
            reached /= name
            below = _open_below(descriptor, name, reached, create)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def _open_below(parent: int, name: str, path: Path, create: bool) -> int:
    if name == "..":
        raise OSError(errno.EINVAL, "it must not lead upwards", str(path))
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except FileNotFoundError:
        if not create:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=parent)
        return os.open(name, _FOLDER, dir_fd=parent)
    except OSError as error:
        _refuse_link(parent, path)
        raise OSError(error.errno, error.strerror, str(path)) from None


def _refuse_link(folder: int, path: Path) -> None:
    """Raise OSError if a folder's entry is a link."""
    with suppress(FileNotFoundError):
        found = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            rule = "it must be no link: nothing below a study's folder may be one"
            raise OSError(errno.ELOOP, rule, str(path))


def _open_regular(folder: int, path: Path, flags: int) -> int:
    """Descriptor of a regular file in an open folder.

    Raises:
        OSError: if there is no such file, or it is a link or no regular one.
    """
    try:
        descriptor = os.open(path.name, _FILE | flags, NEW_FILE_MODE, dir_fd=folder)
    except OSError as error:
        _refuse_link(folder, path)
        raise OSError(error.errno, error.strerror, str(path)) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it must be a regular file, and is not", str(path))
    return descriptor


def open_file(path: Path) -> BinaryIO:
    """A regular file, open for reading: every file of a study on a disk is opened here.

    A FIFO, a device, a socket or a folder of that name is refused without waiting for it.

    Raises:
        OSError: if there is no such file, it is no regular one, or a link is on its path.
    """
    with opened_folder(path.parent) as folder:
        return os.fdopen(_open_regular(folder, path, os.O_RDONLY), "rb")


def create_file(path: Path) -> int:
    """Descriptor of a new file, open for appending, in a folder that is made where it is missing.

    Raises:
        FileExistsError: if something of that name is there.
        OSError: if the disk refuses.
    """
    with opened_folder(path.parent, create=True) as folder:
        return _open_regular(folder, path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL)


def open_lock(path: Path) -> int:
    """Descriptor of a file that processes lock, open for reading and writing; it is made if needed.

    Raises:
        OSError: if it is a link, no regular file, or the file has another name as well, under which
            it may be somebody's.
    """
    with opened_folder(path.parent) as folder:
        descriptor = _open_regular(folder, path, os.O_RDWR | os.O_CREAT)
    if os.fstat(descriptor).st_nlink > 1:
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it must be a file of one name, and has several", str(path))
    return descriptor


def file_facts(path: Path) -> os.stat_result:
    """Facts of what has that name, which is not followed where it is a link.

    Raises:
        OSError: if there is nothing, or a link is above it.
    """
    with opened_folder(path.parent) as folder:
        return os.stat(path.name, dir_fd=folder, follow_symlinks=False)


def list_folder(path: Path) -> list[str]:
    """Names in a folder.

    Raises:
        OSError: if there is no such folder, or it or a part of its path is a link.
    """
    with opened_folder(path.parent) as parent:
        try:
            folder = os.open(path.name or ".", _LISTED_FOLDER, dir_fd=parent)
        except OSError as error:
            _refuse_link(parent, path)
            raise OSError(error.errno, error.strerror, str(path)) from None
        try:
            return os.listdir(folder)
        finally:
            os.close(folder)


def replace_file(
    path: Path, data: bytes, check: Callable[[BinaryIO], None] = lambda file: None
) -> None:
    """Replace a file as a whole, and make its folders.

    It is written under a name of its own, synced and renamed: a crash leaves the old file whole, or
    the new one.

    Args:
        path: The file.
        data: Its new content.
        check: Reads the file before it is renamed; what it raises leaves the old one.

    Raises:
        OSError: if the disk refuses, or the name is that of a link or of no regular file.
    """
    with opened_folder(path.parent, create=True) as folder:
        _require_replaceable(folder, path)
        temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        try:
            with os.fdopen(_open_regular(folder, temporary, flags), "r+b") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                file.seek(0)
                check(file)
            os.replace(temporary.name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary.name, dir_fd=folder)
            raise


def _require_replaceable(folder: int, path: Path) -> None:
    _refuse_link(folder, path)
    with suppress(FileNotFoundError):
        found = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it must be a regular file, and is not", str(path))


def delete_file(path: Path) -> None:
    """Delete a file, or a link as such; one that is gone already is none to delete.

    Raises:
        OSError: if it cannot be deleted, or a link is above it.
    """
    with suppress(FileNotFoundError), opened_folder(path.parent) as folder:
        os.unlink(path.name, dir_fd=folder)
