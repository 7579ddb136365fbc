"""Valid declarations: all that the project shows, and variations that must be as valid.

``python -m tests.chaos.declarations.valid 1000`` checks as many as a preview does, trains one trial
of 200 of them for two epochs, and prints counts as JSON. A second number is the first seed, a third
one another count of trials.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import random
import re
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sparsetune.cli.init import TEMPLATES
from sparsetune.cli.studies import find_study
from sparsetune.errors import DeclarationError, SparsetuneError
from sparsetune.launch.preflight import check_study
from sparsetune.launch.preview import preview_study
from sparsetune.spec import EvaluateSpec, OptimSpec, RewindSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.compute import ComputeSpec
from sparsetune.spec.sparsity import RampSpec
from sparsetune.spec.task import CustomTask, DigitsTask
from sparsetune.study import Arm, Maximize, Minimize, Study
from sparsetune.study.budget import Budget
from sparsetune.study.samplers import GP, TPE, Grid, OptunaSampler, Random, Sobol
from sparsetune.study.space import Choice, LogUniform, Uniform
from sparsetune.study.stopping import EARLY_HALVING, Halving
from sparsetune.train import train
from tests.chaos.declarations.wild import OWN

ROOT = Path(__file__).parents[3]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TRIALS = 200
"""Trials that are trained."""


def _named(study: Study) -> dict[str, Study]:
    return {study.name: study, f"{study.name}-quick": study.quick()}


@cache
def shown_studies() -> dict[str, Study]:
    """Studies of the project, its pages, examples and templates; the quick forms of most too."""
    found: dict[str, Study] = {}
    for path in sorted((ROOT / "studies").glob("*.py")):
        found |= _named(find_study(f"studies.{path.stem}")[0])
    sys.path.append(str(ROOT / "docs" / "examples"))
    for path in sorted((ROOT / "docs" / "examples").glob("*.py")):
        found |= _named(importlib.import_module(path.stem).STUDY)
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        found |= {f"{page.stem}-{name}": study for name, study in _studies_of(page).items()}
    templates = Path(tempfile.mkdtemp(prefix="templates-"))
    sys.path.append(str(templates))
    for name in TEMPLATES:
        text = (files("sparsetune.cli.templates") / f"{name}.py").read_text(encoding="utf-8")
        (templates / f"{name}_template.py").write_text(text.replace("my_study", f"{name}_template"))
        found |= _named(importlib.import_module(f"{name}_template").STUDY)
    return found


def _studies_of(page: Path) -> dict[str, Study]:
    """Studies that a page declares, by the names of their variables."""
    names: dict[str, Any] = {"__name__": "page"}
    for block in BLOCK.findall(page.read_text()):
        if "Study(" in block:
            # A block may go on with a study directory that only the pages' own test has.
            with suppress(SparsetuneError, NameError, OSError):
                exec(compile(block, page.name, "exec"), names)
    return {name: value for name, value in names.items() if isinstance(value, Study)}


LR = {"sgd": 0.05, "adamw": 0.002, "adam": 0.002, "nadam": 0.002, "radam": 0.002, "adamax": 0.004}
LR |= {"rmsprop": 0.001, "adagrad": 0.02, "asgd": 0.05, "adadelta": 1.0}
"""A learning rate that suits each optimizer."""
OBJECTIVES = (
    *(Minimize("val_error"), Minimize("val_loss"), Minimize("train_loss")),
    *(Maximize("val_accuracy"), Maximize("val_score")),
)
METHODS = (
    *("static", "one_shot", "gmp", "acdc", "set", "rigl", "granet", "sr_ste", "ste", "obert"),
    *("top_kast", "powerpropagation"),
)


class Sound:
    """A generator of one valid declaration that needs no data and is small.

    Its lengths fit into two epochs of at least 40 steps.
    """

    def __init__(self, seed: int) -> None:
        self.luck = random.Random(f"sound {seed}")
        self.seed = seed

    def maybe(self, share: float, values: Sequence[Any], path: str) -> dict[str, Any]:
        """One of some values of a field, or nothing."""
        return {path: self.luck.choice(values)} if self.luck.random() < share else {}

    def study(self) -> Study:
        """The declaration."""
        luck = self.luck
        base = TrialSpec(task=self.task(), schedule=ScheduleSpec(epochs=luck.choice((2, 4, 6))))
        name = luck.choice(tuple(LR))
        base = base.edited({"optim": self.optimizer(name), **self.schedule(), **self.rest()})
        if luck.random() < 0.1:
            teacher = TrialSpec(task=base.task, schedule=ScheduleSpec(epochs=2))
            base = base.edited({"distill.hardness": 0.5, "distill.teacher": teacher})
        fields: dict[str, Any] = {"name": f"sound-{self.seed}", "base": base}
        # N:M groups must divide a layer's inputs, which are six in our own network.
        methods = METHODS if isinstance(base.task, DigitsTask) and base.task.model == "mlp" else ()
        methods = luck.sample(methods or [m for m in METHODS if m != "sr_ste"], luck.randint(1, 3))
        fields["arms"] = {method: Arm(self.method(method)) for method in methods}
        if luck.random() < 0.3:
            fields["arms"]["dense"] = Arm({"sparsity.method": "dense"})
        if "sr_ste" not in methods:
            fields["sweep"] = {"sparsity.target": luck.choice(([0, 0.9], [0.5, 0.95], [0.8]))}
            if "dense" in fields["arms"]:
                fields["arms"]["dense"] = Arm(
                    {"sparsity.method": "dense"}, sweep={"sparsity.target": [0]}
                )
        if luck.random() < 0.4:
            fields.setdefault("sweep", {})["schedule.epoch_multiplier"] = luck.choice(([1, 2], [1]))
        if luck.random() < 0.6:
            fields |= self.search(name, methods, base)
        fields |= self.maybe(0.3, (1, 2, 5), "report_seeds")
        fields |= self.maybe(0.3, (0, 3, 10**6), "seed")
        fields |= self.maybe(0.2, ("Why [not]?",), "question")
        fields["objective"] = luck.choice(OBJECTIVES)
        return Study(**fields)

    def task(self) -> Any:
        """A task of small images or vectors."""
        luck = self.luck
        given = {
            **self.maybe(0.3, (0.1, 0.2, 30), "validation"),
            **self.maybe(0.2, (0, 4), "split_seed"),
            **self.maybe(0.2, (0, 0.1), "label_smoothing"),
        }
        if luck.random() < 0.2:
            return CustomTask(
                data=f"{OWN}:data",
                model=f"{OWN}:net",
                batch_size=luck.choice((2, 4)),
                options=luck.choice(({}, {"width": 12})),
                **self.maybe(0.3, (("matthews", "accuracy"), "accuracy"), "metrics"),
                **given,
            )
        model = luck.choice(("mlp", "mlp", "mlp", f"{OWN}:convolutions"))
        return DigitsTask(model=model, batch_size=luck.choice((16, 32)), **given)

    def optimizer(self, name: str) -> OptimSpec:
        """An optimizer with what belongs to it."""
        given: dict[str, Any] = {"name": name, "lr": LR[name]}
        given |= self.maybe(0.3, (0, 1e-4, 1e-3), "weight_decay")
        given |= self.maybe(0.2, (None, 1.0, 5.0), "clip_norm")
        given |= self.maybe(0.15, (0.9, 0.99), "ema")
        given |= self.maybe(0.2, (True, False), "decay_bias_and_norm")
        if name == "sgd":
            given |= self.maybe(0.4, (0.5, 0.9, 0.95), "momentum")
            given |= self.maybe(0.3, (True, False), "nesterov")
        if name.startswith(("adam", "nadam", "radam")):
            given |= self.maybe(0.3, (0.8, 0.95), "beta1")
            given |= self.maybe(0.3, (0.98, 0.999), "beta2")
            given |= self.maybe(0.2, ({"eps": 1e-6}, {}), "arguments")
        return OptimSpec(**given)

    def schedule(self) -> dict[str, Any]:
        """A learning rate over time."""
        decay = self.luck.choice(("linear", "cosine", "constant", "step", f"{OWN}:decay"))
        given: dict[str, Any] = {"schedule.lr": decay}
        given |= self.maybe(
            0.4, (0, 0.1, 0.2, "1 epochs", "10 steps", "60 samples"), "schedule.warmup"
        )
        if decay == "step":
            given["schedule.anchors"] = self.luck.choice(((0.5,), (0.3, 0.6), ("1 epochs",)))
            given |= self.maybe(0.3, (0.2, 0.5), "schedule.factor")
        elif decay != "constant":
            given |= self.maybe(0.3, (0, 0.1), "schedule.floor")
            rewinds = (RewindSpec(start=0.25, every=0.25), RewindSpec(start="1 epochs", every=0.2))
            given |= self.maybe(0.2, rewinds, "schedule.rewind")
        return given | self.maybe(0.2, ("step", "epoch"), "schedule.lr_per")

    def rest(self) -> dict[str, Any]:
        """Evaluation and arithmetic."""
        every = EvaluateSpec(every=self.luck.choice((0.5, "20 steps", "1 epochs")))
        return {
            **self.maybe(0.3, (every, EvaluateSpec(train_examples=100)), "evaluate"),
            **self.maybe(0.2, (ComputeSpec(accumulate=2),), "compute"),
            **self.maybe(0.1, (ComputeSpec(precision="bfloat16"),), "compute"),
            **self.maybe(0.1, (ComputeSpec(channels_last=True),), "compute"),
        }

    def method(self, method: str) -> dict[str, Any]:
        """A sparse method with what belongs to it."""
        luck = self.luck
        given: dict[str, Any] = {"sparsity.method": method}
        given["sparsity.target"] = luck.choice((0.5, 0.8, 0.9, 0.95))
        if method == "sr_ste":
            return {**given, "sparsity.pattern": "2:4", "sparsity.target": 0.5}
        if method in ("set", "rigl", "granet"):
            given["sparsity.regrow.every"] = luck.choice(("2 steps", "4 steps", 0.02))
            given |= self.maybe(0.3, (0.1, 0.5), "sparsity.regrow.fraction")
            given |= self.maybe(0.3, ("linear", "constant"), "sparsity.regrow.decay")
        elif method not in ("obert", "ste", "top_kast", "powerpropagation"):
            scores = ("magnitude", "random", "saliency")
            given |= self.maybe(0.3, scores, "sparsity.score")
        if method == "obert":
            given |= {"sparsity.fisher.block": 8, "sparsity.fisher.gradients": 16}
            given |= {"sparsity.fisher.batch_size": 4, "sparsity.ramp.updates": 10}
        elif method == "gmp":
            ramps = (
                RampSpec(start=0.2, length=0.5),
                RampSpec(shape="linear", updates=12),
                RampSpec(start="10 steps", tail=0.3, first=0.3),
                RampSpec(shape="stepped", levels=(0.5, 0.8)),
                RampSpec(shape="exponential", every="2 steps"),
                RampSpec(shape=f"{OWN}:ramp"),
            )
            given |= self.maybe(0.5, ramps, "sparsity.ramp")
        elif method == "powerpropagation":
            given |= self.maybe(0.5, (1, 1.5, 3), "sparsity.power")
        elif method == "top_kast":
            given |= self.maybe(0.5, (1, 1.5, 5), "sparsity.top_kast.backward")
        elif method == "one_shot":
            given |= self.maybe(0.4, (0, 0.3), "sparsity.prune_at")
        allocations = ("global", "uniform", "erk", "er")
        return given | self.maybe(0.3, allocations, "sparsity.allocation")

    def search(self, optimizer: str, methods: Sequence[str], base: TrialSpec) -> dict[str, Any]:
        """Search axes that hold the base, with a sampler that fits."""
        luck = self.luck
        lr = base.optim.lr
        axes: dict[str, Any] = {"optim.lr": LogUniform(lr / 5, lr * 2)}
        if luck.random() < 0.3:
            axes["optim.lr"] = Choice([lr, lr / 2, lr / 4])
        if luck.random() < 0.3:
            axes["optim.ema"] = Choice(list(dict.fromkeys([base.optim.ema, 0.5, 0.8])))
        if luck.random() < 0.3 and optimizer == "sgd":
            axes["optim.momentum"] = Uniform(0.3, 0.97)
        fields: dict[str, Any] = {
            "search": axes,
            "configurations_per_cell": luck.choice((4, 8, 30)),
        }
        samplers: list[Any] = [Sobol(), Random(), TPE(n_startup=1), GP(), GP(n_startup=1)]
        samplers.append(OptunaSampler("TPESampler", {"multivariate": True}, n_startup=1))
        if fields["configurations_per_cell"] == 30 and len(axes) == 1:
            samplers.append(Grid(points=4))
        fields |= self.maybe(0.5, samplers, "sampler")
        rules = Halving(), Halving(rungs=(0.5,), settle=0), EARLY_HALVING
        fields |= self.maybe(0.3, rules, "stopping")
        fields |= self.maybe(0.2, (Budget(epochs=100), Budget(train_flops=1000)), "at_most")
        fields |= self.maybe(0.2, ([{"optim.lr": lr / 3}],), "known")
        fields |= self.maybe(0.2, (Budget(epochs=1e7),), "budget")
        if isinstance(axes["optim.lr"], Choice) or isinstance(fields.get("sampler"), Grid):
            fields.pop("known", None)
        return fields


def varied(study: Study, luck: random.Random) -> Study:
    """A study of the project with changes that leave every study valid."""
    changes: dict[str, Any] = {"name": f"varied-{luck.randrange(10**6)}"}
    changes["seed"] = luck.choice((0, 1, 99, 2**40))
    changes["report_seeds"] = luck.choice((1, 2, 5, 40))
    changes["search_seeds"] = luck.choice((1, 2, 3))
    if not isinstance(study.sampler, Grid):
        changes["configurations_per_cell"] = study.configurations_per_cell + luck.choice((0, 1, 9))
    if luck.random() < 0.3:
        changes["question"] = "And now?"
    values: dict[str, Any] = {}
    has_teacher = "distill" in str(study.given())  # which has the split of its students
    if luck.random() < 0.4 and not has_teacher:
        values["task.split_seed"] = luck.choice((1, 5))
    if luck.random() < 0.3 and not any("train_examples" in path for path in study.search):
        values["evaluate.train_examples"] = luck.choice((100, 2_000))
    return study.with_changes(base=study.base.edited(values), **changes)


def declared(seed: int) -> Study:
    """The valid declaration of a seed: the project's own first, then variations."""
    shown = list(shown_studies().values())
    if seed < len(shown):
        return shown[seed]
    luck = random.Random(f"valid {seed}")
    return varied(luck.choice(shown), luck) if luck.random() < 0.3 else Sound(seed).study()


def refusal(study: Study) -> str | None:
    """Why a study is refused; None if it is not."""
    if problems := [each for each in study.problems() if each.severity != "warning"]:
        return "; ".join(map(str, problems))
    try:
        json.dumps(preview_study(study), allow_nan=False)
    except SparsetuneError as error:
        return str(error)
    return None


def two_epochs(study: Study, luck: random.Random) -> TrialSpec | None:
    """A trial of a study in two epochs; None where its data are not here or it is too short."""
    short = study.with_changes(
        base=study.base.edited({"schedule.epochs": 2}),
        known=None,
        at_most=None,
    )
    tasks = (DigitsTask, CustomTask)
    if not isinstance(short.base.task, tasks) or refusal(short):
        return None
    # A page's own code is not importable here.
    if isinstance(short.base.task, CustomTask) and not find_spec(
        short.base.task.data.split(":")[0]
    ):
        return None
    try:
        cells = check_study(short, needs_data=False).study.cells()
    except DeclarationError:
        return None
    recipe = luck.choice(list(luck.choice(cells).corner_recipes()))
    spec = recipe.with_values({"schedule.epochs": 2, "schedule.epoch_multiplier": 1})
    return None if refusal(Study(name="alone", base=spec)) else spec


def trained(study: Study, spec: TrialSpec) -> str:
    """How a trial ends, in a word; a defect in capitals, with its text."""
    rows: list[dict[str, Any]] = []
    try:
        final = train(spec, report=rows.append)
    except Exception as error:
        return f"FAILED: {type(error).__name__}: {error}"
    if final.status == "COMPLETE":
        column = study.objective.column
        if not math.isfinite(rows[-1].get(column, math.nan)):
            return f"LACKS {column}"
    return str(final.status).lower() if final.status != "FAILED" else f"FAILED: {final}"


def seeds_of_shown() -> range:
    """Seeds of the project's own studies."""
    return range(len(shown_studies()))


def run(
    seeds: Sequence[int], trials: int, say: Callable[[str], None] = lambda _: None
) -> Counter[str]:
    """Counts of outcomes, defects in capitals; ``say`` gets a text for each defect."""
    counts: Counter[str] = Counter()
    chosen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in seeds:
            study = declared(seed)
            why = refusal(study)
            counts["REFUSED" if why else "valid"] += 1
            if why:
                say(f"seed {seed}, {study.name}: REFUSED: {why}")
            else:
                chosen.append((seed, study))
        random.Random(len(seeds)).shuffle(chosen)
        for seed, study in chosen:
            if counts["trained"] == trials:
                break
            spec = two_epochs(study, random.Random(f"trial {seed}"))
            if spec is None:
                continue
            found = trained(study, spec)
            counts["trained"] += 1
            counts[found.split(":")[0]] += 1
            if found[:2].isupper():
                say(f"seed {seed}, {study.name}: {found}: {spec.given()}")
    return counts


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    number = int(sys.argv[1])
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    trials = int(sys.argv[3]) if len(sys.argv) > 3 else TRIALS
    counted = run(
        range(first, first + number), trials, lambda text: print(text, file=sys.stderr, flush=True)
    )
    print(json.dumps({"declarations": number, "first_seed": first, **counted}, indent=1))
