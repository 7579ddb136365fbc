"""Modules that a user's own functions import, each with its digest; none is imported for it."""

from __future__ import annotations

import ast
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, NamedTuple

from sparsetune.imports import IMPORT_PATH
from sparsetune.own_code.digest import is_text, source_digest, statements_at_import

INSTALLED_FOLDERS = frozenset({"site-packages", "dist-packages"})
"""Names of folders of installed packages, whose versions are recorded apart."""
PACKAGE_FOLDERS = (Path(__file__).parents[1], Path(__file__).parents[2] / "analysis")
"""Folders of this package, which has a digest of its own."""
STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()
IMPORTING_FUNCTIONS = frozenset({"import_module", "__import__"})


def own_modules(values: Any) -> list[str]:
    """Modules that a declaration's import paths name, sorted.

    Args:
        values: Plain values of a declaration; every text of the form ``package.module:name`` in
            them counts.
    """
    return sorted({path.partition(":")[0] for path in _import_paths(values)})


def module_file(name: str) -> str | None:
    """File of a module, which is not imported for it; None where it is not found."""
    found = _find_module(name)
    return found.origin if found else None


def _import_paths(values: Any) -> Iterator[str]:
    if isinstance(values, str):
        if IMPORT_PATH.fullmatch(values):
            yield values
    elif isinstance(values, Mapping):
        for value in values.values():
            yield from _import_paths(value)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _import_paths(value)


class _Source(NamedTuple):
    """What a module's source says.

    Args:
        digest: Digest of its code; None where the module is not the user's own.
        imports: Names that it may import, in functions too; some may be no modules.
        libraries: Those of its imports that are installed modules and happen while it is imported
            itself.
    """

    digest: str | None
    imports: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()


class CodeReader:
    """Reads sources, each once: a process goes on with what it has imported.

    A worker asks it before it imports a module, so that an edit during a study shows only in the
    trials of workers that started later.
    """

    def __init__(self) -> None:
        self._read: dict[str, _Source] = {}

    def describe(self, values: Any) -> str | None:
        """Digests of the code that a declaration names, ``module=digest`` separated by spaces.

        Returns:
            None where it names no code of the user's own.
        """
        digests = self.digests(own_modules(values))
        return " ".join(f"{name}={digest}" for name, digest in digests.items()) or None

    def digests(self, modules: Iterable[str]) -> dict[str, str]:
        """Digests of modules and of all that they import, transitively, by name in order.

        Installed packages, the standard library and this package are left out, and so is what
        cannot be found. A package's ``__init__`` counts with its modules.
        """
        sources = self._sources(modules)
        found = {name: source.digest for name, source in sources if source.digest is not None}
        return dict(sorted(found.items()))

    def libraries(self, modules: Iterable[str]) -> list[str]:
        """Modules, not the user's own, that own modules import at their top level, in order.

        Own modules are those named and all that they import, transitively, in functions too.
        """
        found = {name for _, source in self._sources(modules) for name in source.libraries}
        return sorted(found)

    def _sources(self, modules: Iterable[str]) -> Iterator[tuple[str, _Source]]:
        """Names and sources of modules and of all that they import, transitively."""
        seen: set[str] = set()
        waiting = list(modules)
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            parent = name.rpartition(".")[0]
            if parent:
                waiting.append(parent)
            if name not in self._read:
                self._read[name] = _read_module(name)
            source = self._read[name]
            yield name, source
            waiting += source.imports


def _read_module(name: str) -> _Source:
    spec = _find_module(name)
    file = _own_file(spec) if spec else None
    if spec is None or file is None:
        return _Source(None)
    try:
        text = file.read_bytes()
    except OSError:
        # A module inside an archive has no file of its own.
        get_source = getattr(spec.loader, "get_source", None)
        text = (get_source(name) or "").encode() if get_source else b""
    digest, tree = source_digest(text)
    if tree is None:
        return _Source(digest)
    is_package = spec.submodule_search_locations is not None
    package = name if is_package else name.rpartition(".")[0]
    at_import = _imported_names(statements_at_import(tree), package)
    return _Source(
        digest,
        imports=tuple(_imported_names(ast.walk(tree), package)),
        libraries=tuple(name for name in at_import if _is_installed(name)),
    )


def _own_file(spec: ModuleSpec) -> Path | None:
    """File of a module of the user's own; None for every other module."""
    file = Path(spec.origin) if spec.has_location and spec.origin else None
    return file if file and is_own_file(file) else None


def _is_installed(name: str) -> bool:
    """True for a module, not a name in one, that lies in a file which is not the user's."""
    spec = _find_module(name)
    return spec is not None and spec.has_location and _own_file(spec) is None


def _find_module(name: str) -> ModuleSpec | None:
    """Where a module is found, without importing it or its packages; None where it is not."""
    loaded = getattr(sys.modules.get(name), "__spec__", None)
    if loaded is not None:
        known: ModuleSpec = loaded
        return known
    folders = None
    parent = name.rpartition(".")[0]
    if parent:
        package = _find_module(parent)
        if package is None or package.submodule_search_locations is None:
            return None
        folders = list(package.submodule_search_locations)
    for finder in sys.meta_path:
        with suppress(Exception):  # finders of other packages may raise anything
            found = finder.find_spec(name, folders)
            if found is not None:
                return found
    return _namespace(name, folders or [])


def _namespace(name: str, folders: Iterable[str]) -> ModuleSpec | None:
    """A package without ``__init__`` within another one; None where no folder has its name.

    Python's finder looks for its parent among the modules that are imported.
    """
    named = [Path(folder) / name.rpartition(".")[2] for folder in folders]
    found = [str(folder) for folder in named if folder.is_dir()]
    if not found:
        return None
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = found
    return spec


def is_own_file(file: Path) -> bool:
    """True if a source is the user's own: of no installed package, nor of Python or this one."""
    resolved = file.resolve()
    # Both, since a link may lead out of a folder of installed packages, or into one.
    if INSTALLED_FOLDERS.intersection((*file.parts, *resolved.parts)):
        return False
    is_built_in = str(file).startswith("<")
    return not is_built_in and not any(
        resolved.is_relative_to(folder) for folder in (STANDARD_LIBRARY, *PACKAGE_FOLDERS)
    )


def _imported_names(nodes: Iterable[ast.AST], package: str) -> Iterator[str]:
    """Names of modules that parts of a module import; some may be no modules.

    Args:
        nodes: Nodes of its syntax tree; what lies below them is not looked at.
        package: Package that its relative imports start from.
    """
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _imported_package(node, package)
            if base:
                yield base
                # A name may be a module of the package, or something in its `__init__`.
                yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")
        elif isinstance(node, ast.Call) and node.args and is_text(node.args[0]):
            called = getattr(node.func, "id", getattr(node.func, "attr", None))
            name = node.args[0].value  # type: ignore[attr-defined]  # a text, as asked above
            if called in IMPORTING_FUNCTIONS:
                yield package + name if name.startswith(".") else name


def _imported_package(node: ast.ImportFrom, package: str) -> str:
    """Full name of the module that ``from … import`` names; empty where there is none."""
    if not node.level:
        return node.module or ""
    parts = package.split(".") if package else []
    kept = parts[: len(parts) - node.level + 1]
    return ".".join([*kept, node.module] if node.module else kept)
