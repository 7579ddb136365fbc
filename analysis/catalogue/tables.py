"""Sentences on what was decided while a table of runs was read."""

from __future__ import annotations

from .template import Template

TABLE_SENTENCES = {
    "reading_all": Template(
        "all runs of a table are shown",
        "{runs} in {networks}; nothing was selected: every network's curve is over all its runs.",
    ),
    "reading_single": Template(
        "each network of a table has one configuration",
        "{runs} in {networks}; every network has one configuration, so nothing was chosen: its"
        " curve is over that one's runs.",
    ),
    "reading_fresh": Template(
        "winners of a table are shown on other runs",
        "{runs} in {networks}; each network's winner has the best mean {objective}, and is reported"
        " on runs that did not choose it.",
    ),
    "reading_same": Template(
        "winners of a table are shown on the runs that chose them",
        "{runs} in {networks}; each network's winner has the best mean {objective}, and is reported"
        " on the very runs that chose it.",
    ),
    "reading_lucky": Template(
        "winners of a table are shown on the runs that chose them: what follows",
        "Its validation values are lucky, and tests partly.",
    ),
    "reading_lucky_test": Template(
        "winners of a table were chosen on the test set: what follows",
        "Its test values are too good by luck: choose on validation.",
    ),
    "reading_rows": Template(
        "a table has several rows for a run",
        "{rows} rows are {runs} runs by {by}, of which `{order}` tells the evaluations apart.",
    ),
    "reading_melted": Template(
        "a table has a row for each measure",
        "The table is melted, and read with a column for each measure: {measures} names what"
        " {values} holds.",
    ),
    "reading_repeats": Template(
        "rows of a table repeat others",
        "Rows that equal an earlier one in every column are left out: {count} of {rows}.",
    ),
    "reading_empty_runs": Template(
        "a table with a column for each seed has empty cells",
        "Empty cells are taken for runs that were not made: {count}.",
    ),
    "reading_lengths": Template(
        "the same, where runs have no ids",
        "If every row is a run of that length, map that column to `{field}`.",
    ),
    "reading_rate": Template(
        "a table's `lr` is one number in each run",
        "`lr`, one number in each run, is read as the learning rate that was searched, `optim.lr`.",
    ),
    "reading_scores": Template(
        "a table has errors in place of scores", "`val_score` is taken to be 1 - `val_error`."
    ),
    "reading_some_scores": Template(
        "a table has errors in place of some scores",
        "`val_score` is taken to be 1 - `val_error`, in {count} of {rows} rows.",
    ),
    "reading_targets": Template(
        "a table has the sparsity reached, not the one asked for",
        "The sparsity asked for is taken to be the one reached, its density rounded to three"
        " digits.",
    ),
    "reading_tolerance": Template(
        "sparsities of a table are grouped by a tolerance",
        "Sparsities count as one that lie within {tolerance} points of the one named.",
    ),
    "reading_dense_arms": Template(
        "dense runs stand in an arm of sparse ones",
        "Runs of sparsity 0 stand under {arms}.",
    ),
    "reading_repeated_dense": Template(
        "dense runs are repeated for each sparse one",
        "{count} dense runs repeat another one's recipe and seed and are left out.",
    ),
    "reading_percent": Template(
        "some percentages look like fractions",
        "`{column}` is read as percent, {span} % in {rows} (counted from 0) too.",
    ),
    "reading_percent_convert": Template(
        "some percentages look like fractions: what to do",
        "If these are fractions, convert them before.",
    ),
    "reading_ignored": Template("some columns are not taken", "Columns not taken: {names}."),
    # Files and folders that tools leave behind
    "reading_source": Template("a table was read from a path", "`{name}` is read as {kind}."),
    "reading_layout": Template(
        "a tool's layout says what some columns are",
        "By the tool's layout, {columns}; name one in `columns` to say otherwise.",
    ),
    "reading_pickled": Template(
        "an experiment of Ray Tune has values that only a pickle holds",
        "Values that Ray could only pickle are left unread: {names}.",
    ),
    "reading_torn": Template(
        "a file ends within a record", "`{file}` ends within a record, which is left out."
    ),
    "reading_repeated": Template(
        "trials of Ray Tune were restored",
        "{count} results were reported again after a restore: the last one counts.",
    ),
    "reading_reports": Template(
        "trials of Optuna reported values before their end",
        "Values that trials reported before their end are left out.",
    ),
    "reading_deleted": Template(
        "a store of MLflow has deleted runs", "{count} runs marked as deleted are left out."
    ),
    "reading_overwritten": Template(
        "runs of MLflow logged a metric several times at one step",
        "{count} of {runs} runs logged a metric several times at one step: the last value counts.",
    ),
    "reading_unread_lines": Template(
        "lines of a log hold no number",
        "{count} lines of the logger whose value is no number are left out.",
    ),
}
