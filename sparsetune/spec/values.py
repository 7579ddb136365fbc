"""Nested plain values and their flat form, in which every field has one dotted name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flatten_values(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one with dotted names, in order; empty dictionaries are kept."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten_values(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def set_field(values: dict[str, Any], path: str, value: Any) -> None:
    """Set the dotted field ``path`` of nested dictionaries, in place."""
    *parts, name = path.split(".")
    for part in parts:
        if not isinstance(values.get(part), dict):
            values[part] = {}
        values = values[part]
    values[name] = value
