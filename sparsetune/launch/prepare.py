"""Preparation of a launch: reads the directory once, forecasts, refuses, writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sparsetune.answers import look_level
from sparsetune.cluster.placement import check_gpu_share
from sparsetune.costs.forecast import Forecast
from sparsetune.errors import DeclarationError
from sparsetune.launch.extension import Extension
from sparsetune.launch.local_forecast import forecast_on_this_machine
from sparsetune.launch.options import Options
from sparsetune.launch.preflight import check_study, require_runnable
from sparsetune.paths import Place, read_content, resolve_place
from sparsetune.search.planner import Planner, build_planner
from sparsetune.search.sampling.points import quiet_optuna
from sparsetune.storage import StudyDirectory
from sparsetune.storage.records import Extended, Granted, Record
from sparsetune.storage.segments import LedgerEnd, SegmentStamp, segment_stamps
from sparsetune.storage.trial_state import TrialState, fold_records
from sparsetune.study import Study, study_subject

LEVEL = 0.05
"""Probability that any answer of a study is wrong, over all its looks."""


@dataclass(frozen=True)
class PreparedLaunch:
    """A launch that may start.

    Args:
        declared: The study's declaration, proved runnable.
        directory: The study's directory; it may not exist yet.
        options: How to run.
        data_root: Absolute folder of the data sets; None for the default.
        extension: What was asked to be added; None for nothing.
        defaults_version: Version of the defaults that the study is declared under.
        added: Its record, which is still to be written; None where nothing is added.
        records: The ledger, ``added`` included.
        trials: State of every trial, as ``records`` add up to it.
        planner: Planner of the extended study over ``trials``, with a journal in memory.
        forecast: Cost of what is left to run.
        read_at: Stamps of the ledger's segments from before it was read.
        ledger_end: Where this launch continues the ledger.
        notices: What is to be known about the ledger, a sentence each.
        warnings: What does not keep the study from running, for people.
    """

    declared: Study
    directory: StudyDirectory
    options: Options
    data_root: Path | None
    extension: Extension | None
    defaults_version: int
    added: Extended | None
    records: Sequence[Record]
    trials: dict[str, TrialState]
    planner: Planner
    forecast: Forecast
    read_at: Sequence[SegmentStamp]
    ledger_end: LedgerEnd
    notices: Sequence[str]
    warnings: tuple[str, ...] = ()

    def up_to_date(self) -> PreparedLaunch:
        """This launch, prepared again if the ledger has changed; call it while the study is held.

        Raises:
            DeclarationError: if the extension does not suit the ledger any more.
            LimitError: if what is left now exceeds a limit.
            StorageError: if the directory cannot be read.
        """
        if _written_segments(self.directory) == self.read_at:
            return self
        planned = _read_and_plan(
            self.declared,
            self.directory,
            self.options,
            self.data_root,
            self.extension,
            self.defaults_version,
        )
        return replace(planned, warnings=self.warnings)


def prepare_launch(
    study: Study, options: Options, directory: Place | None = None, extend: Extension | None = None
) -> PreparedLaunch:
    """Check a launch completely before anything starts or is written.

    Args:
        study: The declaration.
        options: How to run it.
        directory: The study's directory; None for the folder of its name under ``options.storage``.
        extend: What to add to what the directory already asks for.

    Raises:
        DeclarationError: naming every problem of the study, the options or ``extend``.
        StudyDirectoryError: if the directory holds another declaration.
        LimitError: if the study is forecast to exceed the disk that is free or a limit of
            ``options``.
        StorageError: if the directory cannot be read.
    """
    check_gpu_share(options.gpus_per_trial)
    data_root = options.resolve_data_root()
    if study.field_problems():
        # Raises: such a study may not even have a name, and so no directory.
        require_runnable(study, data_root=data_root)
    home = StudyDirectory(directory or resolve_place(options.storage) / study.name)
    defaults_version = home.defaults_version()
    # Under the directory's own defaults, or a new default would look like a changed declaration.
    study = study.under_defaults(defaults_version)
    known = home.study() if read_content(home.declaration) is not None else None
    checked = check_study(study, data_root=data_root, known=known)
    if known is not None:
        home.require_same_study(checked.study)
    prepared = _read_and_plan(checked.study, home, options, data_root, extend, defaults_version)
    warnings = [str(found) for found in checked.warnings]
    # Nodes of a cluster may have what this machine lacks.
    untrainable = [] if options.address else prepared.forecast.problems()
    if untrainable and known is None:
        raise DeclarationError(untrainable, study_subject(checked.study))
    warnings += map(str, untrainable)
    if known is not None and checked.study.questions != known.questions:
        warnings.append(
            "the study's questions have changed since it began: those that it began with are"
            " answered; add others with `sparsetune resume --ask`"
        )
    return replace(prepared, warnings=tuple(warnings))


def _read_and_plan(
    study: Study,
    home: StudyDirectory,
    options: Options,
    data_root: Path | None,
    extend: Extension | None,
    defaults_version: int,
) -> PreparedLaunch:
    # Before reading: what is added meanwhile then counts as a change, and is read again.
    read_at = _written_segments(home)
    ledger = home.read_records(study)
    records = ledger.records()
    added = extend.record(study, records, data_root) if extend else None
    if added:
        records.append(added)
    quiet_optuna()
    trials = fold_records(records)
    grants = [record for record in records if isinstance(record, Granted)]
    planner = build_planner(study.extended(records), trials, grants=grants)
    forecast, slots = forecast_on_this_machine(
        planner.at_last_look().remaining_work(),
        options.cpus_per_trial,
        options.gpus_per_trial,
        data_root,
    )
    if not options.address:  # the size of a cluster is known when it is connected
        forecast.require_memory()
        options.limits.check(forecast, slots, home.path)
    return PreparedLaunch(
        declared=study,
        directory=home,
        options=options,
        data_root=data_root,
        extension=extend,
        defaults_version=defaults_version,
        added=added,
        records=records,
        trials=trials,
        planner=planner,
        forecast=forecast,
        read_at=read_at,
        ledger_end=ledger.text.end,
        notices=[*home.notices(ledger.text), *_look_notices(study, added, records)],
    )


def _look_notices(study: Study, added: Extended | None, records: Sequence[Record]) -> list[str]:
    """A sentence on what seeds that are added cost: each look spends a part of the level.

    Args:
        study: The declaration, whose looks come first.
        added: What is to be added; None for nothing.
        records: The ledger with it.
    """
    if added is None or not added.report_seeds:
        return []
    extensions = [record for record in records if isinstance(record, Extended)]
    declared = study.looks()
    look = len(declared) + sum(record.report_seeds > 0 for record in extensions)
    spent = [look_level(LEVEL, number, declared) for number in range(1, look + 1)]
    here = 100 * spent[-1]
    left = 100 * (LEVEL - sum(spent))
    return [
        f"these report seeds begin look {look} of the study: answers are open until they have run,"
        f" and may then be wrong in {here:.2g} % of repetitions; later looks have {left:.2g} %"
    ]


def _written_segments(home: StudyDirectory) -> list[SegmentStamp]:
    """Stamps of the segments that hold records; taking a study over leaves empty ones."""
    return [stamp for stamp in segment_stamps(home.ledger) if stamp.size]
