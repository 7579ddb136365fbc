"""Declarations that a seed makes, of plausible and implausible values in every field."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sparsetune.durations import Length
from sparsetune.spec import TrialSpec, set_field
from sparsetune.spec.columns import OBJECTIVE_COLUMNS
from sparsetune.spec.fields.trial import trial_fields
from sparsetune.spec.optimizer import OptimSpec
from sparsetune.spec.schedule import GMP_STAR_REWINDS, RewindSpec, ScheduleSpec
from sparsetune.spec.sparsity import (
    GMP_STAR,
    GRANET_CIFAR,
    OBERT_RAMP,
    PUBLISHED_ACDC,
    AcdcSpec,
    FisherSpec,
    RampSpec,
    SparsitySpec,
    TopKastSpec,
)
from sparsetune.spec.task import CustomTask, DigitsTask, FolderTask, GrowthSpec, ImageTask, TextTask
from sparsetune.spec.trial import DistillSpec
from sparsetune.study import Arm, Maximize, Minimize, Quick, Study
from sparsetune.study.budget import Budget
from sparsetune.study.questions.kinds import (
    ArmsDiffer,
    BestValueMoves,
    ExtensionGain,
    Remaining,
    RetuningGain,
    UnderTrained,
)
from sparsetune.study.samplers import GP, TPE, Grid, OptunaSampler, Random, Sobol
from sparsetune.study.space import Choice, IntRange, LogUniform, Uniform
from sparsetune.study.stopping import Halving

OWN = "tests.chaos.declarations.own"
"""Module of a user's own functions."""
TASKS = {
    "digits": DigitsTask,
    "image": ImageTask,
    "folder": FolderTask,
    "text": TextTask,
    "custom": CustomTask,
}
LENGTHS = (0, 0.05, 0.1, 0.25, 0.6, 1, "1 epochs", "2 epochs", "0.5 epochs", "5 steps", "100 steps")
PLAUSIBLE: dict[str, Sequence[Any]] = {
    "task.batch_size": (16, 32, 64, 128, 500, 5000),
    "task.validation": (0, 0.1, 0.2, 0.5, 100, 1e-6, 1000),
    "task.split_seed": (0, 1, 7, "vary"),
    "task.label_smoothing": (0, 0.1),
    "task.initialisation": ("drawn", "fixed"),
    "task.weights": (None, "weights-0123456789ab.safetensors", "/nowhere/w-12.pt"),
    "task.resolved": ((),),
    "task.model": ("mlp", "lenet_300_100", "resnet8", f"{OWN}:convolutions", f"{OWN}:raising"),
    "task.dataset": ("fashion_mnist", "cifar10", "hf:/nowhere/data", "sst2", "stsb", "cola"),
    "task.label": ("label", "class"),
    "task.train_split": ("train", "train[:80%]"),
    "task.test_split": (None, "test"),
    "task.image": ("image", "img"),
    "task.resize": (None, 8, 32),
    "task.train_examples": (None, 100, 1000, 60_000),
    "task.crop": (0, 2, 4),
    "task.flip": (True, False),
    "task.cutout": (0, 4),
    "task.folder": ("imagenet", "/nowhere/images"),
    "task.examples": (None, 2_000, 1_281_167),
    "task.classes": (None, 4, 10, 1000),
    "task.resolution": (32, 64),
    "task.growth": (None, GrowthSpec(first=32), GrowthSpec(first=32, start=0.2, length=0.5)),
    "task.growth.first": (32, 40, 64),
    "task.growth.start": LENGTHS,
    "task.growth.length": LENGTHS,
    "task.growth.multiple": (1, 8, 32),
    "task.least_area": (0.08, 0.25, 1),
    "task.eval_resolution": (None, 32, 64),
    "task.eval_resize": (None, 64, 72),
    "task.eval_batch": (None, 100),
    "task.decoding": ("pillow", "faithful"),
    "task.text": (("text",), ("premise", "hypothesis"), "text"),
    "task.max_length": (16, 32, 128),
    "task.group_by_length": (True, False),
    "task.metric": (None, "accuracy", "f1", "pearson"),
    "task.data": (f"{OWN}:data", f"{OWN}:numbers", f"{OWN}:raising", f"{OWN}:nothing", "no.mod:f"),
    "task.options": ({}, {"width": 8}, {"count": 90, "width": 4}, {"depth": 3}),
    "task.options.width": (4, 8, 32),
    "task.options.count": (60, 300),
    "task.loss": ("cross_entropy", "mse", "bce_with_logits", f"{OWN}:loss", f"{OWN}:NO_FUNCTION"),
    "task.metrics": ((), "accuracy", ("r2",), ("f1", "accuracy"), f"{OWN}:regret", "F1Score"),
    "task.normalise": (None, "standard"),
    "task.augment": (None, f"{OWN}:nothing", f"{OWN}:missing"),
    "optim.name": (
        *("sgd", "adamw", "adam", "adamax", "nadam", "radam", "rmsprop", "adagrad", "adadelta"),
        *("adafactor", "asgd", "rprop", "lbfgs", f"{OWN}:optimizer", f"{OWN}:nothing"),
    ),
    "optim.lr": (0.001, 0.01, 0.1, 1, 10),
    "optim.lr_batch": (None, 64, 256),
    "optim.weight_decay": (0, 1e-4, 0.01),
    "optim.decay_bias_and_norm": (True, False),
    "optim.momentum": (0, 0.5, 0.9, 0.99),
    "optim.nesterov": (True, False),
    "optim.beta1": (0, 0.9),
    "optim.beta2": (0.98, 0.999),
    "optim.arguments": ({}, {"eps": 1e-6}, {"foreach": True}, {"lr": 1}, {"unheard_of": 1}),
    "optim.arguments.eps": (1e-8, 1e-6, 0),
    "optim.clip_norm": (None, 1, 0.1),
    "optim.ema": (0, 0.9, 0.999),
    "schedule.epochs": (0.5, 1, 2, 4, 10, 30),
    "schedule.epoch_multiplier": (0.25, 1, 1.5, 2, 4),
    "schedule.stretch": (1, 2),
    "schedule.lr": ("linear", "cosine", "constant", "step", f"{OWN}:decay", f"{OWN}:nothing"),
    "schedule.warmup": (*LENGTHS, "100 epochs", "640 samples"),
    "schedule.anchors": ((), (0.3, 0.6), ("1 epochs", "3 epochs"), ("30 epochs", "60 epochs")),
    "schedule.factor": (0.1, 0.5),
    "schedule.floor": (0, 0.01, 0.5),
    "schedule.rewind": (None, RewindSpec(start=0.25, every=0.25), GMP_STAR_REWINDS),
    "schedule.rewind.start": LENGTHS,
    "schedule.rewind.every": LENGTHS,
    "schedule.lr_per": ("step", "epoch"),
    "sparsity.method": (
        *("dense", "static", "one_shot", "gmp", "gmp", "acdc", "set", "rigl", "granet", "sr_ste"),
        *(
            "obert",
            "transfer",
            "ste",
            "top_kast",
            "powerpropagation",
            f"{OWN}:HALVES",
            f"{OWN}:net",
        ),
    ),
    "sparsity.target": (0, 0.5, 0.75, 0.9, 0.95, 0.99, 0.9999, 0.3 * 3, 90),
    "sparsity.score": (None, "magnitude", "random", "saliency", "fisher", f"{OWN}:score"),
    "sparsity.allocation": (None, "global", "uniform", "erk", "er", "explicit", f"{OWN}:raising"),
    "sparsity.pattern": ("unstructured", "2:4", "1:4", "4:2"),
    "sparsity.spared": (None, (), ("*.weight",), ("0",), ("conv1", "no_layer")),
    "sparsity.layers": (
        (),
        ("*",),
        ("1.*",),
        (("*", 0.5),),
        (("1.weight", 0.9), ("*", 0.2)),
        (("no_layer", 0.3),),
    ),
    "sparsity.prunable_by": (None, "account", "modules"),
    "sparsity.method_choices": (1, 5),
    "sparsity.ramp": (RampSpec(), RampSpec(start=0, length=0.5), GMP_STAR, OBERT_RAMP),
    "sparsity.ramp.shape": ("cubic", "linear", "exponential", "stepped", f"{OWN}:falling"),
    "sparsity.ramp.start": LENGTHS,
    "sparsity.ramp.length": LENGTHS,
    "sparsity.ramp.tail": (None, *LENGTHS),
    "sparsity.ramp.first": (0, 0.5, 0.7),
    "sparsity.ramp.first_mask": ("score", "score", "erk"),
    "sparsity.ramp.updates": (1, 10, 50),
    "sparsity.ramp.every": (None, *LENGTHS),
    "sparsity.ramp.levels": ((), (0.5, 0.8), (0.8, 0.5)),
    "sparsity.acdc": (AcdcSpec(), PUBLISHED_ACDC),
    "sparsity.acdc.warmup": LENGTHS,
    "sparsity.acdc.compress": LENGTHS,
    "sparsity.acdc.decompress": LENGTHS,
    "sparsity.acdc.last_dense": LENGTHS,
    "sparsity.acdc.final": LENGTHS,
    "sparsity.regrow": (GRANET_CIFAR, {"every": "5 steps"}, {"every": "2 steps", "until": 0.5}),
    "sparsity.regrow.fraction": (0.1, 0.3),
    "sparsity.regrow.floor": (0, 0.05, 0.2),
    "sparsity.regrow.rounding": ("down", "up"),
    "sparsity.regrow.replaces_step": (None, True, False),
    "sparsity.regrow.decay": ("cosine", "linear", "constant"),
    "sparsity.regrow.every": ("2 steps", *LENGTHS),
    "sparsity.regrow.until": LENGTHS,
    "sparsity.regrow.batches": (1, 2),
    "sparsity.fisher": (FisherSpec(), FisherSpec(block=10, gradients=32)),
    "sparsity.fisher.block": (10, 50, 10**9),
    "sparsity.fisher.gradients": (16, 1024),
    "sparsity.fisher.batch_size": (1, 16, 5000),
    "sparsity.fisher.dampening": (1e-7, 1e-3),
    "sparsity.fisher.recomputations": (1, 2),
    "sparsity.checkpoint": (None, "/nowhere/model"),
    "sparsity.saliency_batches": (1, 2),
    "sparsity.prune_at": (0, 0.5, 1),
    "sparsity.reset": (None, "none", "grown", "all"),
    "sparsity.shadow_decay": (0, 2e-4),
    "sparsity.power": (0.5, 1, 1.5),
    "sparsity.top_kast": (TopKastSpec(), TopKastSpec(backward=4)),
    "sparsity.top_kast.backward": (0.5, 1, 4, 1000),
    "sparsity.top_kast.decay": (-1, 0, 1e-3),
    "sparsity.recalibrate": (0, 100, 10_000),
    "evaluate.every": (None, *LENGTHS),
    "evaluate.train_examples": (100, 10_000),
    "compute.precision": ("float32", "bfloat16"),
    "compute.channels_last": (True, False),
    "compute.compile": (True, False),
    "compute.accumulate": (1, 2, 3),
    "distill.hardness": (0, 0.5, 1),
    "distill.temperature": (1, 5.5),
    "distill.teacher": (None, TrialSpec(), TrialSpec(schedule=ScheduleSpec(warmup="9 epochs"))),
    "seed": (0, 1),
    # Whole parts.
    "task": (DigitsTask(), DigitsTask(model="resnet8"), ImageTask(), CustomTask(data=1, model=2)),
    "optim": (OptimSpec(), OptimSpec(name="adamw", lr=0.001)),
    "schedule": (ScheduleSpec(epochs=2), ScheduleSpec(lr="step", anchors=(0.5,))),
    "sparsity": (SparsitySpec(method="gmp", target=0.9), {"method": "acdc", "target": 0.5}),
    "evaluate": ({"every": 0.5}, {}),
    "compute": ({}, {"accumulate": 2}),
    "distill": (DistillSpec(), DistillSpec(hardness=0.5, teacher=TrialSpec())),
    # None of a trial's fields.
    "optim.learning_rate": (0.1,),
    "lr": (0.1,),
    "sparsity.ramp.": (0.1,),
}
"""Values that somebody may write, by field; some are right in some declarations only."""
MODELS_OF_TASKS = {
    "folder": ("resnet8", "resnet18", "resnet20"),
    "text": ("bert_tiny", "/nowhere/model"),
    "custom": (f"{OWN}:net", f"{OWN}:net", f"{OWN}:nothing", f"{OWN}:raising"),
}
SEARCHED = (
    *("optim.lr", "optim.weight_decay", "optim.momentum", "optim.beta1", "schedule.warmup"),
    *("schedule.epochs", "schedule.epoch_multiplier", "sparsity.ramp.start", "task.batch_size"),
    *("sparsity.ramp.length", "sparsity.regrow.fraction", "optim.name", "sparsity.method"),
    *("sparsity.score", "sparsity.target", "schedule.lr", "optim.clip_norm", "optim.ema"),
    *("task.label_smoothing", "optim.arguments.eps", "sparsity.allocation"),
)
"""Fields that are searched and swept more often than all others."""


class _Odd:
    """An object that no declaration knows."""


def _itself() -> list[Any]:
    """A list that holds itself."""
    values: list[Any] = []
    values.append(values)
    return values


def _deep(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


IMPLAUSIBLE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 1.5, -0.5, 90, 1e-300, 1e300, 10**30, -(10**400), 2**63),
    *(float("nan"), float("inf"), -float("inf"), -0.0, 1 + 2j, 5e-324),
    *(
        "",
        " ",
        "a",
        "0.9",
        "nan",
        "-1 epochs",
        "1e999 steps",
        "nan epochs",
        "5 apples",
        "1e30 steps",
    ),
    *("\ud800", "\x1b[2J\x07", "a\nb", "a" * 3000, "x:y", ":", "a.b:c", "os:remove", "é", "[red]"),
    *("0 steps", "1e-9 steps", "1e-300 epochs", f"{OWN}:leaving", f"{OWN}:nothing", "{}"),
    *([], [None], [1, 2], ["a"], [[]], (), (0.1,), {}, {"a": 1}, {1: 2}, {None: None}, {"": {}}),
    *({"kind": "digits"}, {"kind": 3}, {"kind": []}, {"lr": 0.1}, {"a": {"b": {"c": []}}}),
    *(b"bytes", {1, 2}, frozenset("ab"), range(3), _Odd(), _Odd, len, np.float64(0.5)),
    *(np.int64(3), np.array([1.0, 2.0]), np.array(0.5), np.nan, Length(3, "epochs"), Length(-1)),
    *(TrialSpec(), DigitsTask(), Arm(), Uniform(0, 1), Choice([1]), Minimize("val_error")),
    *(_itself(), _deep(40), [0.1] * 5000),
)
"""Values that nobody should write, in any field."""
RASH = (
    *(
        5000,
        1e-6,
        90,
        0.9999,
        0.3 * 3,
        10**9,
        10**20,
        2**53,
        10_000,
        1001,
        1000,
        "100 epochs",
        "5 steps",
    ),
    *(
        "lbfgs",
        "transfer",
        "sr_ste",
        "explicit",
        "4:2",
        "step",
        "stepped",
        "flops",
        "/nowhere/model",
    ),
    *("1:4", "2:4", "100 steps", "640 samples", "5 epochs", (0.5, 0.25), (0, 1), (0.8, 0.5)),
    *(f"{OWN}:{name}" for name in ("raising", "nothing", "NO_FUNCTION", "missing", "falling")),
    *("no.mod:f", "hf:/nowhere/data", "test_accuracy", "my_metric", "NoSampler", "/nowhere/images"),
)
"""Plausible values that are seldom right, which half of the declarations do without."""
NAMES = ("gmp", "dense", "acdc", "a", "größe 2", "a/b", "search", "", " ", "a.b", "x" * 200, "\x1b")


class Wild:
    """A generator of one declaration.

    Args:
        seed: Chooses everything.
    """

    def __init__(self, seed: int) -> None:
        self.luck = random.Random(seed)
        self.share = self.luck.choice((0, 0, 0, 0.01, 0.03, 0.1, 0.3))
        """Share of implausible values."""
        self.calm = not self.share and self.luck.random() < 0.7
        """True for a declaration that is likely to be right."""
        self.kind = self.luck.choice((*["digits"] * 6, *TASKS, "custom"))
        self.paths = [
            field.name
            for field in trial_fields()
            if field.kind in ("", self.kind) and field.name in PLAUSIBLE
        ]

    def study(self) -> dict[str, Any]:
        """Fields of a study."""
        luck = self.luck
        fields: dict[str, Any] = {"name": self.odd("fuzzed"), "base": self.odd(self.base())}
        made: dict[str, tuple[float, Callable[[], Any]]] = {
            "question": (0.2, lambda: "Why [not]?"),
            "questions": (0.2, lambda: [self.asked() for _ in range(luck.randint(1, 3))]),
            "arms": (0.6, lambda: self.named(self.arm)),
            "sweep": (0.6, self.sweep),
            "search": (0.6, self.search),
            "known": (
                0.15 * (not self.calm),
                lambda: [self.values(2) for _ in range(luck.randint(1, 3))],
            ),
            "known_base": (0.3 + 0.7 * self.calm, lambda: self.calm or luck.random() < 0.7),
            "objective": (0.4, self.objective),
            "sampler": (0.4, self.sampler),
            "stopping": (0.2, self.stopping),
            "equal": (0.15, lambda: self.pick(("epochs", "train_flops", "flops"))),
            "at_most": (0.2, self.budget),
            "budget": (0.1, self.budget),
            "until_settled": (0.1, lambda: self.pick((1, 4, 6, 7, 12, 10**20))),
            "configurations_per_cell": (0.4, lambda: self.pick((1, 2, 4, 8, 16, 40))),
            "search_seeds": (0.2, lambda: self.pick((1, 2, 1000, 1001))),
            "report_seeds": (0.3, lambda: self.pick((1, 2, 3, 10_000, 10**20))),
            "seed": (0.2, lambda: self.pick((0, 5, 2**53))),
            "quick_form": (0.3 - 0.15 * self.calm, self.quick),
        }
        for name, (probability, make) in made.items():
            if luck.random() < probability:
                fields[name] = self.odd(make())
        if luck.random() < self.share:
            fields[luck.choice(("budgets", "arm", "objectives", ""))] = self.odd(1)
        return fields

    def odd(self, value: Any) -> Any:
        """The value, or an implausible one."""
        return self.luck.choice(IMPLAUSIBLE) if self.luck.random() < self.share else value

    def value(self, path: str) -> Any:
        """A value of a field."""
        sensible = PLAUSIBLE[path]
        if path == "task.model":
            sensible = MODELS_OF_TASKS.get(self.kind, sensible)
        return self.odd(self.pick(sensible))

    def pick(self, values: Sequence[Any]) -> Any:
        """One of some values."""
        if self.calm:
            values = [one for one in values if one not in RASH] or values
        return self.luck.choice(values)

    def path(self) -> str:
        """A field of the trial, or none of one."""
        if self.luck.random() < self.share:
            return self.luck.choice((*PLAUSIBLE, "", "sparsity", "a\nb", "\x1b[2J", "..", "arms.a"))
        return self.luck.choice(SEARCHED if self.luck.random() < 0.5 else self.paths)

    def axis_path(self) -> str:
        """A field for an axis."""
        return self.luck.choice(SEARCHED) if self.calm else self.path()

    def values(self, most: int) -> dict[str, Any]:
        """Values of some fields."""
        paths = [self.path() for _ in range(self.luck.randint(0, most))]
        return {path: self.value(path) if path in PLAUSIBLE else 1 for path in paths}

    def base(self) -> Any:
        """The trial: as parts, as nested values, or as a changed one."""
        luck = self.luck
        given: dict[str, Any] = {"kind": self.kind}
        if self.kind == "custom":
            given |= {"data": f"{OWN}:data", "model": f"{OWN}:net"}
        if self.kind == "text":
            given["model"] = "bert_tiny"
        if self.kind == "folder":
            given |= {"model": "resnet8", "examples": 2000, "classes": 4, "validation": 0.1}
        values: dict[str, Any] = {"schedule.epochs": luck.choice((2, 4, 10, 30))}
        if luck.random() < 0.5:
            values["sparsity.method"] = self.value("sparsity.method")
            values["sparsity.target"] = self.value("sparsity.target")
        values |= {
            path: value for path, value in self.values(3 if self.calm else 5).items() if path
        }
        nested: dict[str, Any] = {"task": given}
        for path, value in values.items():
            set_field(nested, path, value)
        route = luck.randrange(3)
        if route == 0 and isinstance(nested["task"], dict):
            chosen = {name: item for name, item in nested["task"].items() if name != "kind"}
            nested["task"] = TASKS[self.kind](**chosen)
            return TrialSpec(**nested)
        if route == 1:
            return TrialSpec(task=given).edited(values)
        return TrialSpec(**nested) if luck.random() < 0.8 else nested

    def named(self, make: Callable[[], Any]) -> dict[Any, Any]:
        """Some arms by name."""
        if self.calm:
            return {name: make() for name in self.luck.sample(NAMES[:5], 2)}
        names = NAMES if self.luck.random() < self.share * 3 else NAMES[:5]
        return {self.odd_key(self.luck.choice(names)): self.odd(make()) for _ in range(2)}

    def odd_key(self, name: Any) -> Any:
        """The name, or a key that is no text."""
        return self.luck.choice((1, None, ("a",))) if self.luck.random() < self.share / 3 else name

    def arm(self) -> Any:
        """An arm with a method, and axes of its own at times."""
        values = {"sparsity.method": self.value("sparsity.method"), **self.values(2)}
        own: dict[str, Any] = {}
        if self.luck.random() < 0.2:
            own["sweep"] = self.odd(self.sweep())
        if self.luck.random() < 0.2:
            own["search"] = self.odd(self.search())
        values.pop("", None)
        return Arm(self.odd(values), **own)

    def sweep(self) -> dict[Any, Any]:
        """Sweep axes, targets most of the time."""
        axes: dict[Any, Any] = {}
        if self.luck.random() < 0.7:
            axes["sparsity.target"] = self.odd([0, self.value("sparsity.target")])
        for _ in range(self.luck.randint(0, 2)):
            path = self.axis_path()
            count = self.luck.randint(1, 3)
            drawn = [self.value(path) if path in PLAUSIBLE else 1 for _ in range(count)]
            drawn = list(dict.fromkeys(drawn)) if self.calm else drawn
            axes[self.odd_key(path)] = self.odd(drawn)
        return axes

    def search(self) -> dict[Any, Any]:
        """Search axes."""
        paths = dict.fromkeys(self.axis_path() for _ in range(self.luck.randint(0, 3)))
        return {self.odd_key(path): self.odd(self.axis(path)) for path in paths}

    def axis(self, path: str) -> Any:
        """A range or a choice of a field's plausible values."""
        given = PLAUSIBLE.get(path, (1, 2))
        numbers = [one for one in given if isinstance(one, int | float) and one is not True]
        if len(numbers) > 1 and self.luck.random() < 0.7:
            low, high = self.odd(min(numbers)), self.odd(max(numbers))
            kinds = (Uniform, LogUniform, LogUniform, IntRange)
            whole = isinstance(low, int) and isinstance(high, int)
            kind = self.luck.choice(kinds[:3] if self.calm and not whole else kinds)
            if kind is LogUniform and isinstance(low, int | float) and low == 0:
                low = 1e-6
            return kind(low, high)
        options = [one for one in given if one not in RASH] if self.calm else list(given)
        drawn = self.luck.sample(options, self.luck.randint(1, min(3, len(options))))
        drawn = list(dict.fromkeys(drawn)) if self.calm else drawn
        return Choice(self.odd([self.odd(one) for one in drawn]))

    def objective(self) -> Any:
        """An objective on a column."""
        names = (*OBJECTIVE_COLUMNS, "val_r2", "val_regret", "test_accuracy", "my_metric")
        column = self.odd(self.pick(names))
        kinds = (Minimize, Maximize)
        if self.calm:
            kinds = (Maximize,) if column in ("val_accuracy", "val_score") else (Minimize,)
        return self.luck.choice(kinds)(column)

    def sampler(self) -> Any:
        """A sampler."""
        luck = self.luck
        makers: tuple[Callable[[], Any], ...] = (
            Sobol,
            Random,
            Grid,
            lambda: Grid(points=self.odd(luck.choice((2, 3, 10_000)))),
            GP,
            lambda: GP(n_startup=self.odd(luck.choice((1, 3, 10, None)))),
            lambda: TPE(n_startup=self.odd(luck.choice((1, 3, 10)))),
            lambda: OptunaSampler(
                self.odd(luck.choice(("CmaEsSampler", "GPSampler", "TPESampler", "NoSampler"))),
                self.odd(luck.choice(({}, {"multivariate": True}, {"seed": 3}, {"a": []}))),
                n_startup=self.odd(luck.choice((1, 3))),
            ),
        )
        return luck.choice(makers)()

    def asked(self) -> Any:
        """A question."""
        luck = self.luck
        arm = self.odd(luck.choice((None, "gmp", "dense", "nobody")))
        margin = self.odd(luck.choice((None, 0.002, 0.01, 3)))
        makers: tuple[Callable[[], Any], ...] = (
            lambda: UnderTrained(arm, margin=margin),
            lambda: ExtensionGain(arm, margin=margin),
            lambda: RetuningGain(arm, margin=margin),
            lambda: BestValueMoves(arm, field=self.odd("optim.lr"), margin=self.odd(2)),
            lambda: ArmsDiffer("gmp", other="rigl", sparsity=self.odd(0.9), margin=margin),
            lambda: Remaining(arm),
        )
        return luck.choice(makers)()

    def stopping(self) -> Any:
        """A stopping rule."""
        rungs = self.pick(((0.25, 0.5), (0.5,), (0.5, 0.25), (0, 1), (0.999,), (1e-12,)))
        return Halving(
            rungs=self.odd(rungs),
            reduction=self.odd(self.luck.choice((2, 3, 1e9))),
            settle=self.odd(self.luck.choice((0, 0.1, 0.99))),
            settled_from=self.odd(self.luck.choice((0, 0.5, 0.99))),
            early=self.odd(self.luck.choice((True, False))),
        )

    def budget(self) -> Any:
        """A budget."""
        limits = {"epochs": (0.1, 4, 40, 1e6), "train_flops": (1, 10, 1e6)}
        chosen = self.luck.sample(list(limits), self.luck.randint(0, 2))
        return Budget(**{name: self.odd(self.luck.choice(limits[name])) for name in chosen})

    def quick(self) -> Any:
        """A quick form."""
        luck = self.luck
        fields: dict[str, Any] = {"overrides": self.odd(self.values(3))}
        if luck.random() < 0.4:
            fields["sweep"] = self.odd(self.sweep())
        if luck.random() < 0.3:
            fields["arms"] = self.odd(self.named(self.arm))
        if luck.random() < 0.3:
            fields["configurations_per_cell"] = self.odd(luck.choice((1, 2, 3)))
            fields["known_base"] = True
        return Quick(**fields)

    def texts(self) -> list[str]:
        """Words of ``--set``."""
        return [self.text(path, self.value(path)) for path in self.values(2) if path in PLAUSIBLE]

    def text(self, path: str, value: Any) -> str:
        """One word of ``--set``, most of the time of the form ``field=value``."""
        written = str(value).lower() if isinstance(value, bool) else str(value)
        return self.odd_text(f"{path}={written[:200]}")

    def odd_text(self, text: str) -> str:
        """The text, or one that cannot be read."""
        odd = (
            "",
            "=",
            "a",
            "=1",
            "optim.lr=",
            "optim.lr==1",
            "optim=1",
            '{"a":1}',
            "base=1",
            "a.=1",
        )
        return self.luck.choice(odd) if self.luck.random() < self.share else text

    def additions(self, axes: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """What an extension adds."""
        luck = self.luck
        added: dict[str, Any] = {}
        if luck.random() < 0.5:
            added["report_seeds"] = luck.choice((0, 1, 10_000, 10**30))
        if luck.random() < 0.5:
            added["configurations_per_cell"] = luck.choice((0, 1, 10_000))
        paths = [*axes, "optim.lr"] if luck.random() < 0.2 else list(axes)
        if paths:
            name = luck.choice(paths)
            field = name.rpartition("sweep.")[2]
            drawn = [self.value(field) if field in PLAUSIBLE else 1 for _ in range(2)]
            # A command line gives texts, numbers, truth values and JSON, never objects.
            added["sweep"] = {name: [one for one in drawn if isinstance(one, _JSON)]}
        return added


_JSON = (int, float, str, bool, list, dict, type(None))


def declare(seed: int) -> Study:
    """The declaration of a seed, valid or not."""
    return Study(**Wild(seed).study())
