"""The library `datasets`, without its progress bars and its logging."""

from __future__ import annotations

import logging
from typing import Any


def import_quiet_datasets() -> Any:
    """Import the library `datasets`, which takes seconds, without its progress bars and logging."""
    import datasets

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    # A hub that cannot be reached is said once, in our words.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    return datasets
