"""Storage of a study: its directory, ledger and owner, on a disk or in an object store."""

from sparsetune.paths import translating_write_errors
from sparsetune.storage.directory import RecordedStudy, StudyDirectory, write_durably

__all__ = ["RecordedStudy", "StudyDirectory", "translating_write_errors", "write_durably"]
