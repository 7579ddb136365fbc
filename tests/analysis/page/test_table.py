"""Tables of the page: formats of cells, keys that sort them, columns that are left out."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from analysis.exhibit import CellFormat, TableColumn, plain_columns
from analysis.measure import Measure
from analysis.page.markup import to_latex, to_markdown
from analysis.page.table import measure_column, page_table
from analysis.recipes.axis_text import axis_column, format_range, format_value


def test_tables_show_parts_of_training_and_measures_in_percent() -> None:
    frame = pd.DataFrame(
        {"sparsity.ramp.start": [0.1391119204], "objective": [0.12345], "sparsity.target": [0.995]}
    )
    columns = [
        axis_column("sparsity.ramp.start"),
        axis_column("sparsity.target"),
        measure_column(Measure.by_name("val_error"), "objective"),
    ]
    table = page_table(frame, columns)
    assert [column.heading for column in table.columns] == [
        *("Ramp start (% of training)", "Sparsity (%)", "Validation error (%)")
    ]
    assert [cell.text for cell in table.rows[0].cells] == ["13.91", "99.5", "12.35"]


def test_values_of_a_search_axis_are_in_its_unit() -> None:
    assert format_value("sparsity.ramp.start", 0.1, 0, 0.5) == "10 [0, 50] %"
    assert format_value("optim.lr", 0.1, 0.08, 0.13) == "0.1 [0.08, 0.13]"
    assert format_value("optim.lr", np.nan) == ""
    assert format_range("sparsity.ramp.length", 0.1, 0.7) == "10 to 70 %"
    frame = pd.DataFrame({"axis": ["optim.lr", "sparsity.ramp.start"]})
    cells = [
        row.cells[0].text
        for row in page_table(
            frame, [TableColumn("Axis", "axis", format=CellFormat.AXIS_NAME)]
        ).rows
    ]
    assert cells == ["Learning rate", "Ramp start (% of training)"]


def test_a_table_sorts_numbers_by_value_and_leaves_out_empty_columns() -> None:
    frame = pd.DataFrame(
        {
            "mean": [0.9, None],
            "low": [0.8, None],
            "high": [1.0, None],
            "none": [None, None],
            "sparsity": [0.95, 0.0],
            "arm": ["b", "a"],
        }
    )
    table = page_table(
        frame,
        [
            TableColumn("Arm", "arm"),
            TableColumn("Sparsity (%)", "sparsity", format=CellFormat.SPARSITY),
            TableColumn("Accuracy (%)", "mean", "low", "high", CellFormat.PERCENT),
            TableColumn("None", "none"),
        ],
    )
    assert [column.heading for column in table.columns] == ["Arm", "Sparsity (%)", "Accuracy (%)"]
    assert [cell.text for cell in table.rows[0].cells] == ["b", "95", "90.00 [80.00, 100.00]"]
    assert [cell.key for cell in table.rows[0].cells] == [None, "0.95", "0.9"]
    assert [cell.key for cell in table.rows[1].cells] == [None, "0.0", ""]


HOSTILE = "<b> </script> $x_ | % \\input{a} & # ^ ~ \" ' `"


def test_names_are_escaped_for_markdown_and_latex() -> None:
    table = page_table(
        pd.DataFrame({"a": [HOSTILE], "b": [1]}), plain_columns({"a": HOSTILE, "b": "n"})
    )
    plain = to_markdown(table)
    tex = to_latex(table)
    assert "<" not in plain
    assert (
        re.search(r"(?<!\\)[`*_|$]", plain.splitlines()[2].strip("| \n").rpartition(" | ")[0])
        is None
    )
    cell = tex.splitlines()[4].rpartition(" & ")[0]
    assert "\\textbackslash{}input\\{a\\}" in cell
    assert re.search(r"(?<!\\)[$%#_&]", cell) is None
