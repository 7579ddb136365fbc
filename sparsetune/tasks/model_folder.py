"""Folder of a pre-trained model's files: a local one, or where the Hugging Face hub's are kept."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from sparsetune.errors import DataError, DeclarationError, Problem
from sparsetune.tasks.data_roots import given_root
from sparsetune.tasks.text.encoder_shapes import UNTRAINED_ENCODERS

HUB_NAME = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
CONFIG_FILES = ("config.json",)
TOKENIZER_FILES = (
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
)
WEIGHT_FILES = ("model*.safetensors*",)
OLDER_WEIGHT_FILES = ("pytorch_model*.bin*",)
"""Patterns used where no file matches `WEIGHT_FILES`; transformers reads only tensors from them."""


def find_model_folder(name: str, data_root: Path | None) -> Path | None:
    """Local folder that serves for a model's name, or None if there is none.

    It is a path, or lies below the data root or below its ``models/``: ``models/owner/name`` serves
    for a model of the hub, and ``models/owner/name@revision`` for a pinned one. A folder with a
    ``config.json`` goes before one without.
    """
    if not name:
        return None
    folders = [folder for folder in _candidate_folders(name, data_root) if folder.is_dir()]
    for folder in folders:
        if (folder / "config.json").is_file():
            return folder
    return folders[0] if folders else None


def _candidate_folders(name: str, data_root: Path | None) -> list[Path]:
    """Folders that may serve for a model's name, each once, in order of preference."""
    candidates = [Path(name).expanduser().absolute()]
    if root := given_root(data_root):
        candidates += [root / name, root / "models" / name]
    return list(dict.fromkeys(candidates))


def model_folder(name: str, data_root: Path | None, *, weights: bool = True) -> Path:
    """Folder with a pre-trained model's files, which are downloaded now if need be.

    Args:
        name: Name of the model; see `find_model_folder`.
        data_root: Folder that data sets and models lie in.
        weights: Weights are needed, besides configuration and tokenizer.

    Raises:
        DeclarationError: if no model can have that name.
        DataError: if the hub does not give it, naming the local folders that would serve.
    """
    if folder := find_model_folder(name, data_root):
        return folder
    files = CONFIG_FILES + TOKENIZER_FILES
    if not weights:
        return _download_model(name, data_root, files)
    folder = _download_model(name, data_root, files + WEIGHT_FILES)
    # Older weights are downloaded only where there are no others: they are as large.
    if any(folder.glob(WEIGHT_FILES[0])):
        return folder
    return _download_model(name, data_root, OLDER_WEIGHT_FILES)


def _download_model(name: str, data_root: Path | None, files: tuple[str, ...]) -> Path:
    """Folder of a model of the hub with the files that match the patterns."""
    parts = HUB_NAME.fullmatch(name)
    if parts is None:
        hub_names = "a model of the hub as `owner/name` or `owner/name@revision`"
        rule = f"must be a local folder, {hub_names}, or {', '.join(UNTRAINED_ENCODERS)}"
        raise DeclarationError([Problem("task.model", rule, repr(name))], "the model")
    try:
        return _download_snapshot(parts["id"], parts["revision"], files)
    except Exception as error:  # the hub's client raises many kinds
        folders = " or ".join(f"`{folder}`" for folder in _candidate_folders(name, data_root))
        if not given_root(data_root):
            folders += ", or in `models` of a folder that --data-root or SPARSETUNE_DATA names"
        rule = f"the model `{name}` must come from the hub, or lie in a local folder"
        raise DataError(f"{rule}, got {type(error).__name__}; save it in {folders}") from error


@lru_cache
def _download_snapshot(hub_id: str, revision: str | None, files: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download

    with quiet_transformers():
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=list(files)))


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers and the hub's client from printing progress and advice."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    shows_loading = logging.is_progress_bar_enabled()
    shows_downloads = not are_progress_bars_disabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shows_loading:
            logging.enable_progress_bar()
        if shows_downloads:
            enable_progress_bars()


def folder_digest(folder: Path) -> str:
    """Twelve hexadecimal digits of the names and contents of a model's files."""
    weights = WEIGHT_FILES if any(folder.glob(WEIGHT_FILES[0])) else OLDER_WEIGHT_FILES
    found: set[Path] = set()
    for pattern in CONFIG_FILES + TOKENIZER_FILES + weights:
        found.update(path for path in folder.glob(pattern) if path.is_file())
    # Sizes and times are arguments, so that the cache below notices a changed file.
    statuses = [(path, path.stat()) for path in sorted(found)]
    return _files_digest(
        tuple((path, status.st_size, status.st_mtime_ns) for path, status in statuses)
    )


@lru_cache
def _files_digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    """Digest of files, given as path, size in bytes and modification time in nanoseconds.

    It is cached, since every trial asks for it.
    """
    whole = hashlib.sha256()
    for path, _, _ in files:
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").digest()
        whole.update(path.name.encode() + b"\0" + content)
    return whole.hexdigest()[:12]
