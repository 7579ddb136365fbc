"""The declaration of the arithmetic: precision, memory layout, compilation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sparsetune.spec.declaration import MAX_COUNT, Declaration


class ComputeSpec(Declaration):
    """Arithmetic of training; other values than the defaults change at least the last digits."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of forward passes, by autocast; weights, optimizer and measures stay in float32 and
    float64."""
    channels_last: bool = False
    """The memory layout of images and convolutions that is fastest on GPUs with bfloat16."""
    compile: bool = False
    """Compile the network by `torch.compile`; it is then not bit-exact across processes."""
    accumulate: int = Field(default=1, ge=1, le=MAX_COUNT)
    """Equal parts of a batch that pass through the network one by one, to save memory; batch norm
    sees each part alone."""
