"""The library `datasets`, without its progress bars and its logging."""

from __future__ import annotations

from typing import Any


def import_quiet_datasets() -> Any:
    """Import the library `datasets`, which takes seconds, without its progress bars and logging."""
    import datasets
    from huggingface_hub.utils import logging as hub_logging

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    # A hub that cannot be reached is said once, in our words.
    hub_logging.set_verbosity_error()
    return datasets
