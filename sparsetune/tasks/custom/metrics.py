"""Metrics of a user's task: built in, of torchmetrics, or their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from sparsetune.errors import DataError, DeclarationError, Problem, first_line
from sparsetune.imports import import_function, is_import_path
from sparsetune.spec.task import MetricSpec
from sparsetune.spec.task.custom import BUILT_IN_METRICS
from sparsetune.tasks.metrics import (
    Accuracy,
    ByOutcomes,
    IntersectionOverUnion,
    MetricState,
    PredictionMetric,
    PredictionMetricName,
    TaskMetric,
)
from sparsetune.tasks.nested import Nested, concatenate

FIELD = "task.metrics"


def task_metric(spec: MetricSpec) -> TaskMetric:
    """Metric that is declared.

    Raises:
        DeclarationError: if there is none of that name, it cannot be made with these arguments, or
            it has no direction.
    """
    if is_import_path(spec.name):
        return _own_metric(spec)
    if spec.name in BUILT_IN_METRICS:
        return ByOutcomes(_built_in(spec))
    return _torch_metric(spec)


def _built_in(spec: MetricSpec) -> Any:
    if spec.arguments:
        given = ", ".join(spec.arguments)
        raise _metric_error(f"`{spec.name}` takes no arguments", given)
    if spec.higher_is_better is False:
        raise _metric_error(f"`{spec.name}` is better when higher", "higher_is_better=False")
    match spec.name:
        case "accuracy":
            return Accuracy()
        case "iou":
            return IntersectionOverUnion()
        case _:
            name: PredictionMetricName = spec.name  # type: ignore[assignment]  # a built-in name
            return PredictionMetric(name)


def _own_metric(spec: MetricSpec) -> TaskMetric:
    found: Any = import_function(spec.name, FIELD)
    if isinstance(found, type):
        found = _made(found, spec)
    higher = _direction(spec, getattr(found, "higher_is_better", None))
    if hasattr(found, "outcomes"):
        return ByOutcomes(found)
    return FunctionMetric(found, higher, spec.name)


def _torch_metric(spec: MetricSpec) -> TaskMetric:
    try:
        import torchmetrics
    except ImportError as error:
        built_in = ", ".join(BUILT_IN_METRICS)
        rule = (
            f"must be one of {built_in}, your own `package.module:function`, or a class of"
            " torchmetrics, which is not installed (pip install torchmetrics)"
        )
        raise _metric_error(rule, repr(spec.name)) from error
    # Classes of one kind of targets, such as MultilabelF1Score, stand in a module of that kind.
    modules = [torchmetrics, torchmetrics.classification, torchmetrics.regression]
    known: dict[str, Any] = {}
    for module in reversed(modules):
        known |= {name: getattr(module, name) for name in module.__all__}
    found = known.get(spec.name)
    if not isinstance(found, type):
        near = get_close_matches(spec.name, known, n=4)
        theirs = f" such as {', '.join(near)}" if near else ""
        rule = (
            f"must be one of {', '.join(BUILT_IN_METRICS)}, a class of torchmetrics{theirs}, or"
            " your own `package.module:function`"
        )
        raise _metric_error(rule, repr(spec.name))
    metric = _made(found, spec)
    higher = _direction(spec, metric.higher_is_better)
    return TorchMetric(lambda: _made(found, spec), higher, spec.name)


def _made(found: Callable[..., Any], spec: MetricSpec) -> Any:
    try:
        return found(**spec.arguments)
    except Exception as error:  # a class of someone else's may raise anything
        given = ", ".join(f"{name}={value!r}" for name, value in spec.arguments.items())
        cause = f"{type(error).__name__}: {first_line(error)}"
        rule = f"`{spec.name}` must be made from its `arguments` ({cause})"
        raise _metric_error(rule, given or "no arguments") from error


def _direction(spec: MetricSpec, own: bool | None) -> bool:
    if spec.higher_is_better is not None:
        if own is not None and own != spec.higher_is_better:
            word = "higher" if own else "lower"
            rule = f"`{spec.name}` is better when {word}"
            raise _metric_error(rule, f"higher_is_better={spec.higher_is_better}")
        return spec.higher_is_better
    if own is None:
        rule = (
            f"`{spec.name}` must say its direction: give MetricSpec({spec.name!r},"
            " higher_is_better=…), or the function an attribute `higher_is_better`"
        )
        raise _metric_error(rule, "none")
    return bool(own)


def _metric_error(rule: str, got: str) -> DeclarationError:
    return DeclarationError([Problem(FIELD, rule, got)], "the metrics")


@dataclass(frozen=True)
class TorchMetric:
    """Metric of torchmetrics.

    Args:
        make: Makes a fresh one.
        higher_is_better: Direction.
        name: Its name, for messages.
    """

    make: Callable[[], Any]
    higher_is_better: bool
    name: str

    def start(self) -> MetricState:
        """See `sparsetune.tasks.metrics.TaskMetric`."""
        return _TorchState(self.make(), self.name)


@dataclass
class _TorchState:
    metric: Any
    name: str

    def update(self, outputs: Any, targets: Any) -> None:
        # Of one number to predict, networks give (n, 1), and torchmetrics wants (n,).
        if outputs.dim() == targets.dim() + 1 and outputs.shape[-1] == 1:
            outputs = outputs.squeeze(-1)
        with _naming(self.name):
            self.metric.to(outputs.device).update(outputs, targets)

    def compute(self) -> float:
        with _naming(self.name):
            value = self.metric.compute()
            return float(value)


@dataclass(frozen=True)
class FunctionMetric:
    """A user's function of all outputs and targets of a split.

    Args:
        function: The function.
        higher_is_better: Direction.
        name: Its path, for messages.
    """

    function: Callable[[Nested, Nested], Any]
    higher_is_better: bool
    name: str

    def start(self) -> MetricState:
        """See `sparsetune.tasks.metrics.TaskMetric`."""
        return _FunctionState(self.function, self.name)


@dataclass
class _FunctionState:
    function: Callable[[Nested, Nested], Any]
    name: str
    outputs: list[Nested] = field(default_factory=list)
    targets: list[Nested] = field(default_factory=list)

    def update(self, outputs: Nested, targets: Nested) -> None:
        self.outputs.append(outputs)
        self.targets.append(targets)

    def compute(self) -> float:
        with _naming(self.name):
            return float(self.function(concatenate(self.outputs), concatenate(self.targets)))


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """While open, name a user's metric in whatever it raises."""
    try:
        yield
    except Exception as error:  # code of someone else's may raise anything
        got = f"{type(error).__name__}: {first_line(error)}"
        rule = f"the metric `{name}` must return a number for outputs and targets"
        raise DataError(f"{rule}, got {got}") from error
