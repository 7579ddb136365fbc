"""Generated declarations through ``problems()`` and ``preview``: what neither may do, counted.

``python -m tests.chaos.declarations.fuzz 10000`` makes as many declarations, each by its seed, asks
`Study.problems` and `sparsetune preview` of each, then applies a quick form, ``--set`` or an
extension to it, and prints counts as JSON. A second number is the first seed.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import sys
import traceback
import types
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from sparsetune.cli.arguments import load_study
from sparsetune.errors import DataError, DeclarationError, Problem, SparsetuneError, in_one_line
from sparsetune.launch import preview
from sparsetune.launch.extension import Extension
from sparsetune.launch.preflight import study_findings
from sparsetune.study import Study
from tests.chaos.declarations.wild import Wild
from tests.chaos.hang import Hang, time_limit

PRINTED = 8
"""One of so many previews is printed too, which checks the study three times over."""
PIECE = 100
"""Declarations after which the counts so far are printed."""


NEEDS_MORE = {
    "must leave a weight in": "the network's layers",
    "needs pairs of a name or pattern": "the network's layers",
    "must build a network": "the network",
    "a model of the hub": "the network",
    "must return a torch.nn.Module": "the network",
    "changes nothing, since what it matches": "the network's layers",
    "each pattern must match a layer of": "the network's layers",
    "`at_most.train_flops`: must hold every base": "the network's FLOPs",
    "no value of this axis lies within `at_most.train_flops`": "the network's FLOPs",
    "argument of torch's": "torch's signatures",
    "an optimizer with momentum or moments": "the optimizer",
    "keeps moments of whole rows": "the optimizer",
    "must make a step on a layer": "the optimizer",
    "must be made from its `arguments`": "torchmetrics",
    "must say its direction": "the user's own function",
    "since a trial is named by what it declares": "the user's own method",
    "must name a `sparsetune.Method`": "the user's own method",
    "must return a finite fraction of the peak rate": "the user's own function",
    "must return a torch.optim.Optimizer": "the user's own function",
    "Optuna": "Optuna's signatures",
    "every suggestion has a seed of its own": "Optuna's signatures",
}
"""Rules that the declaration alone does not break, and what breaks them."""


def outcome(seed: int) -> str:
    """How a seed's declaration is taken, in a word; a defect in capitals, with its text."""
    try:
        with time_limit():
            return _outcome(seed)
    except Hang:
        return f"HANG\n{traceback.format_exc()}"
    except BaseException:  # SystemExit and KeyboardInterrupt of a user's code among them
        return f"TRACEBACK\n{traceback.format_exc()}"


def _outcome(seed: int) -> str:
    wild = Wild(seed)
    study = Study(**wild.study())
    said = [each for each in study.problems() if each.severity != "warning"]
    shown, refusals = _preview(study, printed=seed % PRINTED == 0)
    if defect := _unprintable(said) or _unprintable(refusals):
        return defect
    if said and shown:
        return f"CONTRADICTION: previewed although {said}"
    # With sizes that a user's own data tell, a length is wrong in other places.
    paths = {each.path for each in refusals}
    unsaid = sorted({each.path for each in said if not _has_length(each)} - paths)
    if said and unsaid:
        return f"CONTRADICTION: preview is silent about {unsaid}"
    if not said:
        # Of a user's own data the launch finds the sizes, which other rules then judge.
        told = study_findings(study, needs_data=False)[0].problems() if refusals else []
        for refusal in refusals:
            # Of a declaration that is refused anyway, torch may see consequences too.
            if not told and not _needs_more(refusal):
                return f"CONTRADICTION: only preview says {refusal}"
    changed = _change(study, wild, sound=shown)
    if said:
        return f"refused, {changed}"
    return f"valid, {changed}" if shown else f"refused by its network or data, {changed}"


def _preview(study: Study, *, printed: bool) -> tuple[bool, list[Problem]]:
    """Whether a preview is shown, and why not."""
    try:
        facts = preview.preview_study(study)
        json.dumps(facts, allow_nan=False)
        if printed:
            preview.print_preview(study)
    except DeclarationError as error:
        return False, error.problems
    return True, []


def _has_length(problem: Problem) -> bool:
    return "reaches this length" in problem.rule


def _needs_more(problem: Problem) -> bool:
    """True for a problem that the declaration alone does not have."""
    return any(part in str(problem) for part in NEEDS_MORE)


def _unprintable(found: Sequence[Problem]) -> str | None:
    for problem in found:
        if in_one_line(str(problem)) != str(problem):
            return f"UNPRINTABLE: {str(problem)!r}"
    return None


def _change(study: Study, wild: Wild, *, sound: bool) -> str:
    """Change the study as a command line does, and check what it has become."""
    way = wild.luck.choice(("as it is", "quick", "set", "quick and set", "extended"))
    if way == "as it is":
        return way
    try:
        if way == "extended":
            if not sound:
                return way
            extension = Extension(**wild.additions(study.sweep_axes()))
            extension.record(study, [])
            return way
        module = types.ModuleType("fuzzed_study")
        module.__file__ = "fuzzed_study.py"
        module.STUDY = study  # type: ignore[attr-defined]
        sys.modules[module.__name__] = module
        parsed = argparse.Namespace(
            study=module.__name__,
            set=wild.texts() if "set" in way else [],
            quick="quick" in way,
            name=None,
            path=[],
            storage=Path("runs"),
        )
        changed, _ = load_study(parsed)
        preview.preview_study(changed)
    except SparsetuneError as error:
        text = str(error)
        bad = [line for line in text.split("\n") if in_one_line(line) != line]
        if bad and not isinstance(error, DataError):
            return f"{way}\nUNPRINTABLE {bad[0]!r}"
        return f"{way}, refused"
    return way


def run(seeds: Sequence[int], say: Callable[[str], None] = lambda _: None) -> Counter[str]:
    """Counts of outcomes, defects in capitals; ``say`` gets a text for each defect."""
    logging.getLogger("sparsetune").setLevel(logging.ERROR)
    counts: Counter[str] = Counter()
    console = preview.TextConsole
    preview.TextConsole = partial(console, file=io.StringIO())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for seed in seeds:
                found = outcome(seed)
                counts[found.split("\n")[0].split(":")[0]] += 1
                if (found[0].isupper() and found[:2].isupper()) or "UNPRINTABLE" in found:
                    say(f"seed {seed}: {found}")
    finally:
        preview.TextConsole = console
    return counts


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    number = int(sys.argv[1])
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    total: Counter[str] = Counter()
    for start in range(first, first + number, PIECE):
        seeds = range(start, min(start + PIECE, first + number))
        total += run(seeds, lambda text: print(text, file=sys.stderr, flush=True))
        counts = {"declarations": seeds[-1] + 1 - first, "first_seed": first, **total}
        print(json.dumps(counts), flush=True)
