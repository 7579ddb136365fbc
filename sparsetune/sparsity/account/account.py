"""The account: every parameter of two or more dimensions is pruned, spared, or dense for a reason.

What a name in `SparsitySpec.layers` says comes before what a parameter is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from torch import nn

from sparsetune.errors import Problem
from sparsetune.imports import is_import_path
from sparsetune.sparsity.account.owners import (
    EMBEDDINGS,
    ComputedWeight,
    Owner,
    computed_weights,
    parameter_owners,
)
from sparsetune.sparsity.account.trace import ForwardTrace
from sparsetune.sparsity.layers import Layer, matches_name, prunable_weights
from sparsetune.sparsity.masks.allocation import spared_layers
from sparsetune.sparsity.methods.registry import method_of
from sparsetune.spec.sparsity import TAKEN_AWAY, SparsitySpec

Status = Literal["pruned", "spared", "dense"]
MAX_NAMED = 3
"""Parameters of one reason that a message names; of more, the number follows."""
MAX_LISTED = 12
"""Names that a message offers instead of an unknown one."""
NAMED_AWAY = "taken away by `sparsity.layers`"
PART_OF = "part of the computed weight of"
GRADIENT_SCORES = ("saliency", "fisher")


@dataclass(frozen=True)
class AccountRow:
    """What becomes of one parameter.

    Args:
        name: Name of the parameter.
        shape: Its shape.
        status: ``pruned``, with the layers that share the sparsity; ``spared``, by name or by the
            allocation; ``dense``, for another reason.
        reason: Why it is not pruned; empty if it is.
    """

    name: str
    shape: tuple[int, ...]
    status: Status
    reason: str = ""

    def facts(self) -> dict[str, Any]:
        """The row as plain JSON values."""
        return {
            "name": self.name,
            "shape": list(self.shape),
            "status": self.status,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Account:
    """Account of a network's parameters under a declaration.

    Args:
        layers: Prunable layers in the network's order, those too that `sparsity.spared` or the
            allocation spares.
        rows: Every parameter of two or more dimensions, in the network's order.
        parameters: Number of parameters of any dimensions.
        without_gradient: Prunable layers that get no gradient, which were named, each with why.
        computed: Computed weights that are pruned through a parameter, by its name.
        problems: What in the declaration does not fit the network.
    """

    layers: list[Layer]
    rows: list[AccountRow]
    parameters: int
    without_gradient: Mapping[str, str] = field(default_factory=dict)
    computed: Mapping[str, ComputedWeight] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def prunable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Parameters of the layers, of the network or of one that was built like it."""
        parameters = dict(model.named_parameters())
        return {layer.name: parameters[layer.name] for layer in self.layers}

    def facts(self) -> list[dict[str, Any]]:
        """The rows as plain JSON values."""
        return [row.facts() for row in self.rows]

    def warnings(self) -> list[Problem]:
        """What is left dense without having been named, in one sentence; empty if nothing is."""
        left = _by_reason([row for row in self.rows if row.status == "dense"])
        if not left or not self.layers:
            return []
        weights = sum(layer.weights for layer in self.layers)
        share = f"{weights:,} of {self.parameters:,} parameters"
        percent = f"{100 * weights / self.parameters:.3g} %"
        rule = (
            f"the target holds for {share} ({percent}), the rest stays dense ({left});"
            " add layers by name, or take them away with `-` in front"
        )
        return [Problem("sparsity.layers", rule, severity="warning")]


def account_for(
    model: nn.Module,
    sparsity: SparsitySpec,
    trace: ForwardTrace,
    among: Collection[str] | None = None,
) -> Account:
    """Account for a network's parameters.

    Args:
        model: Network on any device.
        sparsity: Declaration.
        trace: Trace of its forward pass.
        among: Names of the layers that are pruned unless they are named, where the network has
            other linear layers too; None for every linear and convolution layer.
    """
    spec = sparsity.resolved()
    entries = spec.layer_patterns() if spec.prunes else ()
    parts = _Parts(model, trace, spec.prunable_by != "modules", among)
    decide = partial(_decide, parts, spec)
    layers, rows = decide(entries)
    problems = _entry_problems(parts, entries, rows, decide)
    problems += parts.computed_problems(layers, entries)
    if not layers and spec.prunes:
        left = _by_reason(rows)
        found = f" ({left})" if left else ""
        rule = (
            "the model must have a linear or convolution layer that trains, or nothing can be"
            f" pruned{found}; name other layers in `sparsity.layers`"
        )
        problems.append(Problem("task.model", rule))
    named = {layer.name for layer in layers}
    return Account(
        layers,
        rows,
        sum(parameter.numel() for parameter in model.parameters()),
        {name: why for name, why in parts.still.items() if name in named},
        {name: computed for name, computed in parts.underlying.items() if name in named},
        problems,
    )


class _Parts:
    """What is known of each parameter before names count.

    Args:
        model: The network.
        trace: Trace of its forward pass.
        in_full: Whether frozen, unused, shared and computed weights are told apart.
        among: As for `account_for`.
    """

    def __init__(
        self,
        model: nn.Module,
        trace: ForwardTrace,
        in_full: bool,
        among: Collection[str] | None,
    ) -> None:
        owners = parameter_owners(model)
        self.parameters = {
            name: parameter for name, parameter in model.named_parameters() if parameter.dim() >= 2
        }
        self.aliases = _aliases(model)
        self.underlying: dict[str, ComputedWeight] = {}
        """Computed weights by the name of the parameter of their shape."""
        self.unprunable: list[ComputedWeight] = []
        """Weights of linear and convolution layers that no single parameter has the shape of."""
        self.reasons: dict[str, str] = {}
        """Why a parameter is not pruned, by name; those that are are absent."""
        self.still: dict[str, str] = {}
        """Why a parameter gets no gradient, by name."""
        self.owners: dict[str, list[Owner]] = {}
        self._supports: set[str] = set()
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        for owner, computed in computed_weights(model):
            self._add_computed(owner, computed, names, owners, in_full)
        old = prunable_weights(model) if not in_full else {}
        for name, parameter in self.parameters.items():
            self.owners[name] = owners.get(id(parameter), [])
            self._judge(name, parameter, trace, in_full, among, old)
        if in_full:
            self._judge_shared_memory()

    def names(self) -> list[str]:
        """Names that an entry may match."""
        return [name for name in self.parameters if name not in self._supports]

    def matches(self, name: str, pattern: str) -> bool:
        """True if a pattern matches a parameter that can be pruned, by any of its names."""
        if name in self._supports:
            return False
        return any(matches_name(each, pattern) for each in (name, *self.aliases.get(name, ())))

    def layer(self, name: str) -> Layer:
        """The parameter as a layer."""
        owners = self.owners[name]
        computed = self.underlying.get(name)
        return Layer(
            name,
            tuple(self.parameters[name].shape),
            owners[0].kind if owners else "",
            self.aliases.get(name, ()),
            computed.norm_dims if computed else (),
        )

    def computed_problems(self, layers: Sequence[Layer], entries: Sequence[str]) -> list[Problem]:
        """Problem of each computed weight that cannot be pruned, and is not taken away."""
        problems = []
        for computed in self.unprunable:
            last = [entry for entry in entries if _entry_matches_layer(entry, computed.layer)]
            if last and last[-1].startswith(TAKEN_AWAY):
                continue
            rule = (
                f"the weight of `{computed.layer}` is computed ({computed.by}), and no single"
                f' parameter has its shape: take it away, `"-{computed.layer}"`'
            )
            problems.append(Problem("sparsity.layers", rule))
        return problems

    def _add_computed(
        self,
        owner: Owner,
        computed: ComputedWeight,
        names: Mapping[int, str],
        owners: dict[int, list[Owner]],
        in_full: bool,
    ) -> None:
        for other in computed.others:
            self._supports.add(names[id(other)])
            self.reasons[names[id(other)]] = f"{PART_OF} `{computed.layer}`"
        if computed.parameter is None:
            if owner.is_prunable and in_full:
                self.unprunable.append(computed)
            return
        name = names[id(computed.parameter)]
        owners[id(computed.parameter)] = [owner]
        if not in_full:
            self.reasons[name] = f"its layer's weight is computed from it ({computed.by})"
        self.underlying[name] = computed

    def _judge(
        self,
        name: str,
        parameter: nn.Parameter,
        trace: ForwardTrace,
        in_full: bool,
        among: Collection[str] | None,
        old: Mapping[str, nn.Parameter],
    ) -> None:
        """Find why a parameter stays dense, if it does, and why it gets no gradient."""
        owners = self.owners[name]
        if not parameter.requires_grad:
            self.still[name] = "frozen"
        elif name in trace.unread:
            self.still[name] = "unused"
        if name in self.reasons:
            return
        if among is not None:
            if name not in among:
                is_prunable = any(owner.is_prunable for owner in owners)
                outside = "outside of the encoder's blocks"
                self.reasons[name] = outside if is_prunable else _reason(owners)
            return
        if not in_full:
            if name not in old:
                self.reasons[name] = _reason(owners)
            return
        embeddings = [owner.path for owner in owners if isinstance(owner.module, EMBEDDINGS)]
        prunable = [owner for owner in owners if owner.is_prunable]
        if not prunable:
            self.reasons[name] = _reason(owners)
        elif embeddings:
            self.reasons[name] = f"shared with the embedding `{embeddings[0]}`"
        elif name in self.still:
            self.reasons[name] = self.still[name]

    def _judge_shared_memory(self) -> None:
        """Leave one of two parameters that share their numbers dense; an embedding's comes first.

        Two modules that share a parameter have one; two parameters may still share memory.
        """
        first: dict[Any, str] = {}
        for name, parameter in self.parameters.items():
            place = (parameter.untyped_storage()._cdata, parameter.storage_offset())
            if place not in first:
                first[place] = name
                continue
            for one, other in ((first[place], name), (name, first[place])):
                for owner in self.owners[other]:
                    if isinstance(owner.module, EMBEDDINGS):
                        self.reasons.setdefault(one, f"shared with the embedding `{owner.path}`")
            if first[place] not in self.reasons and name not in self.reasons:
                self.reasons[name] = f"shares its memory with `{first[place]}`"


def _decide(
    parts: _Parts, spec: SparsitySpec, entries: Sequence[str]
) -> tuple[list[Layer], list[AccountRow]]:
    """Layers and rows under these entries of `SparsitySpec.layers`."""
    layers = []
    away = set()
    for name in parts.parameters:
        last = [entry for entry in entries if parts.matches(name, entry.removeprefix(TAKEN_AWAY))]
        is_taken_away = bool(last) and last[-1].startswith(TAKEN_AWAY)
        if is_taken_away:
            away.add(name)
        elif last or name not in parts.reasons:
            layers.append(parts.layer(name))
    spared: Iterable[Layer] = ()
    if spec.prunes:
        as_named = spec.model_copy(update={"layers": (*entries, *spec.explicit_sparsities())})
        spared = spared_layers(layers, as_named)
    by_allocation = {layer.name for layer in spared}
    prunable = {layer.name for layer in layers}
    rows = []
    for name, parameter in parts.parameters.items():
        status: Status = "dense"
        if name in away:
            status, reason = "spared", NAMED_AWAY
        elif name in by_allocation:
            rule = "`sparsity.spared`" if spec.spared is not None else f"`{spec.allocation}`"
            status, reason = "spared", f"spared by {rule}"
        elif name in prunable:
            status, reason = "pruned", ""
        else:
            reason = parts.reasons[name]
        rows.append(AccountRow(name, tuple(parameter.shape), status, reason))
    return layers, rows


def _entry_problems(
    parts: _Parts,
    entries: Sequence[str],
    rows: list[AccountRow],
    decide: Callable[[Sequence[str]], tuple[list[Layer], list[AccountRow]]],
) -> list[Problem]:
    """Entries that match nothing, or change nothing."""
    problems = []
    for index, entry in enumerate(entries):
        pattern = entry.removeprefix(TAKEN_AWAY)
        is_computed = any(_entry_matches_layer(entry, one.layer) for one in parts.unprunable)
        if not any(parts.matches(name, pattern) for name in parts.parameters) and not is_computed:
            names = parts.names()
            listed = ", ".join(f"`{name}`" for name in names[:MAX_LISTED])
            more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
            rule = f"must match a parameter of two or more dimensions, such as {listed}{more}"
            problems.append(Problem("sparsity.layers", rule, repr(entry)))
            continue
        others = [*entries[:index], *entries[index + 1 :]]
        if not is_computed and decide(others)[1] == rows:
            rule = (
                "changes nothing, since what it matches is so anyway: names add to the linear and"
                " convolution layers; to prune one alone, take the others away first, as in"
                f' `["-*", "{pattern}"]`'
            )
            problems.append(Problem("sparsity.layers", rule, repr(entry)))
    return problems


def gradient_problems(account: Account, given: SparsitySpec) -> list[Problem]:
    """Problem of a method or score that needs gradients of layers that get none."""
    spec = given.resolved()
    if not account.without_gradient or not spec.prunes:
        return []
    method = method_of(spec.method)
    score = spec.score or ""
    needs = None
    if method.grows_by:
        needs = f"the method `{spec.method}` trains what grows back"
    elif "score" in method.fields and (score in GRADIENT_SCORES or is_import_path(score)):
        needs = f"the score `{score}` may read gradients"
    if needs is None:
        return []
    named = ", ".join(f"`{name}` ({why})" for name, why in account.without_gradient.items())
    rule = f"{needs}, and these layers get none: take their names out of `sparsity.layers`"
    return [Problem("sparsity.layers", rule, named)]


def _by_reason(rows: Iterable[AccountRow]) -> str:
    """What rows leave dense, by reason; norms of a weight norm and the like are no layers."""
    left: dict[str, list[str]] = {}
    for row in rows:
        if row.reason and not row.reason.startswith(PART_OF):
            left.setdefault(row.reason, []).append(row.name)
    return "; ".join(f"{reason}: {named_list(names)}" for reason, names in left.items())


def named_list(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(f"`{name}`" for name in names[:MAX_NAMED])
    more = len(names) - MAX_NAMED
    return f"{shown} and {more} more" if more > 0 else shown


def _entry_matches_layer(entry: str, layer: str) -> bool:
    return matches_name(f"{layer}.weight".removeprefix("."), entry.removeprefix(TAKEN_AWAY))


def _reason(owners: Sequence[Owner]) -> str:
    return owners[0].reason if owners else "held by no layer"


def _aliases(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """Other names of each shared parameter, by its first."""
    first: dict[int, str] = {}
    aliases: dict[str, tuple[str, ...]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        known = first.setdefault(id(parameter), name)
        if known != name:
            aliases[known] = (*aliases.get(known, ()), name)
    return aliases
