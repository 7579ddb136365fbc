"""Figures of structure: densities by layer, masks over training, overlaps of final masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from sparsetune.study.questions.words import arm_words

from .. import wording
from ..drawers import draws
from ..drawing.axes import make_panels, require_rows
from ..drawing.line_styles import LineStyles, arm_styles, shades
from ..drawing.marks import add_legend, attach_hover_texts
from ..drawing.style import LINE_MARKERS, project_style
from ..quantities import column_label, line_name
from .density import DensityProfile
from .mask_history import MaskHistory
from .mask_overlap import MaskOverlap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_NAMED_LAYERS = 14
"""Layers, or blocks of layers, up to which each has its name on the axis."""
MAX_MATRIX_RECIPES = 12
"""Recipes up to which a matrix shows all; else it shows those of the extreme training lengths."""
DARK_FIELD = 0.55
"""A field of the matrix below this part of the greatest overlap is dark and has white text."""
TRIAL_STYLE: dict[str, Any] = {"linewidth": 1.1, "alpha": 0.85, "marker": ".", "markersize": 4}
"""Style of the line of one trial, besides its colour."""
DENSITY_DECIMALS = 5
"""Decimals to which densities by layer are compared."""


@draws(DensityProfile)
def draw_densities(profile: DensityProfile) -> Figure:
    """Draw density over layers, a line per sparsity: a panel per arm and length.

    Arms and lengths whose layers are equally dense share a panel.

    Raises:
        SparsetuneError: if there is nothing to draw.
    """
    frame = _require_rows(profile.frame(), "the certificates")
    layers = list(dict.fromkeys(profile.layers["layer"]))
    panels = _merge_equal_panels(frame, _panels(frame))
    styles = LineStyles(frame, frame["sparsity"], "sparsity.target")
    lowest = frame.loc[frame["mean"] > 0, "mean"].min()
    # A dead layer has no place on a logarithmic axis: it is drawn at the floor.
    floor = 100 * min(lowest, 1 - frame["sparsity"].max()) / 2
    with project_style():
        columns = 2 if len(panels) in (2, 4) else 3
        axes = make_panels(len(panels), columns=columns, size=(4.2, 3.6))
        for axis, (title, equal) in zip(axes, panels.items(), strict=True):
            arm, epochs = equal[0]
            part = frame[(frame["arm"] == arm) & (frame["epochs"] == epochs)]
            is_of_one_arm = len({name for name, _ in equal}) == 1
            for sparsity in styles.values:
                own = part[part["sparsity"] == sparsity].drop_duplicates("position")
                style = styles.line(arm if is_of_one_arm else None, sparsity)
                _draw_layer_densities(axis, own, floor, style, sparsity)
            axis.set_yscale("log")
            _set_layer_ticks(axis, layers)
            axis.set_title(title, **styles.title(arm) if is_of_one_arm else {})
            axis.tick_params(labelbottom=True)
        axes[0].yaxis.set_major_formatter("{x:g}")
        axes[0].set_ylabel("Density (%, log scale)")
        names = styles.draw_keys(axes[-1], markersize=4, linewidth=1.2)
        return add_legend(axes, "Sparsity", names)


def _layer_hover_text(row: Mapping[Any, Any], column: str) -> str:
    """Text of a layer's mark when pointed at; ``column`` is the value that the mark shows."""
    found = wording.format_interval(row[column], row["low"], row["high"], 100, "{:.3g}")
    weights = f"{row['weights']:,.0f} weights" if "weights" in row else ""
    return wording.hover_text(row["layer"], found, row["n"], weights)


def _require_rows(frame: pd.DataFrame, needed: str) -> pd.DataFrame:
    """The frame, if there is anything to draw.

    Raises:
        SparsetuneError: naming what is ``needed``, if there is not.
    """
    return require_rows(frame, f"it takes {needed} of finished report trials of sparse winners")


def _merge_equal_panels(
    frame: pd.DataFrame, panels: Sequence[tuple[str, float]]
) -> dict[str, list[tuple[str, float]]]:
    """Panels whose layers are equally dense, by a title that names all arms."""
    groups: dict[tuple[Any, ...], list[tuple[str, float]]] = {}
    for arm, epochs in panels:
        part = frame[(frame["arm"] == arm) & (frame["epochs"] == epochs)]
        # Rounded: means of equal densities may differ in their last bits.
        densities = part[["sparsity", "layer", "mean"]].round(DENSITY_DECIMALS)
        key = tuple(densities.itertuples(index=False, name=None))
        groups.setdefault(key, []).append((arm, epochs))
    merged = {}
    for equal in groups.values():
        arm, epochs = equal[0]
        title = _title(arm, epochs, frame)
        if len(equal) > 1:
            names = [arm_words(name) for name, _ in equal]
            title = ", ".join(dict.fromkeys(names))
        merged[title] = equal
    return merged


def _draw_layer_densities(
    axis: Axes, own: pd.DataFrame, floor: float, style: dict[str, Any], sparsity: float
) -> None:
    """Draw the densities of one network's layers, with crosses at dead layers.

    Args:
        axis: Where to draw.
        own: One row per layer; nothing is drawn without rows.
        floor: Lowest density that is drawn, in percent.
        style: Colour and marker.
        sparsity: Sparsity of the network; a dotted line shows its density.
    """
    if own.empty:
        return
    mean = 100 * own["mean"].to_numpy(np.float64)
    low = 100 * own["low"].to_numpy(np.float64)
    high = 100 * own["high"].to_numpy(np.float64)
    is_dead = (own["kept"] == 0).to_numpy()
    shown = np.maximum(mean, floor)
    ends = np.stack([shown - np.clip(low, floor, None), high - shown])
    # NaN has no bar; a mean that was raised to the floor may lie above its interval.
    bar_ends = np.nan_to_num(ends).clip(0)
    x = own["position"].to_numpy()
    name = line_name("sparsity.target", sparsity)
    sizes: dict[str, Any] = {"markersize": 4, "linewidth": 1.2, "elinewidth": 1, "capsize": 2}
    bars = axis.errorbar(x, shown, bar_ends, label=name, **sizes, **style)
    attach_hover_texts(bars, [_layer_hover_text(row, "mean") for row in own.to_dict("records")])
    crosses: dict[str, Any] = {"color": "black", "markersize": 9, "markeredgewidth": 2}
    axis.plot(x[is_dead], shown[is_dead], "x", zorder=5, **crosses)
    axis.axhline(100 * (1 - sparsity), color=style["color"], linestyle=":", linewidth=0.9)


@draws(MaskHistory)
def draw_masks(history: MaskHistory) -> Figure:
    """Draw the overlap of each mask with the one before: a row per arm whose masks moved.

    Beside it is the share of the final mask that was active, unless every mask held all of it.
    There is a line per trial, and a panel per length.

    Raises:
        SparsetuneError: if there is nothing to draw.
    """
    frame = _require_rows(history.changed_rows(), "masks that changed,")
    panels = _panels(frame)
    lengths_of: dict[str, list[float]] = {}
    for arm, epochs in panels:
        lengths_of.setdefault(arm, []).append(epochs)
    width = max(map(len, lengths_of.values()))
    labels = {"iou_previous": "IoU with the mask before"}
    if not history.is_nested():
        labels["of_final"] = "Of the final mask\nalready active (%)"
    styles = LineStyles(frame, frame["sparsity"], "sparsity.target")
    lowest = max(0.0, frame["iou_previous"].min() - 0.02)
    limits = {"iou_previous": (lowest, 1.01), "of_final": (0, 104)}
    columns = len(labels) * width
    with project_style():
        axes = make_panels(len(lengths_of) * columns, columns, size=(3.2, 2.5), share=False)
        remaining = iter(axes)
        for arm, lengths in lengths_of.items():
            for column, label in labels.items():
                for place in range(width):
                    axis = next(remaining)
                    # An arm of fewer lengths leaves the rest of its row empty.
                    axis.set_visible(place < len(lengths))
                    if place >= len(lengths):
                        continue
                    part = frame[(frame["arm"] == arm) & (frame["epochs"] == lengths[place])]
                    _draw_trials(axis, part.dropna(subset=column), column, styles)
                    axis.set_ylim(*limits[column])
                    axis.set_title(_title(arm, lengths[place], frame), **styles.title(arm))
                    axis.set_ylabel(label if place == 0 else "")
                    axis.tick_params(labelbottom=True)
        for axis in axes[-columns:]:
            axis.set_xlabel(column_label("progress"))
        names = styles.draw_keys(axes[-1], **TRIAL_STYLE)
        return add_legend(axes, "Sparsity", names)


def _draw_trials(axis: Axes, part: pd.DataFrame, column: str, styles: LineStyles) -> None:
    """Draw a thin line per trial over its training; the first of each sparsity has its name."""
    factor = 100 if column == "of_final" else 1
    named = set()
    for _, trial in part.groupby("trial_id", sort=False):
        sparsity = trial["sparsity"].iloc[0]
        name = line_name("sparsity.target", sparsity)
        style = {**styles.line(str(trial["arm"].iloc[0]), sparsity), **TRIAL_STYLE}
        # A label on every line would repeat the name in the legend.
        label = None if sparsity in named else name
        named.add(sparsity)
        progress = 100 * trial["progress"]
        values = factor * trial[column]
        (line,) = axis.plot(progress, values, label=label, **style)
        texts = []
        for done, value in zip(progress, values, strict=True):
            where = f"{name}, seed {trial['seed'].iloc[0]}, {done:.3g} % of training"
            texts.append(wording.hover_text(where, f"{value:.3g}"))
        attach_hover_texts(line, texts)
    axis.set_xlim(0, 100)


@draws(MaskOverlap)
def draw_overlaps(found: MaskOverlap) -> Figure:
    """Draw a matrix of recipes for each sparsity: IoU in percent, that of chance in brackets.

    Raises:
        SparsetuneError: if there is nothing to draw.
    """
    frame = _require_rows(found.whole(), "two final masks")
    sparsities = sorted(set(frame["sparsity"]))
    recipes = _shown_recipes(frame)
    side = max(2.4, 0.62 * len(recipes) + 1.2)
    greatest = max(0.01, frame["iou"].max())
    with project_style():
        columns = 2 if len(recipes) > 4 else 3
        axes = make_panels(len(sparsities), columns=columns, size=(side, side))
        for axis, sparsity in zip(axes, sparsities, strict=True):
            part = frame[frame["sparsity"] == sparsity]
            _draw_overlap_matrix(axis, part, recipes, greatest)
            axis.set_title(line_name("sparsity.target", sparsity))
            axis.set_xticks(range(len(recipes)), recipes, rotation=45, ha="right")
            axis.set_yticks(range(len(recipes)), recipes)
            axis.tick_params(labelbottom=True, labelleft=True, length=0)
            axis.grid(False)
        return cast("Figure", axes[0].get_figure(root=True))


def _draw_overlap_matrix(
    axis: Axes, part: pd.DataFrame, recipes: Sequence[str], greatest: float
) -> None:
    """Draw the matrix of one sparsity; ``greatest`` is the overlap with the brightest colour."""
    values = _matrix(part, recipes, "iou")
    chances = _matrix(part, recipes, "chance")
    image = axis.imshow(100 * values, cmap="cividis", vmin=0, vmax=100 * greatest)
    attach_hover_texts(image, _pair_hover_texts(part, recipes).ravel().tolist())
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            continue
        text = f"{100 * value:.3g}\n({100 * chances[row, column]:.2g})"
        style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7.5}
        ink = "white" if value < DARK_FIELD * greatest else "black"
        axis.text(column, row, text, color=ink, **style)


def _shown_recipes(frame: pd.DataFrame) -> list[str]:
    """Recipes of the matrix, in order; of too many those of the shortest and longest training."""
    recipes = list(dict.fromkeys([*frame["recipe"], *frame["other"]]))
    if len(recipes) <= MAX_MATRIX_RECIPES:
        return recipes
    # The extremes show what length does; names end with it, see `final_masks`.
    lengths = {name: _recipe_length(name) for name in recipes if name.endswith(" ep")}
    extremes = {min(lengths.values(), default=0.0), max(lengths.values(), default=0.0)}
    shown = [name for name in recipes if lengths.get(name) in extremes]
    return shown or recipes[:MAX_MATRIX_RECIPES]


def _matrix(part: pd.DataFrame, recipes: Sequence[str], column: str) -> Any:
    """Values of a column, shape [n_recipes, n_recipes]; NaN if there is no pair.

    Two seeds are on and below the diagonal, one seed above it.
    """
    values = np.full((len(recipes), len(recipes)), np.nan)
    for place, row in _matrix_places(part, recipes):
        values[place] = row[column]
    return values


def _pair_hover_texts(part: pd.DataFrame, recipes: Sequence[str]) -> Any:
    """Text of each field of the matrix when pointed at; empty if there is no pair."""
    texts = np.full((len(recipes), len(recipes)), "", dtype=object)
    for place, row in _matrix_places(part, recipes):
        overlap = wording.format_interval(row["iou"], row["low"], row["high"], 100, "{:.3g}")
        pair = f"{row['recipe']} and {row['other']}, {row['pair']}"
        chance = f"{100 * row['chance']:.3g} by chance"
        texts[place] = wording.hover_text(pair, f"IoU {overlap} %", row["n"], chance)
    return texts


def _matrix_places(
    part: pd.DataFrame, recipes: Sequence[str]
) -> Iterator[tuple[tuple[int, int], Mapping[Any, Any]]]:
    """Row and column of each pair in the matrix, and the pair's row of the frame."""
    rank = {name: position for position, name in enumerate(recipes)}
    shown = part[part["recipe"].isin(recipes) & part["other"].isin(recipes)]
    for row in shown.to_dict("records"):
        # A pair comes once, in any order; the two halves of the matrix show two kinds of pairs.
        low, high = sorted((rank[row["recipe"]], rank[row["other"]]))
        yield ((low, high) if row["same_seed"] else (high, low)), row


@draws(MaskOverlap, "plot_layers")
def draw_layer_overlaps(found: MaskOverlap) -> Figure:
    """Draw the overlap of two seeds of one recipe by layer: a panel per sparsity.

    There is a line per recipe, of longer training in a darker shade; that of chance is dotted.

    Raises:
        SparsetuneError: if there is nothing to draw.
    """
    frame = _require_rows(found.by_layer(), "the final masks of two seeds")
    frame = frame[frame["recipe"].isin(_shown_recipes(frame))]
    layers = list(dict.fromkeys(frame["layer"]))
    styles = _recipe_styles(list(dict.fromkeys(frame["recipe"])))
    sparsities = sorted(set(frame["sparsity"]))
    with project_style():
        columns = min(3, len(sparsities))
        axes = make_panels(len(sparsities), columns=columns, size=(4.2, 3.6))
        for axis, sparsity in zip(axes, sparsities, strict=True):
            for recipe, style in styles.items():
                is_recipe = frame["recipe"] == recipe
                own = frame[(frame["sparsity"] == sparsity) & is_recipe]
                _draw_layer_line(axis, own, layers, style, recipe)
            _set_layer_ticks(axis, layers)
            axis.set_title(line_name("sparsity.target", sparsity))
            axis.tick_params(labelbottom=True)
        axes[0].set_ylim(0, None)
        axes[0].set_ylabel("IoU of two seeds (%)")
        return add_legend(axes, None)


def _recipe_styles(recipes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour and marker of each recipe: the hue of its arm, in a shade for its length."""
    arms = [_arm_of_recipe(name) for name in recipes]
    found = {}
    for arm, style in arm_styles(pd.DataFrame({"arm": arms})).items():
        own = [name for name, owner in zip(recipes, arms, strict=True) if owner == arm]
        own.sort(key=_recipe_length)
        colours = shades(style["color"], range(len(own)), None)
        for rank, name in enumerate(own):
            marker = LINE_MARKERS[rank % len(LINE_MARKERS)]
            found[name] = {"color": colours[rank], "marker": marker}
    return {name: found[name] for name in recipes}


def _arm_of_recipe(name: str) -> str:
    """Arm of a recipe, which its name begins with, see `final_masks`."""
    return name.rsplit(" ", 2)[0] if name.endswith(" ep") else name.partition("/")[0]


def _recipe_length(name: str) -> float:
    """Epochs of a recipe, which its name ends with if there are several; else 0."""
    return float(name.split()[-2]) if name.endswith(" ep") else 0.0


def _draw_layer_line(
    axis: Axes, own: pd.DataFrame, layers: Sequence[str], style: Mapping[str, Any], recipe: str
) -> None:
    """Draw the overlaps of one recipe by layer, and those of chance."""
    x = own["layer"].map(layers.index)
    low = own["low"].clip(lower=0)  # a t interval may end beyond what an overlap can be
    high = own["high"].clip(upper=1)
    bar_ends = np.nan_to_num(100 * np.stack([own["iou"] - low, high - own["iou"]])).clip(0)
    sizes: dict[str, Any] = {"markersize": 4, "elinewidth": 1, "capsize": 2}
    bars = axis.errorbar(x, 100 * own["iou"], bar_ends, label=recipe, **sizes, **style)
    (chance,) = axis.plot(x, 100 * own["chance"], ":", color=style["color"], linewidth=1.1)
    overlap_texts = []
    chance_texts = []
    for row in own.to_dict("records"):
        overlap_texts.append(_layer_hover_text(row, "iou"))
        expected = f"{100 * row['chance']:.3g} by chance"
        chance_texts.append(wording.hover_text(row["layer"], expected))
    attach_hover_texts(bars, overlap_texts)
    attach_hover_texts(chance, chance_texts)


def _panels(frame: pd.DataFrame) -> list[tuple[str, float]]:
    """Arms with their shortest and longest training."""
    panels = []
    for arm, part in frame.groupby("arm", sort=False):
        # A set, since an arm may have one length only.
        lengths = sorted({part["epochs"].min(), part["epochs"].max()})
        panels += [(str(arm), epochs) for epochs in lengths]
    return panels


def _title(arm: str, epochs: float, frame: pd.DataFrame) -> str:
    """Title of a panel: the arm, with the length if there are several."""
    name = arm_words(arm)
    return f"{name}, {epochs:g} epochs" if frame["epochs"].nunique() > 1 else name


def _set_layer_ticks(axis: Axes, names: Sequence[str]) -> None:
    """Name the layers on the x axis, without what their names have in common.

    Of many layers the blocks are named, and of many blocks none.
    """
    is_short = len(names) <= MAX_NAMED_LAYERS
    labels = short_layer_names(names)
    ticks = list(range(len(names)))
    if not is_short:
        blocks = [name.split(".")[0] for name in labels]
        ticks = [k for k in ticks if k == 0 or blocks[k] != blocks[k - 1]]
        labels = [blocks[k] for k in ticks]
        if len(ticks) > MAX_NAMED_LAYERS:
            ticks = []
            labels = []
    is_crowded = len(labels) > 4 and max(map(len, labels)) > 2
    axis.set_xticks(ticks, labels, rotation=90 if is_crowded else 0)
    axis.set_xlabel("Layer, input first" if is_short else "Layer, input first, by block")


def short_layer_names(names: Iterable[str]) -> list[str]:
    """Parameter names without ``.weight`` and without the dotted parts that all begin with."""
    short = [name.removesuffix(".weight") for name in names]
    while short and all("." in name for name in short):
        first_parts = {name.partition(".")[0] for name in short}
        if len(first_parts) > 1:
            break
        short = [name.partition(".")[2] for name in short]
    return short
