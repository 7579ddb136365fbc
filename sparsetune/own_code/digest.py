"""Digest of what a module does.

It is of the syntax tree without comments, formatting and docstrings, without the study that the
module declares and without what runs only as a script.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

BLOCKS = (ast.stmt, ast.excepthandler, ast.match_case)
"""Kinds of nodes that hold statements."""
STUDY = "STUDY"
"""Name that a study has in the file that declares it."""


def parse_code(text: str | None) -> dict[str, str]:
    """Digests by module, of a text that `CodeReader.describe` wrote; empty for None."""
    return dict(part.rpartition("=")[::2] for part in (text or "").split())


def file_digest(path: Path) -> str | None:
    """Digest of the code in a file, as of a module; None if it cannot be read."""
    with suppress(OSError):
        return source_digest(path.read_bytes())[0]
    return None


def source_digest(source: bytes) -> tuple[str, ast.Module | None]:
    """Digest of a source, and its syntax tree; of its bytes, without a tree, if it has none."""
    try:
        tree = ast.parse(source)
        text = "".join(_canonical(_without_declaration(tree))).encode()
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return hashlib.sha256(source).hexdigest()[:12], None
    return hashlib.sha256(text).hexdigest()[:12], tree


def statements_at_import(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements that run while a module is imported, those of its conditions and classes too.

    Functions, scripts under ``if __name__ == "__main__"`` and what only type checkers read are left
    out.
    """
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.stmt):
            yield node
        is_for_others = _is_script(node) or _is_for_type_checkers(node)
        if not is_for_others and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = ast.iter_child_nodes(node)
            waiting += [part for part in inner if isinstance(part, BLOCKS)]


def _without_declaration(tree: ast.Module) -> ast.Module:
    """A module without its study, and without what it does only as a script."""
    kept = [node for node in tree.body if not (_is_study(node) or _is_script(node))]
    return ast.Module(kept, [])


def _is_study(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    else:
        return False
    if not isinstance(node.value, ast.Call):
        return False
    called = node.value.func
    is_named = any(isinstance(target, ast.Name) and target.id == STUDY for target in targets)
    return is_named or getattr(called, "id", getattr(called, "attr", None)) == "Study"


def _is_for_type_checkers(node: ast.AST) -> bool:
    """True for ``if TYPE_CHECKING:`` without an ``else``."""
    return (
        isinstance(node, ast.If)
        and not node.orelse
        and getattr(node.test, "id", getattr(node.test, "attr", None)) == "TYPE_CHECKING"
    )


def _is_script(node: ast.AST) -> bool:
    """True for ``if __name__ == "__main__":`` without an ``else``."""
    return (
        isinstance(node, ast.If)
        and not node.orelse
        and isinstance(node.test, ast.Compare)
        and isinstance(node.test.left, ast.Name)
        and node.test.left.id == "__name__"
        and isinstance(node.test.ops[0], ast.Eq)
    )


def _canonical(node: Any) -> Iterator[str]:
    """Text of a syntax tree, the same under every version of Python that parses it alike.

    Texts that stand alone, such as docstrings, do nothing and are left out, and so are fields that
    are empty, which newer versions add.
    """
    if isinstance(node, list):
        yield "["
        for item in node:
            if not (isinstance(item, ast.Expr) and is_text(item.value)):
                yield from _canonical(item)
                yield ","
        yield "]"
    elif isinstance(node, ast.AST):
        yield f"{type(node).__name__}("
        for name, value in ast.iter_fields(node):
            # A load or a store follows from the place, and `u""` is `""`.
            if value is None and not isinstance(node, ast.Constant):
                continue
            if value == [] or name in ("ctx", "kind"):
                continue
            yield f"{name}="
            yield from _canonical(value)
            yield ","
        yield ")"
    else:
        yield f"{type(node).__name__}:{node!r}"


def is_text(node: ast.expr) -> bool:
    """True if an expression is a text that stands there as it is."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
