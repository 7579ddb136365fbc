"""Files of a study's trials: what an attempt leaves, with its digests, and what may be deleted."""

from sparsetune.storage.trial_files.attempt import (
    CERTIFICATE_FILE,
    MASKS_FILE,
    MAX_TENSOR_FILE_BYTES,
    MODEL_FILE,
    OUTCOMES_FILE,
    RECORDED_FILES,
    STRUCTURE_FILE,
    AttemptFiles,
    file_digests,
    if_whole,
)
from sparsetune.storage.trial_files.large import (
    FILE_PATTERNS,
    LargeFile,
    delete_files,
    find_large_files,
    total_bytes,
)

__all__ = [
    "CERTIFICATE_FILE",
    "FILE_PATTERNS",
    "MASKS_FILE",
    "MAX_TENSOR_FILE_BYTES",
    "MODEL_FILE",
    "OUTCOMES_FILE",
    "RECORDED_FILES",
    "STRUCTURE_FILE",
    "AttemptFiles",
    "LargeFile",
    "delete_files",
    "file_digests",
    "find_large_files",
    "if_whole",
    "total_bytes",
]
