from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from analysis.drawing.axes import set_sparsity_axis
from analysis.drawing.files import freeze_layout
from analysis.drawing.marks import attach_hover_texts
from analysis.page.interactive.figure import to_plotly


def drawn(axes_count: int = 1) -> tuple[Figure, Any]:
    figure = Figure(layout="constrained")
    axes = figure.subplots(1, axes_count, squeeze=False)[0]
    return figure, axes[0] if axes_count == 1 else axes


def panel(figure: Figure) -> dict[str, Any]:
    freeze_layout(figure)
    found = to_plotly(figure)
    assert found is not None
    json.dumps(found.panels, allow_nan=False)
    return found.panels[0]


def test_a_line_on_linear_axes_keeps_its_data_and_frees_its_ticks() -> None:
    figure, axes = drawn()
    axes.plot([1, 2, 4], [10, np.nan, 30], "s--", color="#332288", label="gmp")
    axes.set_xlabel("Epochs")
    read = panel(figure)
    (trace,) = read["data"]
    assert trace["x"][::2] == pytest.approx([1, 4])
    assert trace["y"][::2] == pytest.approx([10, 30])
    assert (trace["x"][1], trace["y"][1]) == (None, None)
    assert trace["name"] == "gmp"
    assert trace["line"]["dash"] == "dash"
    assert trace["marker"]["symbol"] == "square"
    assert "tickvals" not in read["layout"]["xaxis"]
    assert read["layout"]["xaxis"]["title"]["text"] == "Epochs"
    assert read["layout"]["xaxis"]["range"] == pytest.approx(axes.get_xlim())


@pytest.mark.parametrize(("scale", "mapped"), [("log", [0, 1, 2]), ("function", [1, 10**0.5, 10])])
def test_any_scale_is_read_as_drawn(scale: str, mapped: list[float]) -> None:
    figure, axes = drawn()
    axes.plot([1, 10, 100], [1, 2, 3])
    given = {"functions": (np.sqrt, np.square)} if scale == "function" else {}
    axes.set_xscale(scale, **given)
    axes.set_xticks([1, 10, 100], ["one", "ten", "hundred"])
    read = panel(figure)
    assert read["data"][0]["x"] == pytest.approx(mapped, abs=1e-4)
    assert read["layout"]["xaxis"]["tickvals"] == pytest.approx(mapped, abs=1e-4)
    assert read["layout"]["xaxis"]["ticktext"] == ["one", "ten", "hundred"]


def test_error_bars_carry_interval_and_n_and_what_they_were_described_with() -> None:
    figure, axes = drawn()
    bars = axes.errorbar([0, 1], [5, 7], yerr=[[1, 2], [3, 4]], label="acdc")
    attach_hover_texts(bars, ["90 %\n5 [4, 8], n = 3", "95 %\n7 [5, 11], n = 3"])
    axes.set_ylabel("Accuracy (%)")
    (trace,) = panel(figure)["data"]
    assert trace["error_y"]["array"] == pytest.approx([3, 4], abs=1e-4)
    assert trace["error_y"]["arrayminus"] == pytest.approx([1, 2], abs=1e-4)
    assert trace["hovertext"][0] == "acdc<br>90 %<br>Accuracy (%): 5 [4, 8], n = 3"


def test_lines_of_missing_values_are_left_out() -> None:
    figure, axes = drawn()
    axes.add_collection(
        LineCollection([[(0, np.nan), (0, np.nan)], [(1, 1), (1, 2)]], colors=["red", "blue"])
    )
    red, blue = panel(figure)["data"]
    assert (red["x"], red["y"]) == ([], [])
    assert blue["y"][:2] == pytest.approx([1, 2])


def test_what_spans_a_panel_lies_at_its_ends_in_the_data() -> None:
    figure, axes = drawn()
    axes.set_xlim(0, 10)
    axes.set_ylim(0, 1)
    axes.axhline(0.25, color="black")
    axes.axvspan(2, 3, color="#eeeeee")
    axes.vlines([4, 5], 0.1, 0.9, color="red")
    found = {len(trace["x"]): trace for trace in panel(figure)["data"]}
    assert found[2]["y"] == pytest.approx([0.25, 0.25])
    assert found[2]["x"] == pytest.approx([0, 10])
    assert {round(x) for x in found[5]["x"]} == {2, 3}
    assert found[6]["x"][2] is None


def test_colours_by_value_come_with_their_bar_and_cells_of_a_map() -> None:
    figure, axes = drawn()
    dots = axes.scatter([1, 2, 3], [1, 2, 3], c=[0.0, 5.0, 10.0])
    figure.colorbar(dots, label="loss")
    read = panel(figure)
    marker = read["data"][0]["marker"]
    assert marker["color"] == pytest.approx([0, 0.5, 1])
    assert marker["colorbar"]["title"]["text"] == "loss"
    assert len(to_plotly(figure).panels) == 1  # type: ignore[union-attr]  # the bar is no panel
    figure, axes = drawn()
    axes.imshow([[1.0, 2.0], [3.0, np.nan]], extent=(0, 2, 0, 2), aspect="auto")
    (raster,) = panel(figure)["data"]
    assert raster["z"] == [[0, 0.5], [1, None]]
    assert raster["y"] == pytest.approx([2, 1, 0], abs=1e-4)


def test_a_grid_shares_the_labels_at_its_edge_and_its_legend() -> None:
    figure = Figure(layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    left.set_ylabel("Loss")
    (line,) = right.plot([0, 1], [0, 1], "o", label="x")
    figure.legend([line], ["x"], title="Arm", loc="outside right upper")
    freeze_layout(figure)
    found = to_plotly(figure)
    assert found is not None
    assert [part["layout"]["yaxis"]["title"]["text"] for part in found.panels] == ["Loss", "Loss"]
    assert found.columns == 2
    assert found.title == "Arm"
    assert [(entry["name"], entry["line"]) for entry in found.legend] == [("x", True)]


def test_lines_of_a_label_stay_apart_or_a_short_panel_cuts_it_off() -> None:
    figure, axes = drawn()
    axes.plot([1, 2], [1, 2], "o", label="gmp")
    axes.set_ylabel("Test accuracy minus dense recipe\n(points)")
    axes.set_xlabel("Epochs <b>")
    read = panel(figure)
    assert (
        read["layout"]["yaxis"]["title"]["text"] == "Test accuracy minus dense recipe<br>(points)"
    )
    assert read["layout"]["xaxis"]["title"]["text"] == "Epochs &lt;b&gt;"
    assert "Test accuracy minus dense recipe (points): " in read["data"][0]["hovertemplate"]


def test_a_sparsity_is_said_as_it_was_declared() -> None:
    figure, axes = drawn()
    set_sparsity_axis(axes.xaxis, [0, 0.9, 0.95])
    axes.plot(-np.log1p(-np.array([0.9, 0.951])), [1, 2], "o")
    hover = panel(figure)["data"][0]["hovertext"]
    assert [text.split("<br>")[0] for text in hover] == ["Sparsity (%): 90", "Sparsity (%): 95"]
    assert "90<br>10" in panel(figure)["layout"]["xaxis"]["ticktext"]


def test_names_cannot_become_markup() -> None:
    figure, axes = drawn()
    axes.plot([1], [1], "o", label="<b>%{x}</b>")
    axes.set_title("<a href='x'>")
    read = panel(figure)
    assert "<b>" not in read["data"][0]["hovertemplate"]
    assert "%{x}" not in read["data"][0]["hovertemplate"].split("<br>")[0]
    assert read["layout"]["title"]["text"] == "&lt;a href=&#x27;x&#x27;&gt;"


def test_what_cannot_be_read_stays_as_drawn() -> None:
    figure, axes = drawn()
    axes.quiver([0], [0], [1], [1])
    freeze_layout(figure)
    assert to_plotly(figure) is None
    figure = Figure(layout="constrained")
    figure.subplots(7, 7)
    freeze_layout(figure)
    assert to_plotly(figure) is None
