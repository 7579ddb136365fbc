"""What tasks declare of data sets that the Hugging Face library `datasets` reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from pydantic import Field, model_validator

from sparsetune.spec.task.base import SizedTask
from sparsetune.spec.task.sizes import Option

HUB_PREFIX = "hf:"
"""Start of a data set's name where the library `datasets` reads it."""


def dataset_rule(built_in: Iterable[str]) -> Callable[[str], str]:
    """Validator of a data set's name: one of those built in, or ``hf:NAME``."""
    names = tuple(built_in)

    def checked(value: str) -> str:
        is_hub = value.startswith(HUB_PREFIX) and len(value) > len(HUB_PREFIX)
        if not is_hub and value not in names:
            listed = ", ".join(repr(name) for name in names)
            raise ValueError(f"must be {listed}, or 'hf:owner/name' or 'hf:path' for data of yours")
        return value

    return checked


class HubTask(SizedTask):
    """Base of the tasks that name a data set, built in or any that the library `datasets` reads."""

    hub_fields: ClassVar[tuple[str, ...]] = ("label", "train_split", "test_split")
    """Fields that mean nothing for the data sets that are built in."""

    dataset: str
    """Name of the data set."""
    label: str = Field(default="label", min_length=1)
    """Column of the classes, of a data set ``hf:…``: class labels, integers or strings."""
    train_split: str = Field(default="train", min_length=1)
    """Split to train on, of a data set ``hf:…``; a part of one is written ``train[:80%]``."""
    test_split: str | None = None
    """Split that is the test set, of a data set ``hf:…``. None: ``test`` where the data have it,
    otherwise ``validation``."""

    @model_validator(mode="after")
    def _names_columns_of_hub_data(self) -> HubTask:
        if not self.is_hub:
            for name in self.hub_fields:
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(
                        f"`{name}` is for a data set `hf:…`, got the data set `{self.dataset}`"
                    )
        return self

    @property
    def is_hub(self) -> bool:
        """True if the library `datasets` reads the data."""
        return str(self.dataset).startswith(HUB_PREFIX)

    def needs_sizes(self) -> bool:
        """Return True if the declaration itself does not say the sizes of the data."""
        return self.is_hub

    def size_source(self) -> tuple[str, Mapping[str, Option]]:
        """See `SizedTask`."""
        given: dict[str, Option] = {}
        for name in self.hub_fields:
            value = getattr(self, name)
            given[name] = ", ".join(value) if isinstance(value, tuple) else value
        return self.dataset, given

    def dataset_name(self) -> str:
        """Name of the data set, for messages and records."""
        return self.dataset

    def column_values(self) -> dict[str, Any]:
        """Fields as plain values for columns of tables, without those that mean nothing."""
        values = super().column_values()
        if not self.is_hub:
            for name in self.hub_fields:
                del values[name]
        return values
