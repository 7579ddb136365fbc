"""A user's own code: what moves its digest, what does not, and what is found of it."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sparsetune.own_code.digest import file_digest, parse_code
from sparsetune.own_code.modules import CodeReader, own_modules

Write = Callable[..., str]
NUMBERS = itertools.count()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write modules into a package of a new name, and give that name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write_modules(**sources: str) -> str:
        package = f"own_{next(NUMBERS)}"
        (tmp_path / package).mkdir()
        for name, source in {"__init__": "", **sources}.items():
            (tmp_path / package / f"{name}.py").write_text(source.replace("PACKAGE", package))
        return package

    return write_modules


def digest_of(source: str, tmp_path: Path) -> str | None:
    path = tmp_path / "source.py"
    path.write_text(source)
    return file_digest(path)


NET = """\
from torch import nn


def net(shape, n):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, n))
"""


@pytest.mark.parametrize(
    "same",
    [
        NET + "\n# a comment\n",
        '"""A docstring."""\n' + NET,
        NET.replace("    return", '    """Build it."""\n    return'),
        NET.replace("nn.Sequential(", "nn.Sequential(\n        "),
        NET + 'STUDY = Study(name="a", base=TrialSpec())\n',
        NET + 'PLAN: Study = sparsetune.Study(name="b")\n',
        NET + 'if __name__ == "__main__":\n    STUDY.run(storage="elsewhere")\n',
    ],
    ids=["comment", "docstring", "inner docstring", "layout", "study", "typed study", "script"],
)
def test_what_changes_no_number_moves_no_digest(same: str, tmp_path: Path) -> None:
    assert digest_of(same, tmp_path) == digest_of(NET, tmp_path)


@pytest.mark.parametrize(
    "changed",
    [
        NET.replace("ReLU", "Sigmoid"),
        NET.replace("32", "33"),
        NET.replace("64", "64.0"),
        NET + "RATE = 0.1\n",
        NET + 'STUDY = "only a name"\n',
        NET + 'if __name__ != "__main__":\n    nn.ReLU = nn.Sigmoid\n',
        NET + 'if __name__ == "__main__":\n    pass\nelse:\n    nn.ReLU = nn.Sigmoid\n',
    ],
)
def test_what_may_change_a_number_moves_the_digest(changed: str, tmp_path: Path) -> None:
    assert digest_of(changed, tmp_path) != digest_of(NET, tmp_path)


def test_a_source_without_a_syntax_tree_counts_by_its_bytes(tmp_path: Path) -> None:
    torn = digest_of("def net(:\n", tmp_path)
    assert torn and torn != digest_of("def net((:\n", tmp_path)
    deep = "x = " + " + ".join(["1"] * 5000)
    assert digest_of(deep, tmp_path) != digest_of(deep + " + 1", tmp_path)
    assert file_digest(tmp_path / "missing.py") is None


def test_every_module_that_is_imported_counts_and_none_is_imported(write: Write) -> None:
    package = write(
        nets="""
            import torch, os.path
            from PACKAGE import plain
            from .relative import name
            def net():
                import PACKAGE.inside
                import importlib
                importlib.import_module("PACKAGE.dynamic")
                importlib.import_module(".dotted", __package__)
                try:
                    import nowhere_to_be_found
                except ImportError:
                    from . import tried
        """.replace("\n            ", "\n"),
        plain="from PACKAGE.further import *",
        relative="name = 1",
        further="from . import nets  # a circle",
        inside="",
        dynamic="",
        dotted="",
        tried="",
        unrelated="",
    )
    found = CodeReader().digests([f"{package}.nets"])
    expected = {"nets", "plain", "relative", "further", "inside", "dynamic", "dotted", "tried"}
    assert set(found) == {package, *(f"{package}.{name}" for name in expected)}
    assert not any(name.startswith(package) for name in sys.modules)


def test_packages_without_init_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    package = f"own_{next(NUMBERS)}"
    folder = tmp_path / package / "inner" / "most"
    folder.mkdir(parents=True)
    (folder / "nets.py").write_text("from . import layers")
    (folder / "layers.py").write_text("")
    name = f"{package}.inner.most"
    assert set(CodeReader().digests([f"{name}.nets"])) == {f"{name}.nets", f"{name}.layers"}


def test_a_change_in_an_imported_module_shows_under_its_name(write: Write) -> None:
    first, second = (write(nets="from . import layers", layers=f"WIDTH = {n}") for n in (1, 2))
    before = CodeReader().digests([f"{first}.nets"])
    after = CodeReader().digests([f"{second}.nets"])
    assert before[f"{first}.nets"] == after[f"{second}.nets"]
    assert before[f"{first}.layers"] != after[f"{second}.layers"]


def test_installed_and_built_in_code_has_no_digest_here(write: Write) -> None:
    package = write(nets="import numpy, torch.nn, json, sys, sparsetune.spec, analysis.load")
    assert set(CodeReader().digests([f"{package}.nets"])) == {package, f"{package}.nets"}
    assert CodeReader().digests(["torch", "sparsetune.train.loop", "json", "builtins"]) == {}


def test_a_process_goes_on_with_what_it_has_read(write: Write, tmp_path: Path) -> None:
    package = write(nets="A = 1")
    reader = CodeReader()
    before = reader.digests([f"{package}.nets"])
    (tmp_path / package / "nets.py").write_text("A = 2")
    assert reader.digests([f"{package}.nets"]) == before
    assert CodeReader().digests([f"{package}.nets"]) != before


def test_modules_are_those_of_every_import_path_in_a_declaration() -> None:
    values = {
        "task": {"model": "nets:Net.small", "options": {"head": "pkg.heads:Head", "width": 3}},
        "sparsity": {"score": "scores:mine", "note": "see: https://example.org"},
        "distill": {"teacher": {"task": {"model": "big:net"}}},
        "metrics": ["f1", {"name": "nets:f2"}],
    }
    assert own_modules(values) == ["big", "nets", "pkg.heads", "scores"]
    assert CodeReader().describe({"task": {"model": "mlp", "dataset": "hf:nothing"}}) is None
    assert parse_code("a=1 b.c=2") == {"a": "1", "b.c": "2"} and parse_code(None) == {}


def test_libraries_are_installed_modules_that_own_ones_import_at_their_top_level(
    write: Write,
) -> None:
    package = write(
        net="""\
            import os
            from typing import TYPE_CHECKING
            import numpy
            from sklearn.datasets import load_digits
            from . import parts
            if TYPE_CHECKING:
                import pandas
            try:
                import absent_library
            except ImportError:
                import torchvision
            match numpy.__name__:
                case "numpy":
                    import pydantic
            class Net:
                import optuna
            def net():
                import ray
            if __name__ == "__main__":
                import transformers
            """.replace(" " * 12, ""),
        parts="from torchmetrics import functional\n",
    )
    found = CodeReader().libraries([f"{package}.net"])
    own_or_standard = {"os", "typing"}
    assert [name for name in found if name not in own_or_standard] == [
        "numpy",
        "optuna",
        "pydantic",
        "sklearn.datasets",
        "torchmetrics",
        "torchmetrics.functional",
        "torchvision",
    ]
