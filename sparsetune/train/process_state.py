"""Global state of this process that a user's code may change: compared, and put back.

A worker runs many trials; what one leaves behind must not reach the next. What cannot be put back
is named, so that the worker can end.
"""

from __future__ import annotations

import gc
import locale
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.autograd.anomaly_mode import set_detect_anomaly
from torch.nn.modules import module as torch_module
from torch.optim import optimizer as torch_optimizer

from sparsetune.seeds import GeneratorStates

MAX_PASSES = 3
"""Times that what is different is written: some settings change others."""


@dataclass(frozen=True)
class Setting:
    """One part of the state.

    Args:
        name: Name, for messages.
        read: Returns the value, which can be compared.
        write: Puts a value back; None where that is not possible.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object] | None = None

    def value(self) -> Any:
        """The value now; the error's text where it cannot be read."""
        try:
            return self.read()
        except Exception as error:  # such as a working directory that is gone
            return f"unreadable ({type(error).__name__})"


@dataclass(frozen=True)
class ProcessState:
    """The state at one time.

    Args:
        values: Values in the order of `SETTINGS`.
        functions: Functions and methods of torch that a user may replace, by owner and name.
        generators: Global generators of random numbers.
    """

    values: tuple[Any, ...]
    functions: dict[tuple[Any, str], Any]
    generators: GeneratorStates

    @classmethod
    def now(cls) -> ProcessState:
        """The state of this process and thread."""
        # Generators first: reading them last would read what the others drew, if any did.
        generators = GeneratorStates.now()
        values = tuple(setting.value() for setting in SETTINGS)
        return cls(values, dict(_replaceable_functions()), generators)

    def changes(self) -> list[str]:
        """Names of what is different now; generators, which every trial moves, do not count."""
        changed = [setting.name for setting, _ in self._changed_settings()]
        return [*changed, *(_function_name(owner, name) for owner, name, _ in self._replaced())]

    def restore(self) -> list[str]:
        """Put everything back; returns the names of what is still different."""
        for _ in range(MAX_PASSES):
            changed = self._changed_settings()
            if not changed:
                break
            for setting, value in changed:
                if setting.write is not None:
                    with suppress(Exception):  # said by what is returned
                        setting.write(value)
        for owner, name, function in self._replaced():
            with suppress(Exception):
                setattr(owner, name, function)
        self.restore_generators()
        return self.changes()

    def restore_generators(self) -> None:
        """Put the global generators of random numbers back, which every trial moves."""
        with suppress(Exception):  # after an error of CUDA, whose process ends in any case
            self.generators.restore()

    def _changed_settings(self) -> list[tuple[Setting, Any]]:
        pairs = zip(SETTINGS, self.values, strict=True)
        return [(setting, value) for setting, value in pairs if setting.value() != value]

    def _replaced(self) -> list[tuple[Any, str, Any]]:
        """Owner, name and former value of each function that is another now."""
        return [
            (owner, name, function)
            for (owner, name), function in self.functions.items()
            if vars(owner).get(name) is not function
        ]


@contextmanager
def restored_process_state() -> Iterator[None]:
    """Put the global state back at the end, as far as that is possible."""
    before = ProcessState.now()
    try:
        yield
    finally:
        before.restore()


def _attribute(owner: Any, name: str, label: str) -> Setting:
    """A setting that is an attribute."""
    return Setting(label, lambda: getattr(owner, name), lambda value: setattr(owner, name, value))


def _torch_flags() -> Iterator[Setting]:
    """Settings of torch that a function without arguments reads, and one of like name writes."""
    for name in sorted(dir(torch._C)):
        writer = getattr(torch._C, name.replace("_get_", "_set_", 1), None)
        if name.startswith("_get_") and writer is not None and name not in OTHER_READERS:
            reader = getattr(torch._C, name)
            with suppress(Exception):  # it takes arguments, or needs a device that is not there
                reader()
                yield Setting(
                    f"torch's {name.removeprefix('_get_')}", reader, partial(_write_flag, writer)
                )


def _write_flag(writer: Callable[..., object], value: Any) -> None:
    """Write a flag; one that is read as a tuple is written as arguments."""
    writer(*value) if isinstance(value, tuple) else writer(value)


OTHER_READERS = frozenset(
    {
        "_get_deterministic_algorithms",  # has two parts
        "_get_dispatch_mode",
        "_get_torch_function_state",
        "_get_tracing_state",
        "_get_value_trace",
        "_get_thread_name",
        "_get_graph_exec_group",
        "_get_float32_matmul_precision",  # by its public name
    }
)


def _precisions() -> Iterator[Setting]:
    """Precisions of products in single precision, as they are set since torch 2.9."""
    for path in ("", "cuda.matmul", "cudnn", "cudnn.conv", "cudnn.rnn", "mkldnn"):
        owner = attrgetter(path)(torch.backends) if path else torch.backends
        if hasattr(owner, "fp32_precision"):
            yield _attribute(owner, "fp32_precision", f"torch.backends.{path}.fp32_precision")
    for path in ("mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn"):
        with suppress(AttributeError):
            owner = attrgetter(path)(torch.backends)
            yield _attribute(owner, "fp32_precision", f"torch.backends.{path}.fp32_precision")


def _attention_kernels() -> Iterator[Setting]:
    cuda = torch.backends.cuda
    for name in ("flash", "mem_efficient", "math", "cudnn"):
        with suppress(AttributeError):
            read = getattr(cuda, f"{name}_sdp_enabled")
            yield Setting(f"torch's {name} attention", read, getattr(cuda, f"enable_{name}_sdp"))


def _autocast() -> Iterator[Setting]:
    for device in ("cpu", "cuda"):
        is_enabled = partial(torch.is_autocast_enabled, device)
        enable = partial(torch.set_autocast_enabled, device)
        yield Setting(f"autocast on {device}", is_enabled, enable)
        dtype = partial(torch.get_autocast_dtype, device)
        set_dtype = partial(torch.set_autocast_dtype, device)
        yield Setting(f"autocast's type on {device}", dtype, set_dtype)


def _global_hooks() -> Iterator[Setting]:
    """Hooks of all modules and all optimizers."""
    for owner in (torch_module, torch_optimizer):
        for name, hooks in vars(owner).items():
            if name.startswith("_global_") and isinstance(hooks, dict):
                yield Setting(f"hooks of all modules ({name})", hooks.copy, partial(_refill, hooks))


def _refill(held: Any, values: Any) -> None:
    """Let a dictionary or a list hold other values; it stays the same object."""
    held.clear()
    if isinstance(held, list):
        held.extend(values)
    else:
        held.update(values)


def _flushes_denormals() -> bool:
    tiny = torch.tensor([1e-310], dtype=torch.float64, device="cpu")
    return bool(tiny.mul(1.0).eq(0).item())


def _write_device(device: torch.device) -> None:
    # To set the processor, where none was set, would leave a mode behind.
    torch.set_default_device(None if device.type == "cpu" else device)


def _deterministic() -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _write_deterministic(value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _anomaly() -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def _write_environment(values: dict[str, str]) -> None:
    for name in os.environ.keys() - values.keys():
        del os.environ[name]
    os.environ.update(values)


def _write_collection(on: bool) -> None:
    (gc.enable if on else gc.disable)()


def _streams() -> tuple[Any, ...]:
    return sys.stdin, sys.stdout, sys.stderr


def _write_streams(values: tuple[Any, ...]) -> None:
    sys.stdin, sys.stdout, sys.stderr = values


SETTINGS: tuple[Setting, ...] = (
    # The device first: under another one, reading the others would make tensors there.
    Setting("torch.set_default_device", torch.get_default_device, _write_device),
    Setting("torch.set_default_dtype", torch.get_default_dtype, torch.set_default_dtype),
    Setting("torch.use_deterministic_algorithms", _deterministic, _write_deterministic),
    Setting(
        "torch.set_float32_matmul_precision",
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    Setting("torch.set_grad_enabled", torch.is_grad_enabled, torch.set_grad_enabled),
    Setting("torch.inference_mode", torch.is_inference_mode_enabled),
    Setting("modes of torch's functions", torch._C._len_torch_function_stack),
    Setting("modes of torch's dispatch", torch._C._len_torch_dispatch_stack),
    Setting(
        "torch.autograd.set_detect_anomaly", _anomaly, lambda value: set_detect_anomaly(*value)
    ),
    Setting(
        "torch.autograd.set_multithreading_enabled",
        torch._C._is_multithreading_enabled,
        torch.autograd.set_multithreading_enabled,
    ),
    Setting("autocast's cache", torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
    Setting("torch.set_flush_denormal", _flushes_denormals, torch.set_flush_denormal),
    Setting("torch.set_num_threads", torch.get_num_threads, torch.set_num_threads),
    Setting("torch.set_num_interop_threads", torch.get_num_interop_threads),
    Setting(
        "torch.multiprocessing.set_sharing_strategy",
        torch.multiprocessing.get_sharing_strategy,
        torch.multiprocessing.set_sharing_strategy,
    ),
    _attribute(torch.backends.opt_einsum, "enabled", "torch.backends.opt_einsum.enabled"),
    _attribute(torch.backends.opt_einsum, "strategy", "torch.backends.opt_einsum.strategy"),
    *_torch_flags(),
    *_precisions(),
    *_attention_kernels(),
    *_autocast(),
    *_global_hooks(),
    Setting("numpy.seterr", np.geterr, lambda value: np.seterr(**value)),
    Setting("numpy.seterrcall", np.geterrcall, np.seterrcall),
    Setting("working directory", os.getcwd, os.chdir),
    Setting("environment", lambda: dict(os.environ), _write_environment),
    Setting("sys.path", lambda: list(sys.path), lambda value: _refill(sys.path, value)),
    Setting("sys.setrecursionlimit", sys.getrecursionlimit, sys.setrecursionlimit),
    Setting("sys.stdin, sys.stdout, sys.stderr", _streams, _write_streams),
    Setting(
        "warnings.filters",
        lambda: list(warnings.filters),
        lambda value: _refill(warnings.filters, value),
    ),
    Setting(
        "locale",
        lambda: locale.setlocale(locale.LC_ALL),
        lambda value: locale.setlocale(locale.LC_ALL, value),
    ),
    Setting("gc.disable", gc.isenabled, _write_collection),
    Setting(
        "multiprocessing.set_start_method",
        lambda: multiprocessing.get_start_method(allow_none=True),
        lambda value: multiprocessing.set_start_method(value, force=True),
    ),
)
"""Every part of the state but functions and generators."""


def _replaceable_functions() -> Iterator[tuple[tuple[Any, str], Any]]:
    """Functions and methods of torch's networks and tensors that a user may replace."""
    layers = [value for value in vars(nn).values() if isinstance(value, type)]
    for owner in (torch.Tensor, nn, nn.functional, nn.init, *layers):
        for name, value in vars(owner).items():
            # A compiler of torch replaces the one of all modules, when it is first used.
            is_init = name == "__init__" and owner is not nn.Module
            if callable(value) and (is_init or not name.startswith("_")):
                yield (owner, name), value


def _function_name(owner: Any, name: str) -> str:
    return f"{getattr(owner, '__name__', owner)}.{name}"
