"""Experiment folders of Syne Tune, which hold ``results.csv.zip``.

Its ``tuner.dill`` is a pickle and is never read.

Source: https://syne-tune.readthedocs.io/en/latest/
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from ..formats.archive import unpack
from ..formats.delimited import read_delimited
from ..reading import Reader, Reading
from ..source import Source, open_source

RESULTS = "results.csv.zip"


def _is_results(name: str) -> bool:
    return name == RESULTS


def is_experiment(source: Source) -> bool:
    """True for the folder of an experiment, or of several."""
    return source.is_folder and source.has_file(_is_results, 1)


def read_experiment(source: Source) -> Reading:
    """Reports of all trials; those of several experiments have ids that begin with its folder."""
    files = source.files(_is_results, 1)
    readings = [read_delimited(unpack(open_source(path))) for path in files]
    frames: list[pd.DataFrame] = []
    for path, reading in zip(files, readings, strict=True):
        experiment = path.parent.resolve().name
        frame = reading.frame.assign(experiment=experiment)
        if len(files) > 1:
            frame["trial_id"] = experiment + "/" + frame["trial_id"].astype("str")
        frames.append(frame)
    count = "an experiment" if len(files) == 1 else f"{len(files)} experiments"
    merged = pd.concat(frames, ignore_index=True)
    return replace(readings[0], frame=merged, name=source.stem, recognised=f"{count} of Syne Tune")


SYNE_TUNE = Reader("a Syne Tune experiment", is_experiment, read_experiment)
