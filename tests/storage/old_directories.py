"""Study directories as earlier versions wrote them."""

from __future__ import annotations

import json
from pathlib import Path

from sparsetune.storage.directory import _values_checksum


def without_questions(home: Path) -> None:
    """Take the list of questions out of a directory, as a version before them wrote it."""
    file = home / "study.json"
    stored = json.loads(file.read_text())
    del stored["questions"]
    del stored["checksum"]
    stored["checksum"] = _values_checksum(stored)
    file.write_text(json.dumps(stored, indent=2) + "\n")
