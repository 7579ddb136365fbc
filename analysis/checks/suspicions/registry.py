"""Entries of the checks of slips in tables, in order of their codes."""

from __future__ import annotations

from .. import steps
from ..check import Check
from . import columns, designs, values

SUSPICIONS = (
    Check(
        code="SPT026",
        title="Reached is the complement of asked",
        severity="error",
        function=columns.complementary_sparsities,
        rule="the sparsity reached must be the one asked for, not the share of weights left",
        remedy="Give the unit of the column that is a density: `units={'sparsity': 'density'}`.",
    ),
    Check(
        code="SPT027",
        title="Validation equals test",
        severity="error",
        function=columns.shared_splits,
        rule="validation and test values must come from different data",
        remedy="Name the column of each split, or leave out the one that was not measured.",
    ),
    Check(
        code="SPT028",
        title="At chance by its numbers",
        severity="error",
        function=values.chance_values,
        rule="networks that are compared should score better than chance",
        remedy=(
            "Look at what these networks answer; compare no recipes there, or correct the column"
            " if it holds something else."
        ),
    ),
    Check(
        code="SPT029",
        title="Runs with equal numbers",
        severity="error",
        function=values.equal_runs,
        rule="two runs never have the same numbers in all measures",
        remedy="Leave out the copies, or correct what was pasted into the wrong rows.",
    ),
    Check(
        code="SPT030",
        title="Sparsity falls during training",
        severity="warning",
        function=steps.falling_sparsities,
        rule="a sparsity should not fall during training, unless the method regrows or alternates",
        remedy=(
            "Check whether the column is a density, or two runs share an id; give"
            " `sparsity.method` if the method does so on purpose."
        ),
    ),
    Check(
        code="SPT031",
        title="Runs without an outcome",
        severity="error",
        function=designs.missing_outcomes,
        rule="every run of a network must have an outcome, or the others are survivors",
        remedy=(
            "Say how these runs ended (`status`), add their results, or leave them out and say why."
        ),
    ),
    Check(
        code="SPT032",
        title="Fewer results the sparser",
        severity="warning",
        function=designs.thinning_designs,
        rule="every sparsity should have as many results, or the curve shows the survivors",
        remedy=(
            "Say how many runs there were at each sparsity, and give the missing ones with their"
            " `status`."
        ),
    ),
    Check(
        code="SPT033",
        title="Columns look swapped",
        severity="error",
        function=columns.swapped_columns,
        rule="every column must hold what its name says",
        remedy="Swap the two names in `columns`, or correct the table.",
    ),
    Check(
        code="SPT034",
        title="Means beside single runs",
        severity="warning",
        function=designs.mixed_means,
        rule="values that are compared should be of as many runs each",
        remedy="Give the single runs, or the number of runs behind each mean (`n`).",
    ),
    Check(
        code="SPT036",
        title="Different seeds left out",
        severity="warning",
        function=designs.patchy_seeds,
        rule="which seeds are shown must not depend on how their runs ended",
        remedy="Add the runs of the missing seeds, or say of each what became of it (`status`).",
    ),
)
"""Checks of slips; the registry of all checks has them in its order."""
