"""The figures of `analysis.structure`: densities by layer, masks over training, overlaps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from analysis import wording
from analysis.drawing.axes import make_panels, require_rows
from analysis.drawing.marks import add_legend, attach_hover_texts
from analysis.drawing.style import LINE_MARKERS, arm_styles, line_colours, project_style
from analysis.quantities import column_label, line_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.structure.density import DensityProfile
    from analysis.structure.mask_history import MaskHistory
    from analysis.structure.mask_overlap import MaskOverlap

MAX_NAMED_LAYERS = 14
"""Layers, or blocks of layers, up to which each has its name on the axis."""
MAX_MATRIX_RECIPES = 12
"""Recipes up to which a matrix is drawn whole; else those of the shortest and longest training."""


def draw_densities(profile: DensityProfile) -> Figure:
    """Density over layers, a line per sparsity: a panel per arm and length, one for those of equally dense layers."""
    frame = _require_rows(profile.frame(), "the certificates")
    layers = profile.layers
    wanted = _merge_equal_panels(frame, _panels(frame))
    palette = line_colours(frame["sparsity"], "sparsity.target")
    floor = 100 * min(frame.loc[frame["mean"] > 0, "mean"].min(), 1 - frame["sparsity"].max()) / 2
    with project_style():
        axes = make_panels(len(wanted), columns=2 if len(wanted) in (2, 4) else 3, size=(4.2, 3.6))
        for axis, (title, (arm, epochs)) in zip(axes, wanted.items(), strict=True):
            part = frame[(frame["arm"] == arm) & (frame["epochs"] == epochs)]
            for rank, (sparsity, colour) in enumerate(palette.items()):
                own = part[part["sparsity"] == sparsity].drop_duplicates("position")
                _draw_bars(
                    axis,
                    own,
                    floor,
                    {"color": colour, "marker": LINE_MARKERS[rank % len(LINE_MARKERS)]},
                    sparsity,
                )
            axis.set_yscale("log")
            _set_layer_ticks(axis, list(dict.fromkeys(layers["layer"])))
            axis.set_title(title)
            axis.tick_params(labelbottom=True)
        axes[0].yaxis.set_major_formatter("{x:g}")
        axes[0].set_ylabel("Density (%, log scale)")
        return add_legend(axes, "Sparsity")


def _hover_text(row: Mapping[Any, Any], column: str) -> str:
    """What a layer's mark says when pointed at."""
    found = wording.format_interval(row[column], row["low"], row["high"], 100, "{:.3g}")
    return wording.hover_text(
        row["layer"], found, row["n"], f"{row['weights']:,.0f} weights" if "weights" in row else ""
    )


def _require_rows(frame: pd.DataFrame, needed: str) -> pd.DataFrame:
    return require_rows(frame, f"it takes {needed} of finished report trials of sparse winners")


def _merge_equal_panels(
    frame: pd.DataFrame, wanted: Sequence[tuple[str, float]]
) -> dict[str, tuple[str, float]]:
    """The first arm and length of those whose layers are equally dense, by a title that names all."""
    groups: dict[tuple[Any, ...], list[tuple[str, float]]] = {}
    for arm, epochs in wanted:
        part = frame[(frame["arm"] == arm) & (frame["epochs"] == epochs)]
        dense = tuple(
            part[["sparsity", "layer", "mean"]].round(5).itertuples(index=False, name=None)
        )
        groups.setdefault(dense, []).append((arm, epochs))
    titles = (", ".join(dict.fromkeys(arm for arm, _ in same)) for same in groups.values())
    alone = (_title(*same[0], frame) if len(same) == 1 else None for same in groups.values())
    return {
        one or title: same[0]
        for one, title, same in zip(alone, titles, groups.values(), strict=True)
    }


def _draw_bars(
    axis: Axes, own: pd.DataFrame, floor: float, style: dict[str, Any], sparsity: float
) -> None:
    if own.empty:
        return
    mean, low, high = (100 * own[name].to_numpy(np.float64) for name in ("mean", "low", "high"))
    dead = (own["kept"] == 0).to_numpy()
    shown = np.maximum(mean, floor)
    ends = np.nan_to_num(np.stack([shown - np.clip(low, floor, None), high - shown])).clip(0)
    x = own["position"].to_numpy()
    name = line_name("sparsity.target", sparsity)
    bars = axis.errorbar(
        x, shown, ends, label=name, markersize=4, linewidth=1.2, elinewidth=1, capsize=2, **style
    )
    attach_hover_texts(bars, [_hover_text(row, "mean") for row in own.to_dict("records")])
    axis.plot(x[dead], shown[dead], "x", color="#cc3311", markersize=9, markeredgewidth=2, zorder=5)
    axis.axhline(100 * (1 - sparsity), color=style["color"], linestyle=":", linewidth=0.9)


def draw_masks(history: MaskHistory) -> Figure:
    """A row per arm whose masks moved: overlap with the mask before, share of the final mask; a line per trial."""
    frame = _require_rows(history.changed_rows(), "masks that changed,")
    wanted = _panels(frame)
    arms = list(dict.fromkeys(arm for arm, _ in wanted))
    shown = {"iou_previous": "IoU with the mask before"}
    shown |= {} if history.is_nested() else {"of_final": "Of the final mask\nalready active (%)"}
    width = max(sum(arm == name for name, _ in wanted) for arm in arms)
    palette = line_colours(frame["sparsity"], "sparsity.target")
    lowest = max(0.0, frame["iou_previous"].min() - 0.02)
    with project_style():
        axes = make_panels(
            len(arms) * len(shown) * width, len(shown) * width, size=(3.2, 2.5), share=False
        )
        for row, arm in enumerate(arms):
            lengths = [epochs for name, epochs in wanted if name == arm]
            for block, (column, name) in enumerate(shown.items()):
                for place in range(width):
                    axis = axes[(row * len(shown) + block) * width + place]
                    axis.set_visible(place < len(lengths))
                    if place < len(lengths):
                        part = frame[(frame["arm"] == arm) & (frame["epochs"] == lengths[place])]
                        _draw_trials(axis, part.dropna(subset=column), column, palette)
                        axis.set_ylim(*((0, 104) if column == "of_final" else (lowest, 1.01)))
                        axis.set_title(_title(arm, lengths[place], frame))
                        axis.set_ylabel(name if place == 0 else "")
                        axis.tick_params(labelbottom=True)
        for axis in axes[-len(shown) * width :]:
            axis.set_xlabel(column_label("progress"))
        return add_legend(axes, "Sparsity")


def _draw_trials(axis: Axes, part: pd.DataFrame, column: str, palette: Mapping[float, Any]) -> None:
    """A thin line per trial over its training; the first of each sparsity has its name."""
    factor = 100 if column == "of_final" else 1
    named = set()
    for _, trial in part.groupby("trial_id", sort=False):
        sparsity = trial["sparsity"].iloc[0]
        name = None if sparsity in named else line_name("sparsity.target", sparsity)
        named.add(sparsity)
        style = {
            "color": palette[sparsity],
            "linewidth": 1.1,
            "alpha": 0.85,
            "marker": ".",
            "markersize": 4,
        }
        (line,) = axis.plot(100 * trial["progress"], factor * trial[column], label=name, **style)
        place = f"{line_name('sparsity.target', sparsity)}, seed {trial['seed'].iloc[0]}"
        attach_hover_texts(
            line,
            [
                wording.hover_text(
                    f"{place}, {100 * at:.3g} % of training", f"{factor * value:.3g}"
                )
                for at, value in zip(trial["progress"], trial[column], strict=True)
            ],
        )
    axis.set_xlim(0, 100)


def draw_overlaps(found: MaskOverlap) -> Figure:
    """A matrix of recipes for each sparsity, IoU in percent, chance in brackets."""
    frame = _require_rows(found.whole(), "two final masks")
    sparsities = sorted(set(frame["sparsity"]))
    recipes = _recipes(frame)
    side = max(2.4, 0.62 * len(recipes) + 1.2)
    with project_style():
        axes = make_panels(len(sparsities), columns=2 if len(recipes) > 4 else 3, size=(side, side))
        most = max(0.01, frame["iou"].max())
        for axis, sparsity in zip(axes, sparsities, strict=True):
            part = frame[frame["sparsity"] == sparsity]
            values = _matrix(part, recipes, "iou")
            chances = _matrix(part, recipes, "chance")
            image = axis.imshow(100 * values, cmap="cividis", vmin=0, vmax=100 * most)
            attach_hover_texts(image, _pair_hover_texts(part, recipes).ravel().tolist())
            for (row, column), value in np.ndenumerate(values):
                if not np.isnan(value):
                    text = f"{100 * value:.3g}\n({100 * chances[row, column]:.2g})"
                    colour = "white" if value < 0.55 * most else "black"
                    axis.text(
                        column, row, text, ha="center", va="center", fontsize=7.5, color=colour
                    )
            axis.set_title(line_name("sparsity.target", sparsity))
            axis.set_xticks(range(len(recipes)), recipes, rotation=45, ha="right")
            axis.set_yticks(range(len(recipes)), recipes)
            axis.tick_params(labelbottom=True, labelleft=True, length=0)
            axis.grid(False)
        return cast("Figure", axes[0].get_figure(root=True))


def _recipes(frame: pd.DataFrame) -> list[str]:
    """Those of the matrix, in order."""
    recipes = list(dict.fromkeys([*frame["recipe"], *frame["other"]]))
    if len(recipes) <= MAX_MATRIX_RECIPES:
        return recipes
    lengths = {name: float(name.split()[-2]) for name in recipes if name.endswith(" ep")}
    ends = {min(lengths.values(), default=0.0), max(lengths.values(), default=0.0)}
    return [name for name in recipes if lengths.get(name) in ends] or recipes[:MAX_MATRIX_RECIPES]


def _matrix(part: pd.DataFrame, recipes: Sequence[str], column: str) -> Any:
    """Two seeds on and below the diagonal, one seed above; NaN where there is no pair."""
    values = np.full((len(recipes), len(recipes)), np.nan)
    for place, row in _matrix_places(part, recipes):
        values[place] = row[column]
    return values


def _pair_hover_texts(part: pd.DataFrame, recipes: Sequence[str]) -> Any:
    """What each place of the matrix says when pointed at; nothing where there is no pair."""
    said = np.full((len(recipes), len(recipes)), "", dtype=object)
    for place, row in _matrix_places(part, recipes):
        overlap = wording.format_interval(row["iou"], row["low"], row["high"], 100, "{:.3g}")
        pair = f"{row['recipe']} and {row['other']}, {row['pair']}"
        chance = f"{100 * row['chance']:.3g} by chance"
        said[place] = wording.hover_text(pair, f"IoU {overlap} %", row["n"], chance)
    return said


def _matrix_places(
    part: pd.DataFrame, recipes: Sequence[str]
) -> Iterator[tuple[tuple[int, int], Mapping[Any, Any]]]:
    """Row and column of each pair in the matrix."""
    place = {name: rank for rank, name in enumerate(recipes)}
    for row in part[part["recipe"].isin(recipes) & part["other"].isin(recipes)].to_dict("records"):
        low, high = sorted((place[row["recipe"]], place[row["other"]]))
        yield ((low, high) if row["same_seed"] else (high, low)), row


def draw_layer_overlaps(found: MaskOverlap) -> Figure:
    """Overlap of two seeds of one recipe by layer: a panel per sparsity, a line per recipe, chance dotted."""
    frame = _require_rows(found.by_layer(), "the final masks of two seeds")
    frame = frame[frame["recipe"].isin(_recipes(frame))]
    layers = list(dict.fromkeys(frame["layer"]))
    styles = arm_styles(frame["recipe"])
    sparsities = sorted(set(frame["sparsity"]))
    with project_style():
        axes = make_panels(len(sparsities), columns=min(3, len(sparsities)), size=(4.2, 3.6))
        for axis, sparsity in zip(axes, sparsities, strict=True):
            for recipe, style in styles.items():
                own = frame[(frame["sparsity"] == sparsity) & (frame["recipe"] == recipe)]
                x = own["layer"].map(layers.index)
                low = own["low"].clip(lower=0)
                high = own["high"].clip(upper=1)  # what an overlap can be
                ends = np.nan_to_num(100 * np.stack([own["iou"] - low, high - own["iou"]])).clip(0)
                bars = axis.errorbar(
                    x,
                    100 * own["iou"],
                    ends,
                    label=recipe,
                    markersize=4,
                    elinewidth=1,
                    capsize=2,
                    **style,
                )
                (chance,) = axis.plot(
                    x, 100 * own["chance"], ":", color=style["color"], linewidth=1.1
                )
                rows = own.to_dict("records")
                attach_hover_texts(bars, [_hover_text(row, "iou") for row in rows])
                attach_hover_texts(
                    chance,
                    [
                        wording.hover_text(row["layer"], f"{100 * row['chance']:.3g} by chance")
                        for row in rows
                    ],
                )
            _set_layer_ticks(axis, layers)
            axis.set_title(line_name("sparsity.target", sparsity))
            axis.tick_params(labelbottom=True)
        axes[0].set_ylim(0, None)
        axes[0].set_ylabel("IoU of two seeds (%)")
        return add_legend(axes, None)


def _panels(frame: pd.DataFrame) -> list[tuple[str, float]]:
    """Arms with their shortest and longest training."""
    ends = {
        arm: sorted({part["epochs"].min(), part["epochs"].max()})
        for arm, part in frame.groupby("arm", sort=False)
    }
    return [(str(arm), epochs) for arm, lengths in ends.items() for epochs in lengths]


def _title(arm: str, epochs: float, frame: pd.DataFrame) -> str:
    return f"{arm}, {epochs:g} epochs" if frame["epochs"].nunique() > 1 else arm


def _set_layer_ticks(axis: Axes, names: Sequence[str]) -> None:
    """Names of layers on the x axis, without what they have in common; of many layers those of their blocks."""
    shown = short_layer_names(names)
    every = list(range(len(names)))
    if len(names) > MAX_NAMED_LAYERS:
        blocks = [name.split(".")[0] for name in shown]
        every = [place for place in every if place == 0 or blocks[place] != blocks[place - 1]]
        shown = [blocks[place] for place in every] if len(every) <= MAX_NAMED_LAYERS else []
    axis.set_xticks(
        every if shown else [],
        shown,
        rotation=90 if len(shown) > 4 and max(map(len, shown)) > 2 else 0,
    )
    axis.set_xlabel(
        "Layer, input first" if len(names) <= MAX_NAMED_LAYERS else "Layer, input first, by block"
    )


def short_layer_names(names: Iterable[str]) -> list[str]:
    """Parameter names without ``.weight`` and without the dotted parts that all begin with."""
    parts = [name.removesuffix(".weight").split(".") for name in names]
    while parts and min(map(len, parts)) > 1 and len({part[0] for part in parts}) == 1:
        parts = [part[1:] for part in parts]
    return [".".join(part) for part in parts]
