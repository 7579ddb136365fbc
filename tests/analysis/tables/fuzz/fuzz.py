"""Fuzzing of tables: what each operation does to what sound tables say.

``python -m tests.analysis.tables.fuzz.fuzz 5000 [--tuning] [--only NAME] [--csv FILE]`` prints a
row for each operation. Under one that keeps the information, a table must say the same or be
refused; under one
that loses it, it is told how often reading refuses or a check finds something.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import TextIO

import numpy as np

from tests.analysis.tables.fuzz.clean import CLEAN, Given
from tests.analysis.tables.fuzz.numbers import Said, means_of, read
from tests.analysis.tables.fuzz.operations import COUNTED, TUNING, Operation

PROCESSES = 2
MEAN_TOLERANCE = 6e-5
"""Half the last digit of accuracies in percent with two decimals, and a little."""


@dataclass
class Tally:
    """Counts of one operation over tables.

    Args:
        tables: Tables that it was done to.
        refused: Of them, those that were refused.
        found: Those in which checks find something that they do not find before.
        changed: Those that say something else, though nothing was found.
        examples: Some of the tables that were refused or changed, with what was said.
    """

    tables: int = 0
    refused: int = 0
    found: int = 0
    changed: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count another tally's tables too."""
        self.tables += other.tables
        self.refused += other.refused
        self.found += other.found
        self.changed += other.changed
        self.examples = (self.examples + other.examples)[:5]

    def count(self, name: str, before: Said, after: Said) -> None:
        """Count one table before and after the operation."""
        self.tables += 1
        if after.refused:
            self.refused += 1
            self.examples.append(f"{name} refused: {after.refused}")
        elif new := after.findings - before.findings:
            self.found += 1
            self.examples.append(f"{name} found: {sorted(new)}")
        elif after != before:
            self.changed += 1
            self.examples.append(f"{name} changed: {_difference(before, after)}")
        self.examples = self.examples[:5]


def _difference(before: Said, after: Said) -> str:
    """The first thing that two tables say differently."""
    for part in ("curve", "winners", "answer", "findings"):
        one = getattr(before, part)
        other = getattr(after, part)
        if one != other:
            return f"{part} {one!r} became {other!r}"
    return "nothing"


def is_true(given: Given, said: Said) -> bool:
    """True if a sound table was read with the means that it was made with."""
    means = means_of(said)
    truth = {(arm, round(sparsity, 3)): value for (arm, sparsity), value in given.truth.items()}
    if said.refused or set(means) != set(truth):
        return False
    return all(
        means[key][0] == n and abs(means[key][1] - mean) < MEAN_TOLERANCE
        for key, (n, mean) in truth.items()
    )


CLEAN_NAME = "sound tables as they are"


def chosen(tuning: bool, only: str) -> list[Operation]:
    """Operations of a run: those that were tuned on or those that are counted, or one of them."""
    return [one for one in (TUNING if tuning else COUNTED) if only in ("", one.name)]


def tally_bases(numbers: Sequence[tuple[int, int]], tuning: bool, only: str) -> dict[str, Tally]:
    """Do operations to some sound tables.

    Args:
        numbers: Kind of table and seed, of each.
        tuning: Whether to do those that were tuned on.
        only: Name of the one operation to do; empty for all.
    """
    operations = chosen(tuning, only)
    places = {one.name: place for place, one in enumerate(TUNING if tuning else COUNTED)}
    tallies = {CLEAN_NAME: Tally(), **{one.name: Tally() for one in operations}}
    for kind, seed in numbers:
        maker = CLEAN[kind]
        given = maker(np.random.default_rng([seed, kind]))
        before = read(given)
        name = f"{maker.__name__} {seed}"
        tallies[CLEAN_NAME].count(name, Said(findings=given.findings), _as_clean(given, before))
        if before.refused:
            continue
        for operation in operations:
            rng = np.random.default_rng([seed, kind, places[operation.name]])
            changed = operation.change(given, rng)
            if changed is not None:
                tallies[operation.name].count(name, before, read(changed))
    return tallies


def _as_clean(given: Given, said: Said) -> Said:
    """What a sound table says, without its numbers where these are true."""
    if said.refused or not is_true(given, said):
        return said
    return Said(findings=said.findings)


def fuzz(tables: int, *, tuning: bool, only: str = "") -> dict[str, Tally]:
    """Tallies by operation over at least so many tables."""
    tallies: dict[str, Tally] = {}
    seed = 0
    with get_context("spawn").Pool(PROCESSES) as pool:
        while sum(tally.tables for tally in tallies.values()) < tables:
            numbers = [(kind, seed) for kind in range(len(CLEAN))]
            parts = [(numbers[start::PROCESSES], tuning, only) for start in range(PROCESSES)]
            for part in pool.starmap(tally_bases, parts):
                for name, tally in part.items():
                    tallies.setdefault(name, Tally()).add(tally)
            seed += 1
            print(f"{sum(tally.tables for tally in tallies.values())} tables", file=sys.stderr)
    return tallies


COLUMNS = ("operation", "keeps", "tables", "refused", "found", "changed")


def rows(tallies: dict[str, Tally], operations: Sequence[Operation]) -> Iterator[list[str]]:
    """A row for each operation, with `COLUMNS`."""
    keeps = {CLEAN_NAME: True, **{one.name: one.keeps for one in operations}}
    for name, tally in tallies.items():
        counts = (tally.tables, tally.refused, tally.found, tally.changed)
        yield [name, "yes" if keeps[name] else "no", *map(str, counts)]


def write_rows(file: TextIO, tallies: dict[str, Tally], operations: Sequence[Operation]) -> None:
    """Write a CSV of `COLUMNS`."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows(tallies, operations))


def main() -> None:
    """Fuzz, and print and write what came."""
    parser = argparse.ArgumentParser(prog="python -m tests.analysis.tables.fuzz.fuzz")
    parser.add_argument("tables", type=int)
    parser.add_argument("--tuning", action="store_true", help="operations that were tuned on")
    parser.add_argument("--only", default="", help="name of the one operation to do")
    parser.add_argument("--csv", type=Path, help="file for the counts")
    given = parser.parse_args()
    operations = chosen(given.tuning, given.only)
    tallies = fuzz(given.tables, tuning=given.tuning, only=given.only)
    for name, tally in tallies.items():
        for example in tally.examples[:3]:
            print(f"  {name}: {example[:400]}", file=sys.stderr)
    write_rows(sys.stdout, tallies, operations)
    if given.csv:
        with given.csv.open("w") as file:
            write_rows(file, tallies, operations)


if __name__ == "__main__":
    main()
