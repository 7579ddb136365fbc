"""Trace of a forward pass: the parameters that it reads, and the FLOPs of the products they are in.

It is made on the meta device, without memory, where a network allows that; on the CPU where its
forward pass looks at values.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.flop_counter import flop_registry

from sparsetune.seeds import seeded_generators

Example = torch.Tensor | tuple[torch.Tensor, ...] | Mapping[str, torch.Tensor]
"""Input of a network: one tensor, several, or keyword arguments as language models take them."""


@dataclass(frozen=True)
class ForwardTrace:
    """What a forward pass of one example does with each parameter.

    Args:
        costs: FLOPs of products, by the names of the parameters that they read as they are, and of
            those that they read in another form.
        unread: Parameters that the pass does not read, in evaluation or in training. Empty where
            it depends on values.
        computed: Parameters that are multiplied in another form: a product reads a tensor that was
            computed from them, of as many numbers.
        nonzeros: Number of entries that are not zero in such a tensor, the most of all, by the
            parameter's name; on the CPU alone.
        outputs: Outputs of the network.
        on_meta: Made on the meta device.
    """

    costs: Mapping[tuple[frozenset[str], frozenset[str]], int]
    unread: frozenset[str]
    computed: frozenset[str]
    nonzeros: Mapping[str, int]
    outputs: Any = field(repr=False)
    on_meta: bool = True


def trace_forward(model: nn.Module, example: Example) -> ForwardTrace:
    """Trace the forward pass of one example, in evaluation mode.

    Args:
        model: Network on any device. It is not changed; its tensors are not copied where the meta
            device will do.
        example: One example (a batch of one); only the shapes and types of its tensors matter.

    Raises:
        Exception: whatever the network raises.
    """
    try:
        trace = _trace_on(model, example, "meta")
    except Exception:  # the forward pass may look at values, in any way
        if is_meta(model):
            raise
        return trace_values(model, example)
    if not trace.unread:
        return trace
    return _without_training_alone(trace, model, example)


def trace_values(model: nn.Module, example: Example) -> ForwardTrace:
    """Trace the forward pass on the CPU, of a copy with the network's values.

    The example has random values in [0, 1), its whole numbers are zero. Global generators are left
    as they are.
    """
    with seeded_generators(0):
        return _trace_on(model, example, "cpu")


def is_meta(model: nn.Module) -> bool:
    """True if a network has parameters without values."""
    return any(parameter.is_meta for parameter in model.parameters())


def _without_training_alone(
    trace: ForwardTrace, model: nn.Module, example: Example
) -> ForwardTrace:
    """The trace, without parameters among the unread that a pass in training reads."""
    # Two examples: batch norm refuses one.
    doubled = tree_map_only(torch.Tensor, lambda one: torch.cat([one, one]), example)
    try:
        training = _trace_on(model, doubled, "meta", training=True)
        unread = trace.unread & training.unread
    except Exception:  # not known then
        unread = frozenset()
    return ForwardTrace(
        trace.costs, unread, trace.computed, trace.nonzeros, trace.outputs, trace.on_meta
    )


def _trace_on(
    model: nn.Module, example: Example, device: str, training: bool = False
) -> ForwardTrace:
    copied = copy_to(model, device).train(training)
    given = tree_map_only(torch.Tensor, lambda tensor: _tensor_like(tensor, device), example)
    recorder = _Recorder(dict(copied.named_parameters()), tree_leaves(given))
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.device(device))
        if device == "cpu":
            stack.enter_context(_plain_kernels())
        stack.enter_context(recorder)
        if isinstance(given, Mapping):
            outputs = copied(**given)
        elif isinstance(given, tuple):
            outputs = copied(*given)
        else:
            outputs = copied(given)
    on_meta = device == "meta"
    unread = recorder.names - recorder.read if on_meta else frozenset()
    return ForwardTrace(
        dict(recorder.costs),
        unread,
        frozenset(recorder.computed),
        recorder.nonzeros,
        outputs,
        on_meta,
    )


def _tensor_like(tensor: torch.Tensor, device: str) -> torch.Tensor:
    """Tensor of an example on another device: random numbers, whole ones zero."""
    if device == "meta":
        return torch.empty_like(tensor, device="meta")
    if tensor.is_floating_point():
        return torch.rand_like(tensor, device=device)
    return torch.zeros_like(tensor, device=device)


@contextmanager
def _plain_kernels() -> Iterator[None]:
    """While open, layers multiply by operations whose FLOPs are known, not by fused ones."""
    is_fast = torch.backends.mha.get_fastpath_enabled()
    # The public context sets precisions too, and warns.
    has_mkldnn = torch._C._get_mkldnn_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(is_fast)
        torch._C._set_mkldnn_enabled(has_mkldnn)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records what each operation reads.

    Tensors are known by their storage, which their views share: a transposed weight is the weight.
    """

    def __init__(self, parameters: Mapping[str, torch.Tensor], inputs: Collection[Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names = frozenset(parameters)
        self.costs: Counter[tuple[frozenset[str], frozenset[str]]] = Counter()
        self.read: set[str] = set()
        self.computed: set[str] = set()
        self.nonzeros: dict[str, int] = {}
        self._sizes = {name: parameter.numel() for name, parameter in parameters.items()}
        # Storages are kept alive, so that none takes the place of another.
        self._own = {weight.untyped_storage(): name for name, weight in parameters.items()}
        self._computed_from: dict[Any, frozenset[str]] = {}
        self._of_data = {tensor.untyped_storage() for tensor in inputs if _has_storage(tensor)}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = [leaf for leaf in tree_leaves((args, kwargs)) if _has_storage(leaf)]
        storages = {tensor.untyped_storage() for tensor in given}
        own = {self._own[storage] for storage in self._own.keys() & storages}
        self.read |= own
        formula = flop_registry.get(func.overloadpacket)
        if formula:
            cost = int(formula(*args, **kwargs, out_val=result))
            self.costs[frozenset(own), frozenset(self._computed_operands(given))] += cost
        self._follow(result, storages, own)
        return result

    def _computed_operands(self, given: Collection[torch.Tensor]) -> set[str]:
        """Parameters that a product reads in another form; they are recorded."""
        found: set[str] = set()
        for tensor in given:
            for name in self._computed_from.get(tensor.untyped_storage(), ()):
                found.add(name)
                if not tensor.is_meta:
                    count = int(tensor.count_nonzero())
                    self.nonzeros[name] = max(count, self.nonzeros.get(name, 0))
        self.computed |= found
        return found

    def _follow(self, result: Any, storages: set[Any], own: set[str]) -> None:
        """Remember what the results of an operation were computed from."""
        made = [leaf for leaf in tree_leaves(result) if _has_storage(leaf)]
        if not storages.isdisjoint(self._of_data):
            # What depends on an input is an activation, whatever else it depends on.
            self._of_data.update(tensor.untyped_storage() for tensor in made)
            return
        sources = set(own)
        for storage in storages:
            sources |= self._computed_from.get(storage, frozenset())
        for tensor in made:
            storage = tensor.untyped_storage()
            alike = {name for name in sources if self._sizes[name] == tensor.numel()}
            if alike and storage not in self._own:
                self._computed_from[storage] = self._computed_from.get(storage, frozenset()) | alike


def _has_storage(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor) and leaf.layout is torch.strided


def copy_to(model: nn.Module, device: str) -> nn.Module:
    """Copy of a network with all its tensors on a device, sharing kept.

    It is a copy because a forward pass may keep tensors in the network, such as a cache of
    positions. On the meta device it has no values.
    """
    tensors = [*model.parameters(), *model.buffers()]
    for module in model.modules():
        # Tensors that are plain attributes are in neither list, but would be copied as well.
        tensors += [value for value in vars(module).values() if isinstance(value, torch.Tensor)]
    replaced = {id(tensor): _copied_tensor(tensor, device) for tensor in tensors}
    # `deepcopy` takes what its memo already holds for an object as the copy of that object.
    return copy.deepcopy(model, replaced)


def _copied_tensor(tensor: torch.Tensor, device: str) -> torch.Tensor:
    """Tensor of the same shape and type on a device; a parameter for a parameter."""
    if device == "meta":
        copied = torch.empty_like(tensor, device="meta")
    else:
        copied = tensor.detach().to(device, copy=True)
    return nn.Parameter(copied, requires_grad=False) if isinstance(tensor, nn.Parameter) else copied
