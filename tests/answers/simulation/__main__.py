"""Prints the tables of docs/answers/simulation.md: ``python -m tests.answers.simulation``."""

from tests.answers.simulation.table import lines

for line in lines():
    print(line, flush=True)
