"""Starts the command line: ``python -m sparsetune``."""

from __future__ import annotations

import sys

from sparsetune.cli.main import build_parser, main

__all__ = ["build_parser", "main"]

if __name__ == "__main__":
    # `-m` puts the current folder first, where a user's own `analysis/` may lie.
    sys.path.append(sys.path.pop(0))
    sys.exit(main())
