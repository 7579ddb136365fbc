"""Sentences on ramps of the sparsity."""

from __future__ import annotations

from .template import Template

RAMP_SENTENCES = {
    "atlas_marks": Template(
        "ramps that were tried are drawn",
        "There is a mark for each configuration of a search ({n}), coloured by its {measure}.",
    ),
    "atlas_others": Template(
        "ramps that were tried are drawn: what else was searched",
        "Other hyperparameters were searched at the same time, so neighbours may differ.",
    ),
    "atlas_star": Template(
        "ramps that were tried are drawn: the best one",
        "The star is the best one measured, which is partly luck.",
    ),
    "atlas_contours": Template(
        "a surface separates good ramps from bad ones in some network",
        "Contours show the typical {measure} of a fitted surface, an additive Gaussian process.",
    ),
    "atlas_supported": Template(
        "the same: where contours are drawn",
        "They are drawn in {count} of {networks} networks, where {share} of its draws place the"
        " best above the worst.",
    ),
    "atlas_unsupported": Template(
        "no surface separates good ramps from bad ones",
        "There are no contours: no network shows that one place beats another.",
    ),
    "atlas_outline": Template(
        "ramps that were tried are drawn: the range",
        "Grey outline: what was searched.",
    ),
    "atlas_worst": Template(
        "ramps that were tried are drawn: the worst ones", "The worst tenth has one colour."
    ),
    "regions": Template(
        "the best ramps are listed",
        "Listed are the best ramp measured and the best place of the surface above, in percent of"
        " training.",
    ),
    "regions_intervals": Template(
        "the best ramps are listed: what intervals are",
        "Intervals of 95 % are over draws of the surface.",
    ),
    "atlas_too_few": Template(
        "no network has enough configurations for the atlas",
        "Not shown is the map of ramps: it needs {least} configurations of a network, and has at"
        " most {most}.",
    ),
}
