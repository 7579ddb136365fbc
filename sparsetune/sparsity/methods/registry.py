"""The pruning methods by name. A new one is a file with an object, and a line here."""

from __future__ import annotations

from sparsetune.errors import DeclarationError, Problem
from sparsetune.imports import import_named, is_import_path
from sparsetune.sparsity.methods.hard.acdc import ACDC
from sparsetune.sparsity.methods.hard.dense import DENSE
from sparsetune.sparsity.methods.hard.gmp import GMP
from sparsetune.sparsity.methods.hard.granet import GRANET
from sparsetune.sparsity.methods.hard.obert import OBERT
from sparsetune.sparsity.methods.hard.one_shot import ONE_SHOT
from sparsetune.sparsity.methods.hard.powerpropagation import POWERPROPAGATION
from sparsetune.sparsity.methods.hard.rigl import RIGL
from sparsetune.sparsity.methods.hard.set import SET
from sparsetune.sparsity.methods.hard.static import STATIC
from sparsetune.sparsity.methods.hard.transfer import TRANSFER
from sparsetune.sparsity.methods.method import Method
from sparsetune.sparsity.methods.soft.sr_ste import SR_STE
from sparsetune.sparsity.methods.soft.ste import STE
from sparsetune.sparsity.methods.soft.top_kast import TOP_KAST

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        DENSE,
        STATIC,
        ONE_SHOT,
        GMP,
        ACDC,
        SET,
        RIGL,
        GRANET,
        SR_STE,
        STE,
        TOP_KAST,
        POWERPROPAGATION,
        OBERT,
        TRANSFER,
    )
}
"""Methods by their name in ``sparsity.method``."""


OWN_METHOD = Method(
    name="own",
    title="a method of one's own",
    plan=lambda spec: [],
    source="",
    fields=("method", "target"),
)
"""All that is known of a user's own method without importing it: it prunes, and leaves fields that
are open at `BASE_DEFAULTS`, so that a trial's name does not depend on what the method's file says.
"""


def known_method(name: object) -> Method:
    """Method of that name; `OWN_METHOD` for an import path, which is not imported.

    A declaration is read, named and compared with it. What names no method is a fault, which is
    reported elsewhere, and counts as one's own here.
    """
    return METHODS.get(name, OWN_METHOD) if isinstance(name, str) else OWN_METHOD


def method_of(name: str) -> Method:
    """Method of that name, or at that import path, which is imported.

    Raises:
        ValueError: if the name is unknown.
        DeclarationError: if the import path does not lead to a `Method`.
    """
    if not is_import_path(name):
        if name not in METHODS:
            listed = ", ".join(METHODS)
            raise ValueError(f"`sparsity.method` must be one of {listed}, got {name!r}")
        return METHODS[name]
    found = import_named(name, "sparsity.method")
    if not isinstance(found, Method):
        rule = (
            "must name a `sparsetune.Method`, an object: make one of a function with `Method(…)`,"
            " or with `dataclasses.replace(RIGL, …)`"
        )
        got = f"{name!r}, a {type(found).__name__}"
        raise DeclarationError([Problem("sparsity.method", rule, got)], "your own code")
    return found
