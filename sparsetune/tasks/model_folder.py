"""The folder that holds a pre-trained model's files: a local one, or where the Hugging Face hub's are downloaded to."""

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
    "tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.model"
)  # fmt: skip
WEIGHT_FILES = ("model*.safetensors*",)
OLDER_WEIGHT_FILES = ("pytorch_model*.bin*",)
"""Where there are no `WEIGHT_FILES`; transformers reads nothing but tensors from them."""


def find_model_folder(name: str, data_root: Path | None) -> Path | None:
    """The local folder that serves for a model's name; None if there is none.

    It is a path, or below the data root, or below its ``models/``: ``models/owner/name`` serves for a model of the hub,
    and ``models/owner/name@revision`` for a pinned one.
    """
    folders = [folder for folder in _candidate_folders(name, data_root) if name and folder.is_dir()]
    return next(
        (folder for folder in folders if (folder / "config.json").is_file()),
        next(iter(folders), None),
    )


def _candidate_folders(name: str, data_root: Path | None) -> list[Path]:
    given = given_root(data_root)
    roots = [given / name, given / "models" / name] if given else []
    return list(dict.fromkeys([Path(name).expanduser().absolute(), *roots]))


def model_folder(name: str, data_root: Path | None, *, weights: bool = True) -> Path:
    """The folder with a pre-trained model's files, which are downloaded now if need be.

    Args:
        name: The model's; see `find_model_folder`.
        data_root: The folder that data sets and models lie in.
        weights: Whether they are needed, besides configuration and tokenizer.

    Raises:
        DeclarationError: if the name is that of no model.
        DataError: if the hub does not give it, naming the local folders that would serve.
    """
    if folder := find_model_folder(name, data_root):
        return folder
    folder = _download_model(
        name, data_root, CONFIG_FILES + TOKENIZER_FILES + WEIGHT_FILES * weights
    )
    if weights and not any(folder.glob(WEIGHT_FILES[0])):
        folder = _download_model(name, data_root, OLDER_WEIGHT_FILES)
    return folder


def _download_model(name: str, data_root: Path | None, files: tuple[str, ...]) -> Path:
    if (parts := HUB_NAME.fullmatch(name)) is None:
        untrained = ", ".join(UNTRAINED_ENCODERS)
        rule = f"must be a local folder, a model of the hub as `owner/name` or `owner/name@revision`, or {untrained}"
        raise DeclarationError([Problem("task.model", rule, repr(name))], "the model")
    try:
        return _download_snapshot(parts["id"], parts["revision"], files)
    except Exception as error:  # the hub's client raises many kinds
        would_do = " or ".join(f"`{folder}`" for folder in _candidate_folders(name, data_root))
        root = (
            ""
            if given_root(data_root)
            else ", or in `models` of a folder that --data-root or SPARSETUNE_DATA names"
        )
        rule = f"the model `{name}` must come from the hub, or lie in a local folder"
        raise DataError(
            f"{rule}, got {type(error).__name__}; save it in {would_do}{root}"
        ) from error


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
    loads = logging.is_progress_bar_enabled()
    downloads = not are_progress_bars_disabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if loads:
            logging.enable_progress_bar()
        if downloads:
            enable_progress_bars()


def folder_digest(folder: Path) -> str:
    """Twelve hexadecimal digits of the names and contents of weights, configuration and tokenizer."""
    weights = WEIGHT_FILES if any(folder.glob(WEIGHT_FILES[0])) else OLDER_WEIGHT_FILES
    patterns = CONFIG_FILES + TOKENIZER_FILES + weights
    files = sorted(
        {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    )
    return _files_digest(
        tuple((path, (stat := path.stat()).st_size, stat.st_mtime_ns) for path in files)
    )


@lru_cache
def _files_digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    """Remembered while sizes and times stay: every trial asks."""
    whole = hashlib.sha256()
    for path, *_ in files:
        with open(path, "rb") as file:
            whole.update(path.name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:12]
