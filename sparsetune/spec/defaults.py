"""Defaults that changed: a class states the default of version 1, and a table those of later ones.

A study's directory names the version that it was declared under (``defaults`` in `study.json`;
absent is 1), and is always read, resumed and compared under that version. What is stored holds
every value that differs from version 1, and digests are made of what is stored. So a trial whose
values are those of version 1 keeps its name under every version.

Two fields are in no digest. `SparsitySpec.prunable_by`: every version names its value, None in the
class is that of the current one. `SparsitySpec.method_choices`: the version whose choices a method
makes where fields are left open; where these differ from version 1's, a digest has their values.

To change a default, leave the class as it is and add a version to `DEFAULTS_BY_VERSION` that names
the field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import JsonValue

from sparsetune.spec.declaration import MAX_DEPTH, Declaration


class DefaultsTable:
    """Defaults by version.

    Args:
        changes: For each version from 1, the fields whose default changed with it, named
            ``Class.field`` as in ``OptimSpec.lr``, with their new values as in JSON.
    """

    def __init__(self, changes: Mapping[int, Mapping[str, JsonValue]]) -> None:
        self._changes = dict(changes)

    @property
    def versions(self) -> range:
        """Every known version, oldest first."""
        return range(1, max(self._changes) + 1)

    @property
    def current(self) -> int:
        """The version that a new study is declared under."""
        return self.versions[-1]

    @property
    def fields(self) -> frozenset[str]:
        """The fields whose default any version changed."""
        return frozenset().union(*self._changes.values())

    def values(self, version: int) -> dict[str, JsonValue]:
        """Defaults under a version, of the fields that any version up to it changed.

        Raises:
            LookupError: if there is no such version.
        """
        if version not in self.versions:
            raise LookupError(f"defaults versions are 1 to {self.current}, got {version}")
        found: dict[str, JsonValue] = {}
        for earlier in self.versions[:version]:
            found.update(self._changes[earlier])
        return found

    @contextmanager
    def with_version(self, changes: Mapping[str, JsonValue]) -> Iterator[int]:
        """Add a version while the context is open, to try or test a change; yields its number."""
        version = self.current + 1
        self._changes[version] = dict(changes)
        try:
            yield version
        finally:
            del self._changes[version]


DEFAULTS_BY_VERSION = DefaultsTable(
    {
        # Directories of before go on with the layers that they have pruned; see the field.
        1: {"SparsitySpec.prunable_by": "modules"},
        # A folder of images is taken for what it holds, no longer for ImageNet.
        2: {
            "FolderTask.examples": None,
            "FolderTask.classes": None,
            "FolderTask.validation": 0.1,
            "FolderTask.eval_resolution": None,
            "FolderTask.eval_resize": None,
            "FolderTask.eval_batch": None,
            "FolderTask.decoding": "faithful",
        },
        # What is pruned is accounted for: frozen, unused and tied layers stay dense.
        3: {"SparsitySpec.prunable_by": "account"},
        # A study's sampler follows from its number of configurations: `Study.under_defaults`.
        4: {},
        # Methods make the choices of that version: SNIP's mask is global, as published.
        5: {"SparsitySpec.method_choices": 5},
    }
)
"""The defaults of this package, by version."""


def resolve_defaults(value: Any, version: int, depth: int = 0) -> Any:
    """A declared part with its left-out fields at a version's defaults.

    Fields that any version changed count as set from then on, so that the result is the same when
    it is resolved again, under whatever version.

    Args:
        value: A part, or plain values that may hold parts.
        version: One of `DEFAULTS_BY_VERSION.versions`.
        depth: Mappings and lists around it; what lies deeper than `MAX_DEPTH` stays as it is.

    Returns:
        ``value`` itself where nothing was left out that a version changed. A changed part is not
        checked.
    """
    if isinstance(value, Declaration):
        return _resolve_part(value, version)
    if depth > MAX_DEPTH:
        return value
    if isinstance(value, Mapping):
        resolved = {key: resolve_defaults(item, version, depth + 1) for key, item in value.items()}
        is_same = all(resolved[key] is item for key, item in value.items())
        return value if is_same else resolved
    if isinstance(value, list | tuple):
        items = [resolve_defaults(item, version, depth + 1) for item in value]
        is_same = all(new is old for new, old in zip(items, value, strict=True))
        return value if is_same else type(value)(items)
    return value


def _resolve_part(part: Declaration, version: int) -> Declaration:
    cls = type(part)
    defaults = DEFAULTS_BY_VERSION.values(version)
    changes: dict[str, Any] = {}
    for name, value in part.__dict__.items():
        field = f"{cls.__name__}.{name}"
        # Under version 1 too: set, the value survives a later resolution under another version.
        if field in DEFAULTS_BY_VERSION.fields and name not in part.model_fields_set:
            changes[name] = defaults.get(field, value)
            continue
        resolved = resolve_defaults(value, version)
        if resolved is not value:
            changes[name] = resolved
    if not changes:
        return part
    resolved_part: Declaration = cls(**{**part.fields_set(), **changes})
    return resolved_part
