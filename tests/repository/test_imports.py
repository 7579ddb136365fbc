"""Import directions, read from the syntax trees: imports in functions and for types count."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import sparsetune

ROOT = Path(__file__).parents[2]
PACKAGES = ("sparsetune", "analysis", "studies")

LAYERS = {
    "sparsetune": [
        "errors durations import_path imports machine notebook own_code paths seeds terminal units",
        "spec",
        "study",
        "storage",
        "answers",
        "sparsity tasks",
        "testing",
        "train",
        "loops",
        "costs",
        "search",
        "cluster",
        "launch",
        "analysis",
        "cli integrations",
        "__main__",
    ],
    "analysis": [
        "wording quantities measure exhibit drawers notebook catalogue",
        "tables",
        "load",
        "estimates testing",
        "drawing",
        "curves",
        "recipes",
        "checks lengths ramps",
        "answers frontiers structure references",
        "page",
        "diff",
        "report",
    ],
}
"""Parts of each package, lowest first. A part imports its own layer and lower ones."""

READERS = {
    "analysis": "answers errors durations notebook paths terminal units spec study storage",
    "studies": "spec study",
}
"""Parts of `sparsetune` that the other folders read."""

EXCEPTIONS = {
    (
        "sparsetune.study.study",
        "sparsetune.launch.launch",
    ): "`Study.run` launches",
    (
        "sparsetune.spec",
        "sparsetune.sparsity.methods",
    ): "a declaration's tables follow from methods",
    ("sparsetune.study", "sparsetune.sparsity.methods"): "methods have rules and published names",
    ("sparsetune.study", "sparsetune.sparsity.plans.schedule"): "masks are planned without torch",
    ("sparsetune.analysis", "analysis"): "`from sparsetune import analysis` gives ours, always",
    ("analysis.page.origin", "sparsetune.costs.memory"): "peak memory, read from the ledger",
}
"""Imports against the directions, by prefix of importer and imported, each with its reason."""

HEAVY = {
    "torch": (
        "sparsity tasks train loops costs search cluster launch cli integrations"
        " studies.landscapes.small_convolutions"
    ),
    "torchvision": "tasks",
    # `integrations` gives a training to the user's own tuner: there it is the engine, not ours.
    "ray": "cluster integrations",
    "optuna": "search analysis.recipes analysis.tables integrations",
    "pandas": "analysis",
    "matplotlib": "analysis",
    "mlflow": "launch",
    "tensorboardX": "launch",
    "wandb": "launch",
}
"""Packages that only some parts import, except for type checking."""

PUBLIC = sparsetune._MODULE_OF
"""The module that a public name is loaded from: `from sparsetune import Study` imports `study`."""


@dataclass(frozen=True)
class Import:
    """One module that another one imports.

    Args:
        importer: Dotted name of the importing module.
        imported: Dotted name of the imported module.
        at_start: Whether the import runs when the importer is loaded.
        for_types: Whether it only runs for a type checker.
    """

    importer: str
    imported: str
    at_start: bool
    for_types: bool

    @property
    def parts(self) -> tuple[str, str]:
        return part_of(self.importer), part_of(self.imported)


@dataclass(frozen=True)
class Place:
    """Where a statement stands."""

    in_function: bool = False
    for_types: bool = False


def part_of(module: str) -> str:
    """`sparsetune.launch.driver` -> `sparsetune.launch`; `torch.nn` -> `torch`."""
    package, *rest = module.split(".")
    return f"{package}.{rest[0]}" if package in LAYERS and rest else package


def modules(root: Path) -> dict[str, Path]:
    """Every module of the packages, by dotted name."""
    found = {}
    for package in PACKAGES:
        for path in (root / package).rglob("*.py"):
            name = ".".join(path.relative_to(root).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def imports(root: Path) -> list[Import]:
    """Every import of every module."""
    known = modules(root)
    found = []
    for name, path in known.items():
        package = name if path.stem == "__init__" else name.rpartition(".")[0]
        for node, place in statements(ast.parse(path.read_text()), Place()):
            at_start = not place.in_function and not place.for_types
            found += [
                Import(name, target, at_start, place.for_types)
                for target in targets(node, package, known)
            ]
    return found


def statements(node: ast.AST, place: Place) -> Iterator[tuple[ast.AST, Place]]:
    """Every node with the place where it stands."""
    for child in ast.iter_child_nodes(node):
        inside = place
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inside = Place(True, place.for_types)
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from statements(ast.Module(child.body, []), Place(place.in_function, True))
            yield from statements(ast.Module(child.orelse, []), place)
            continue
        yield child, place
        yield from statements(child, inside)


def targets(node: ast.AST, package: str, known: dict[str, Path]) -> Iterator[str]:
    """Modules that a statement imports, calls of `import_module` with a literal name included."""
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            parts = package.split(".")
            parents = parts[: len(parts) - level + 1] if level else []
            origin = ".".join([*parents, *([module] if module else [])])
            for alias in names:
                home = PUBLIC.get(alias.name, origin) if origin == "sparsetune" else origin
                yield f"{origin}.{alias.name}" if f"{origin}.{alias.name}" in known else home
        case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]):
            if ast.unparse(function).endswith(("import_module", "__import__")):
                yield name


def level_of(part: str) -> int | None:
    """The layer of a part within its package, 0 for the lowest; None where it has none."""
    package, _, name = part.partition(".")
    for level, names in enumerate(LAYERS[package]):
        if name in names.split():
            return level
    return None


def is_excepted(found: Import) -> bool:
    return any(
        f"{found.importer}.".startswith(f"{importer}.")
        and f"{found.imported}.".startswith(f"{imported}.")
        for importer, imported in EXCEPTIONS
    )


def fault(found: Import) -> str | None:
    """Why an import is not allowed; None where it is."""
    importer, imported = found.parts
    if imported in HEAVY and not found.for_types:
        allowed = HEAVY[imported].split()
        names = {importer.partition(".")[0], importer.removeprefix("sparsetune."), importer}
        names.add(found.importer)
        if not names & set(allowed):
            return f"only {HEAVY[imported]} may import {imported}"
    of, to = found.importer.partition(".")[0], found.imported.partition(".")[0]
    if to not in PACKAGES or is_excepted(found):
        return None
    if of == "studies":
        readable = {f"sparsetune.{part}" for part in READERS["studies"].split()}
        return (
            None if to == "studies" or imported in readable else f"{of} may not import {imported}"
        )
    if of != to:
        readable = {f"sparsetune.{part}" for part in READERS.get(of, "").split()}
        return None if imported in readable else f"{of} may not import {imported}"
    return layer_fault(importer, imported)


def layer_fault(importer: str, imported: str) -> str | None:
    """Why a part may not import another part of its package; None where it may."""
    package = importer.partition(".")[0]
    if importer == package:
        # The package's own `__init__` loads its public names: of `analysis` at once, else on use.
        return None if package == "analysis" else f"`{package}` must load nothing when imported"
    if imported == package:
        return "name the module: the package's names load everything"
    levels = [level_of(importer), level_of(imported)]
    if None in levels:
        return f"{importer} or {imported} has no layer: add it to LAYERS"
    return None if levels[0] >= levels[1] else f"{importer} stands below {imported}"  # type: ignore[operator]


def faults(root: Path) -> list[str]:
    """Every import that is not allowed, with the reason."""
    found = [(one, fault(one)) for one in imports(root)]
    return [f"{one.importer} -> {one.imported}: {why}" for one, why in found if why]


def cycle(edges: set[tuple[str, str]]) -> list[str]:
    """A circle among the edges (importer, imported); empty when there is none."""
    graph: dict[str, set[str]] = {}
    for importer, imported in edges:
        if importer != imported:
            graph.setdefault(importer, set()).add(imported)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def module_edges(root: Path) -> set[tuple[str, str]]:
    """Imports between modules: those that run at the start, and all of them within `analysis`."""
    return {
        (found.importer, found.imported)
        for found in imports(root)
        if found.at_start or found.importer.startswith("analysis.")
    }


def part_edges(root: Path) -> set[tuple[str, str]]:
    """Imports between parts, whenever they run, but for those that are excepted."""
    return {found.parts for found in imports(root) if not is_excepted(found)}


def test_imports_go_in_the_directions_of_the_design() -> None:
    assert faults(ROOT) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert cycle(module_edges(ROOT)) == []


def test_no_parts_import_each_other_in_a_circle() -> None:
    assert cycle(part_edges(ROOT)) == []


def test_every_exception_is_needed() -> None:
    used = {
        (importer, imported)
        for found in imports(ROOT)
        for importer, imported in EXCEPTIONS
        if f"{found.importer}.".startswith(f"{importer}.")
        and f"{found.imported}.".startswith(f"{imported}.")
    }
    assert used == set(EXCEPTIONS)


def test_analysis_imports_itself_relatively() -> None:
    absolute = []
    for name, path in modules(ROOT).items():
        if part_of(name).partition(".")[0] == "analysis":
            for node in ast.walk(ast.parse(path.read_text())):
                module = node.module if isinstance(node, ast.ImportFrom) and not node.level else ""
                if (module or "").partition(".")[0] == "analysis":
                    absolute.append(f"{name}: {ast.unparse(node)}")
    assert absolute == []


MAX_FILES = 14
LIKE_ENTRIES = {"sparsetune/cli"}
"""Folders of like entries, which may hold more."""


@pytest.mark.parametrize("package", ["sparsetune", "analysis"])
def test_no_folder_is_crowded(package: str) -> None:
    crowded = []
    for folder in [ROOT / package, *(ROOT / package).rglob("*/")]:
        files = [path for path in folder.iterdir() if path.is_file() and path.suffix != ".pyc"]
        name = folder.relative_to(ROOT).as_posix()
        if len(files) > MAX_FILES and name not in LIKE_ENTRIES and folder.name != "__pycache__":
            crowded.append(f"{name}: {len(files)}")
    assert crowded == []


BAD = {
    "sparsetune/__init__.py": "import sparsetune.study",
    "sparsetune/errors.py": "def f():\n    from .spec import TrialSpec",
    "sparsetune/spec.py": "import sparsetune\nfrom sparsetune import Study\nimport torch.nn",
    "sparsetune/study/__init__.py": "",
    "sparsetune/study/study.py": (
        "from typing import TYPE_CHECKING\n"
        "from sparsetune import spec\n"
        "if TYPE_CHECKING:\n    import ray\n    from sparsetune.train import x\n"
        "else:\n    import optuna\n"
        "class Study:\n    def run(self):\n"
        "        from sparsetune.launch.launch import launch\n        import ray.tune"
    ),
    "sparsetune/new.py": "",
    "sparsetune/train.py": (
        "import torch, importlib\nimport sparsetune.new\nimportlib.import_module('ray')"
    ),
    "sparsetune/launch/__init__.py": "",
    "sparsetune/launch/launch.py": "import torch\ndef f():\n    import analysis",
    "sparsetune/cli.py": "def f():\n    from sparsetune.analysis import report",
    "analysis/__init__.py": "import sparsetune.train\nfrom .load import y\nimport optuna",
    "analysis/load.py": "import pandas\nfrom .page import z\nfrom sparsetune.storage import x",
    "analysis/page.py": "import torch",
    "studies/digits.py": "from sparsetune import Study\nimport analysis",
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_the_check_finds_every_wrong_import_and_no_right_one(tmp_path: Path) -> None:
    found = faults(write(tmp_path, BAD))
    assert sorted(line.partition(":")[0] for line in found) == [
        "analysis -> optuna",
        "analysis -> sparsetune.train",
        "analysis.load -> analysis.page",
        "analysis.page -> torch",
        "sparsetune -> sparsetune.study",
        "sparsetune.errors -> sparsetune.spec",
        "sparsetune.launch.launch -> analysis",
        "sparsetune.spec -> sparsetune",
        "sparsetune.spec -> sparsetune.study",
        "sparsetune.spec -> torch.nn",
        "sparsetune.study.study -> optuna",
        "sparsetune.study.study -> ray.tune",
        "sparsetune.study.study -> sparsetune.train",
        "sparsetune.train -> ray",
        "sparsetune.train -> sparsetune.new",
        "studies.digits -> analysis",
    ]


CIRCLE = {"analysis.load", "analysis.draws"}


@pytest.mark.parametrize(
    ("load", "draws", "found"),
    [
        ("from . import draws", "from . import load", {"analysis.load", "analysis.draws"}),
        (
            "def f():\n    from . import draws",
            "from . import load",
            {"analysis.load", "analysis.draws"},
        ),
        ("", "from . import load", set()),
    ],
)
def test_the_check_finds_circles_of_modules(
    tmp_path: Path, load: str, draws: str, found: set[str]
) -> None:
    files = {"analysis/__init__.py": "", "analysis/load.py": load, "analysis/draws.py": draws}
    assert {*cycle(module_edges(write(tmp_path, files)))} == found


def test_the_check_finds_circles_of_parts_for_type_checking_too(tmp_path: Path) -> None:
    files = {
        "sparsetune/tasks/data.py": "import sparsetune.sparsity.masks",
        "sparsetune/tasks/models.py": "",
        "sparsetune/sparsity/masks.py": "",
        "sparsetune/sparsity/scores.py": (
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from sparsetune.tasks import models"
        ),
    }
    root = write(tmp_path, files)
    assert cycle(module_edges(root)) == []
    assert {*cycle(part_edges(root))} == {"sparsetune.tasks", "sparsetune.sparsity"}
