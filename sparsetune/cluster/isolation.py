"""What one trial does to its worker's process: undone, or a reason to end the worker."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from sparsetune.imports import import_modules
from sparsetune.own_code.modules import is_own_file
from sparsetune.train.process_state import ProcessState

HARMLESS_CHANGES = frozenset({"environment", "warnings.filters"})
"""What installed libraries may change while they are imported: no number depends on it."""


class TrialIsolation:
    """Keeps what a trial changes in its process from the next one.

    The user's modules are imported first. What they change then belongs to the trials that name
    them, and would not happen again in this process: such a worker must end, as must one whose
    state cannot be put back. Installed libraries that they import come before them, since many
    change the environment and the filters of warnings, which ends no worker.

    Args:
        modules: Modules that the trial's own functions lie in.
        libraries: Installed modules that those import.
    """

    def __init__(self, modules: Iterable[str], libraries: Iterable[str] = ()) -> None:
        bare = ProcessState.now()
        by_libraries = _changes_by_imports(bare, libraries)
        self._before = ProcessState.now() if by_libraries else bare
        by_modules = _changes_by_imports(self._before, modules)
        harmful = [name for name in by_libraries if name not in HARMLESS_CHANGES]
        self._by_imports = harmful + by_modules
        self._modules = frozenset(sys.modules)

    def end(self) -> list[str]:
        """Undo what the trial did; returns names of what the worker must end for."""
        changed = self._before.changes()
        left = self._before.restore() if changed else []
        self._before.restore_generators()
        if left or self._by_imports:
            return left or self._by_imports
        return changed if self._imported_late() else []

    def _imported_late(self) -> bool:
        """True if code of the user's own was imported since, which may have changed something."""
        new = [sys.modules[name] for name in sys.modules.keys() - self._modules]
        files = [getattr(module, "__file__", None) for module in new]
        return any(is_own_file(Path(file)) for file in files if file)


def _changes_by_imports(before: ProcessState, modules: Iterable[str]) -> list[str]:
    """Names of what importing modules changes; a worker's later trials import nothing new."""
    missing = [name for name in modules if name not in sys.modules]
    import_modules(missing)
    return before.changes() if missing else []
