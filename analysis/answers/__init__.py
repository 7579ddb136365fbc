"""Answers of a study to its questions: contrasts from results, verdicts, and sentences."""
