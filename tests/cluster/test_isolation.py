"""Which changes of a process end a worker: those by own modules, not those by libraries."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from sparsetune.cluster.isolation import TrialIsolation
from sparsetune.own_code.modules import CodeReader
from sparsetune.train.process_state import restored_process_state

ENVIRONMENT = "import os\nos.environ['LIBRARY_WAS_HERE'] = '1'\n"
DOUBLE = "import torch\ntorch.set_default_dtype(torch.float64)\n"
NUMBERS = itertools.count()

Isolate = Callable[..., TrialIsolation]


@pytest.fixture
def isolate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Isolate]:
    """Isolate a trial whose own module imports an installed library, each given by its source."""
    installed = tmp_path / "site-packages"
    installed.mkdir()
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.syspath_prepend(str(tmp_path))

    def isolation(library: str = "", own: str = "") -> TrialIsolation:
        number = next(NUMBERS)
        (installed / f"library_{number}.py").write_text(library)
        source = f"import library_{number}\n{own}"
        (tmp_path / f"isolated_{number}.py").write_text(source)
        modules = [f"isolated_{number}"]
        return TrialIsolation(modules, CodeReader().libraries(modules))

    with restored_process_state():
        yield isolation


def test_a_library_may_change_the_environment_while_it_is_imported(isolate: Isolate) -> None:
    isolation = isolate(library=ENVIRONMENT + "import warnings\nwarnings.simplefilter('once')\n")
    assert isolation.end() == []
    assert os.environ["LIBRARY_WAS_HERE"] == "1", "as in a process that trains this trial alone"


def test_a_library_that_changes_what_numbers_depend_on_ends_the_worker(isolate: Isolate) -> None:
    assert isolate(library=DOUBLE).end() == ["torch.set_default_dtype"]


def test_an_own_module_that_changes_anything_ends_the_worker(isolate: Isolate) -> None:
    assert isolate(own=ENVIRONMENT).end() == ["environment"]


def test_what_a_trial_changes_is_undone_and_ends_no_worker(isolate: Isolate) -> None:
    isolation = isolate()
    torch.set_default_dtype(torch.float64)
    os.environ["TRIAL_WAS_HERE"] = "1"
    assert isolation.end() == []
    assert torch.get_default_dtype() == torch.float32
    assert "TRIAL_WAS_HERE" not in os.environ
