"""Tables of a few rows, and what `load_table` says when it refuses one."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from analysis import load_table
from sparsetune.errors import SparsetuneError


def table(**columns: Any) -> pd.DataFrame:
    """A frame of columns."""
    return pd.DataFrame(columns)


def refusal(*arguments: Any, **options: Any) -> str:
    """The error of `load_table` with these arguments."""
    with pytest.raises(SparsetuneError) as caught:
        load_table(*arguments, **options)
    return str(caught.value)
