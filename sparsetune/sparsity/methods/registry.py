"""The pruning methods by name. A new one is a function in a file of its own and a line here."""

from __future__ import annotations

from collections.abc import Callable

from sparsetune.sparsity.methods.acdc import acdc
from sparsetune.sparsity.methods.changes import MaskChange
from sparsetune.sparsity.methods.dense import dense
from sparsetune.sparsity.methods.dynamic import granet, rigl, set_
from sparsetune.sparsity.methods.gmp import gmp
from sparsetune.sparsity.methods.obert import obert
from sparsetune.sparsity.methods.one_shot import one_shot
from sparsetune.sparsity.methods.sr_ste import sr_ste
from sparsetune.sparsity.methods.static import static
from sparsetune.sparsity.methods.transfer import transfer
from sparsetune.spec import TrialSpec

METHODS: dict[str, Callable[[TrialSpec], list[MaskChange]]] = {
    "dense": dense,
    "static": static,
    "one_shot": one_shot,
    "gmp": gmp,
    "acdc": acdc,
    "set": set_,
    "rigl": rigl,
    "granet": granet,
    "sr_ste": sr_ste,
    "obert": obert,
    "transfer": transfer,
}
"""Functions from a trial to the changes of its mask, in order of step.

The network is dense before the first change. Of several changes at one step, the last counts.
"""
