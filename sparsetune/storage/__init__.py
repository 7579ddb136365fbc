"""Where a study is kept: its directory, ledger and owner, on a disk or in an object store."""

from sparsetune.storage.directory import StudyDirectory, write_durably, writing

__all__ = ["StudyDirectory", "write_durably", "writing"]
