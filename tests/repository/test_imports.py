"""Import directions, read from the syntax trees: imports inside functions count, those for type checking do not."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import sparsetune

ROOT = Path(__file__).parents[2]

LAYERS = [
    "errors durations seeds places",
    "spec",
    "space schedule tables",
    "study",
    "store memory provenance find",
    "sparsity tasks",
    "train cost preflight layer_table export",
    "tune",
    "__main__",
]
"""Parts of `sparsetune`, lowest first. A part imports its own layer and lower ones."""

READERS = {
    "analysis": "analysis store places memory tables study space spec errors durations",
    "studies": "study space spec",
}
"""What `analysis` and `studies` import: themselves, and these parts of `sparsetune`."""

HEAVY = {
    "torch": "sparsity tasks train cost preflight layer_table export tune __main__",
    "torchvision": "tasks",
    "ray": "tune",
    "optuna": "tune",
    "pandas": "analysis",
    "matplotlib": "analysis",
}
"""Packages that only some parts import."""

PUBLIC = sparsetune._MODULE_OF
"""The module that a public name is loaded from: `from sparsetune import Study` imports `sparsetune.study`."""

INSIDE_FUNCTIONS = {
    ("study", "tune"),
    ("preflight", "tune"),
    ("__main__", "analysis"),
    ("analysis", "optuna"),
}
"""What besides is imported inside functions: a study's launch, a check of Optuna's samplers, commands, importance."""


@dataclass(frozen=True)
class Import:
    importer: str
    imported: str
    inside: bool

    @property
    def parts(self) -> tuple[str, str]:
        return part_of(self.importer), part_of(self.imported)


def part_of(module: str) -> str:
    """`sparsetune.tune.launch` -> `tune`; `analysis.draw` -> `analysis`; `torch.nn` -> `torch`."""
    package, *rest = module.split(".")
    return rest[0] if package == "sparsetune" and rest else package


def modules(root: Path) -> dict[str, Path]:
    paths = [
        path
        for package in ("sparsetune", "analysis", "studies")
        for path in (root / package).rglob("*.py")
    ]
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in paths
    }


def imports(root: Path) -> list[Import]:
    known = modules(root)
    return [
        Import(name, target, inside)
        for name, path in known.items()
        for node, inside in statements(ast.parse(path.read_text()), inside=False)
        for target in targets(
            node, name if path.stem == "__init__" else name.rpartition(".")[0], known
        )
    ]


def statements(node: ast.AST, inside: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Every node that runs, and whether it stands in a function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from (
                pair
                for other in child.orelse
                for pair in statements(ast.Module([other], []), inside)
            )
            continue
        yield child, inside
        yield from statements(
            child, inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        )


def targets(node: ast.AST, package: str, known: dict[str, Path]) -> Iterator[str]:
    """Modules that a statement imports, calls of `import_module` with a literal name included."""
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            parents = package.split(".")[: len(package.split(".")) - level + 1] if level else []
            origin = ".".join([*parents, *([module] if module else [])])
            for alias in names:
                home = PUBLIC.get(alias.name, origin) if origin == "sparsetune" else origin
                yield f"{origin}.{alias.name}" if f"{origin}.{alias.name}" in known else home
        case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]):
            if ast.unparse(function).endswith(("import_module", "__import__")):
                yield name


def fault(found: Import) -> str | None:
    """Why an import is not allowed; None where it is."""
    importer, imported = found.parts
    if found.inside and (importer, imported) in INSIDE_FUNCTIONS:
        return None
    if imported in HEAVY and importer not in HEAVY[imported].split():
        return f"only {HEAVY[imported]} may import {imported}"
    root = found.imported.partition(".")[0]
    if root not in ("sparsetune", "analysis", "studies"):
        return None
    if importer in READERS:
        return (
            None
            if imported in {importer, *READERS[importer].split()}
            else f"{importer} may not import {imported}"
        )
    if root != "sparsetune":
        return f"sparsetune may not import {root}"
    if imported == "sparsetune":
        return "name the module: the package's names load everything"
    if {importer, imported} - set(LEVEL) - {"sparsetune"}:
        return f"{importer} or {imported} has no layer: add it to LAYERS"
    return (
        None
        if LEVEL.get(importer, -1) >= LEVEL[imported]
        else f"{importer} stands below {imported}"
    )


LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts.split()}


def faults(root: Path) -> list[str]:
    return [
        f"{found.importer} -> {found.imported}: {why}"
        for found in imports(root)
        if (why := fault(found))
    ]


def cycle(root: Path, *, of_parts: bool) -> list[str]:
    """A circle of imports at module level, between modules or between parts; empty when there is none."""
    graph: dict[str, set[str]] = {}
    for found in imports(root):
        importer, imported = found.parts if of_parts else (found.importer, found.imported)
        if not found.inside and importer != imported:
            graph.setdefault(importer, set()).add(imported)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_imports_go_in_the_directions_of_the_design() -> None:
    assert faults(ROOT) == []


@pytest.mark.parametrize("of_parts", [True, False])
def test_no_modules_and_no_parts_import_each_other_in_a_circle(of_parts: bool) -> None:
    assert cycle(ROOT, of_parts=of_parts) == []


BAD = {
    "sparsetune/__init__.py": "import sparsetune.study",
    "sparsetune/errors.py": "def f():\n    from .spec import TrialSpec",
    "sparsetune/spec.py": "import sparsetune\nfrom sparsetune import Study, train\nimport torch.nn",
    "sparsetune/study.py": (
        "from typing import TYPE_CHECKING\n"
        "from sparsetune import spec\n"
        "if TYPE_CHECKING:\n    import ray\n"
        "else:\n    import optuna\n"
        "class Study:\n    def run(self):\n        from sparsetune.tune.launch import launch\n        import ray.tune"
    ),
    "sparsetune/new.py": "",
    "sparsetune/train.py": "import torch, importlib\nimport sparsetune.new\nimportlib.import_module('ray')",
    "sparsetune/tune/__init__.py": "",
    "sparsetune/tune/launch.py": "import ray, optuna, torch\ndef f():\n    import analysis",
    "sparsetune/__main__.py": "import analysis\ndef f():\n    from analysis import report",
    "analysis/__init__.py": "import sparsetune.train\nimport optuna\ndef f():\n    import optuna",
    "analysis/draw.py": "import pandas\nimport torch\nfrom . import load\nfrom sparsetune.store import x",
    "analysis/load.py": "from analysis.draw import y",
    "studies/digits.py": "from sparsetune import Study, train\nimport analysis",
}


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    for name, text in BAD.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_check_finds_every_wrong_import_and_no_right_one(bad: Path) -> None:
    assert sorted(found.partition(":")[0] for found in faults(bad)) == [
        "analysis -> optuna",
        "analysis -> sparsetune.train",
        "analysis.draw -> torch",
        "sparsetune -> sparsetune.study",
        "sparsetune.__main__ -> analysis",
        "sparsetune.errors -> sparsetune.spec",
        "sparsetune.spec -> sparsetune",
        "sparsetune.spec -> sparsetune.study",
        "sparsetune.spec -> sparsetune.train",
        "sparsetune.spec -> torch.nn",
        "sparsetune.study -> optuna",
        "sparsetune.study -> ray.tune",
        "sparsetune.train -> ray",
        "sparsetune.train -> sparsetune.new",
        "sparsetune.tune.launch -> analysis",
        "studies.digits -> analysis",
        "studies.digits -> sparsetune.train",
    ]


@pytest.mark.parametrize(
    ("files", "modules", "parts"),
    [
        (
            {"draw": "import analysis.load", "load": "from . import draw"},
            {"analysis.draw", "analysis.load"},
            set(),
        ),
        (
            {"draw": "import analysis.load", "load": "def f():\n    from . import draw"},
            set(),
            set(),
        ),
    ],
)
def test_the_check_finds_circles_of_modules(
    tmp_path: Path, files: dict[str, str], modules: set[str], parts: set[str]
) -> None:
    (tmp_path / "analysis").mkdir()
    for name, text in files.items():
        (tmp_path / "analysis" / f"{name}.py").write_text(text)
    assert {*cycle(tmp_path, of_parts=False)} == modules
    assert {*cycle(tmp_path, of_parts=True)} == parts


def test_the_check_finds_circles_of_parts(tmp_path: Path) -> None:
    for name, text in {
        "tasks/data.py": "import sparsetune.sparsity.masks",
        "tasks/models.py": "",
        "sparsity/masks.py": "",
        "sparsity/scores.py": "from sparsetune.tasks import models",
    }.items():
        path = tmp_path / "sparsetune" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert cycle(tmp_path, of_parts=False) == []
    assert {*cycle(tmp_path, of_parts=True)} == {"tasks", "sparsity"}
