"""Our `analysis` under a name of its own: ``from sparsetune import analysis``.

Importing this module gives the package itself; where the top-level `analysis` is ours, both names
are the same modules.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sparsetune.import_path import import_analysis

if TYPE_CHECKING:
    from analysis import *  # noqa: F403

# The import system takes the module that stands here afterwards.
sys.modules[__name__] = import_analysis()
