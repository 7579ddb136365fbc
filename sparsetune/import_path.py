"""Imports beside a user's own code: their folders, and our `analysis` where they have one too."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, module_from_spec, spec_from_file_location, spec_from_loader
from pathlib import Path
from types import ModuleType

ANALYSIS = "analysis"
"""Name of our third package, and of many a project's own one."""
ANALYSIS_FOLDER = Path(__file__).parents[1] / ANALYSIS
"""Ours, which is always installed beside `sparsetune`."""
ANALYSIS_ALIAS = "sparsetune.analysis"
"""Name of ours that no project's own package can take."""


def append_to_path(folders: Iterable[str | Path]) -> None:
    """Append a user's folders to the import path: what is installed wins over a namesake there.

    The exception is `analysis`, since a common name is no reason to hide the user's own package:
    theirs wins, and ours is `sparsetune.analysis`.
    """
    for folder in map(str, folders):
        if folder not in sys.path:
            sys.path.append(folder)
        if folder not in _PROJECT_FINDER.folders:
            _PROJECT_FINDER.folders.append(folder)
    if _PROJECT_FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _PROJECT_FINDER)


def import_analysis() -> ModuleType:
    """Our `analysis`: the top-level package, or loaded by its path where a project's own hides it.

    Where the top-level package is ours, its modules are known under both names.
    """
    if not _is_ours(_analysis_file()):
        return load_analysis_as(ANALYSIS_ALIAS)
    module = import_module(ANALYSIS)
    # All that is loaded now, so that no submodule is set again as an attribute: `analysis.load` is
    # a module, and a function that hides it.
    for name, loaded in list(sys.modules.items()):
        if name.startswith(f"{ANALYSIS}."):
            sys.modules[f"sparsetune.{name}"] = loaded
    if _ALIAS_FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _ALIAS_FINDER)
    return module


def load_analysis_as(name: str) -> ModuleType:
    """Our `analysis`, loaded by its path under a name.

    Raises:
        ImportError: if it is not where it was installed.
    """
    spec = spec_from_file_location(name, ANALYSIS_FOLDER / "__init__.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"`{ANALYSIS_FOLDER}` must lie beside `sparsetune`: install it again")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _analysis_file() -> str | None:
    """File of the top-level `analysis`, imported already or not; None where there is none."""
    if ANALYSIS in sys.modules:
        return getattr(sys.modules[ANALYSIS], "__file__", None)
    spec = find_spec(ANALYSIS)
    return spec.origin if spec else None


def _is_ours(file: str | None) -> bool:
    return file is not None and Path(file).resolve().parent == ANALYSIS_FOLDER.resolve()


class _ProjectFinder(MetaPathFinder):
    """Finds a project's own `analysis` before ours."""

    def __init__(self) -> None:
        self.folders: list[str] = []

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != ANALYSIS:
            return None
        spec = PathFinder.find_spec(fullname, [one for one in self.folders if one in sys.path])
        # A folder without `__init__.py` has no origin: packages win over such ones everywhere.
        return spec if spec and spec.origin and not _is_ours(spec.origin) else None


class _AliasFinder(MetaPathFinder, Loader):
    """Finds modules of the top-level `analysis`, which is ours, under `sparsetune` too."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        is_below = fullname.startswith(f"{ANALYSIS_ALIAS}.")
        return spec_from_loader(fullname, self) if is_below else None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        # The import system takes the module that stands here afterwards.
        sys.modules[name] = import_module(name.removeprefix("sparsetune."))


_PROJECT_FINDER = _ProjectFinder()
_ALIAS_FINDER = _AliasFinder()
