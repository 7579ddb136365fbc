"""The command line. Each command imports what it needs, so that ``--help`` answers at once."""

from __future__ import annotations

import argparse
import errno
import json
import math
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsetune.errors import SparsetuneError

if TYPE_CHECKING:
    from sparsetune.launch.launch import Outcome
    from sparsetune.paths import Place
    from sparsetune.study import Study

STORAGE_ERRNOS = {errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. A user's mistake is one message without a traceback, and status 2."""
    parsed = build_parser().parse_args(arguments)
    try:
        return int(parsed.command(parsed))
    except SparsetuneError as error:
        print(f"sparsetune: {error}", file=sys.stderr)  # noqa: T201
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno not in STORAGE_ERRNOS:
            raise
        message = f"sparsetune: `{error.filename}` cannot be written: {error.strerror}"
        print(message, file=sys.stderr)  # noqa: T201
    except KeyboardInterrupt:
        return 130
    return 2


def build_parser() -> argparse.ArgumentParser:
    """The commands with their options."""
    top = argparse.ArgumentParser(
        prog="sparsetune", description="Hyperparameter studies of sparse training."
    )
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    run = _add_command(
        commands, "run", _run_study, "run a study; the same command again resumes it"
    )
    _add_study_arguments(run)
    _add_launch_arguments(run)

    resume = _add_command(
        commands,
        "resume",
        _resume_study,
        "go on with a study from its directory alone, or extend it",
    )
    resume.add_argument(
        "directory", type=_parse_place, help="the study's directory, such as runs/digits"
    )
    resume.add_argument(
        "--add-report-seeds",
        type=_parse_count,
        default=0,
        metavar="N",
        help="more seeds for every winner",
    )
    resume.add_argument(
        "--add-configurations",
        type=_parse_count,
        default=0,
        metavar="N",
        help="more configurations per cell",
    )
    resume.add_argument(
        "--add-sweep",
        action="append",
        default=[],
        metavar="FIELD=V,V",
        help="more values of a declared sweep axis",
    )
    resume.add_argument(
        "--retry-failed",
        action="store_true",
        help="run FAILED trials again, from their checkpoints",
    )
    _add_launch_arguments(resume)

    status = _add_command(
        commands, "status", _show_status, "show how far a study is, also while it runs"
    )
    status.add_argument("directory", type=_parse_place, help="the study's directory")
    status.add_argument(
        "--watch", action="store_true", help="show it again every two seconds until Ctrl-C"
    )

    report = _add_command(
        commands, "report", _write_report, "write report/index.html, figures and tables of a study"
    )
    report.add_argument("directory", type=_parse_place, help="the study's directory")

    diff = _add_command(
        commands,
        "diff",
        _show_diff,
        "show what changed between two studies: declaration, code, conclusions",
    )
    diff.add_argument("before", type=_parse_place, help="a study's directory")
    diff.add_argument("after", type=_parse_place, help="another's")
    diff.add_argument(
        "--measure", metavar="COLUMN", help="what conclusions are of (default: test_accuracy)"
    )

    export = _add_command(
        commands,
        "export",
        _export_trial,
        "write a trial's final network with its certificate and a card",
    )
    export.add_argument(
        "trial",
        type=_parse_place,
        metavar="TRIAL_DIR",
        help="such as runs/digits/trials/0123456789ab",
    )
    export.add_argument("out", type=Path, metavar="OUT", help="a new folder")
    export.add_argument(
        "--data-root", type=Path, metavar="DIR", help="where models lie (or SPARSETUNE_DATA)"
    )

    replay = _add_command(
        commands, "replay", _replay_study, "replay schedulers over a finished study; train nothing"
    )
    replay.add_argument(
        "directory", type=_parse_place, help="a study whose search trials trained to their end"
    )
    replay.add_argument(
        "--workers", type=_parse_size, default=2, metavar="N", help="trials at once (default: 2)"
    )
    replay.add_argument(
        "--rungs",
        type=_parse_amounts,
        metavar="P,P",
        help="fractions of training (default: the study's)",
    )
    replay.add_argument(
        "--reduction",
        type=_parse_amount,
        metavar="R",
        help="the best 1/R go on (default: the study's)",
    )
    replay.add_argument(
        "--settle",
        type=_parse_amount,
        metavar="S",
        help="fraction at target before (default: the study's)",
    )

    preview = _add_command(
        commands, "preview", _show_preview, "show cells, trials, schedules and cost; train nothing"
    )
    _add_study_arguments(preview)
    preview.add_argument(
        "--probe", action="store_true", help="time some steps here: forecast time and bytes too"
    )
    _add_trial_arguments(preview)

    _add_sparsity_arguments(
        _add_command(
            commands,
            "layers",
            _show_layers,
            "show what a sparsity means for a model's layers; train nothing",
        )
    )

    doctor = _add_command(
        commands, "doctor", _run_doctor, "check versions, hardware, data, storage and a Ray cluster"
    )
    doctor.add_argument(
        "--storage",
        type=_parse_place,
        default=Path("runs"),
        metavar="DIR",
        help="a folder or s3://…",
    )
    doctor.add_argument("--address", help="an existing Ray cluster, whose every node is asked")
    doctor.add_argument(
        "--data-root", type=Path, metavar="DIR", help="where data sets lie (or SPARSETUNE_DATA)"
    )
    return top


def _add_command(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    added: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + "."
    )
    added.add_argument("--json", action="store_true", help="print one JSON object instead")
    added.set_defaults(command=run)
    return added


def _add_study_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "study", help="a module (studies.digits) or a .py file that holds one Study"
    )
    command.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="set a field of the base"
    )
    command.add_argument("--name", help="another name for the study, and so another directory")
    command.add_argument(
        "--quick", action="store_true", help="the one-minute form, named NAME-quick"
    )
    command.add_argument(
        "--storage",
        type=_parse_place,
        default=Path("runs"),
        metavar="DIR",
        help="a folder or s3://…",
    )


def _add_sparsity_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model", required=True, help="mlp, resnet50, … or your own package.module:function"
    )
    command.add_argument(
        "--sparsity", required=True, type=_parse_amount, metavar="S", help="in [0, 1)"
    )
    command.add_argument(
        "--allocation", metavar="NAME", help="global (default), uniform, erk, er or explicit"
    )
    command.add_argument("--pattern", default="unstructured", metavar="N:M", help="such as 2:4")
    command.add_argument(
        "--spare", action="append", metavar="PATTERN", help="layers that stay dense; '' for none"
    )
    command.add_argument(
        "--layer",
        action="append",
        default=[],
        type=_parse_layer_sparsity,
        metavar="PATTERN=S",
        help="explicit: a layer's sparsity",
    )
    command.add_argument(
        "--input-shape",
        type=_parse_shape,
        metavar="3x224x224",
        help="default: that of the model's data",
    )
    command.add_argument(
        "--classes", type=_parse_size, metavar="N", help="default: that of the model's data"
    )


def _add_launch_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--address", help="an existing Ray cluster (default: a local one)")
    _add_trial_arguments(command)
    command.add_argument(
        "--checkpoint-seconds", type=_parse_amount, default=30, metavar="S", help="default: 30"
    )
    command.add_argument(
        "--keep-models", action="store_true", help="keep every final model as safetensors"
    )
    command.add_argument(
        "--checkpoint-gib", type=_parse_amount, metavar="G", help="default: 10 %% of the free disk"
    )
    command.add_argument(
        "--max-hours",
        type=_parse_amount,
        metavar="H",
        help="refuse what is forecast to take longer",
    )
    command.add_argument(
        "--max-gib", type=_parse_amount, metavar="G", help="refuse more checkpoints and models"
    )
    command.add_argument(
        "--tensorboard", action="store_true", help="write TensorBoard's event files too"
    )
    command.add_argument(
        "--no-report", action="store_true", help="do not write the report at the end"
    )


def _add_trial_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--gpus-per-trial",
        type=_parse_amount,
        metavar="SHARE",
        help="default: 1 where there are GPUs",
    )
    command.add_argument(
        "--cpus-per-trial", type=_parse_amount, default=1, metavar="N", help="default: 1"
    )
    command.add_argument(
        "--data-root", type=Path, metavar="DIR", help="where data sets lie (or SPARSETUNE_DATA)"
    )


def _parse_count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(
            f"must be a whole number that is not negative, got {text!r}"
        )
    return int(text)


def _parse_amount(text: str) -> float:
    with suppress(ValueError):
        if 0 <= float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"must be a number that is not negative, got {text!r}")


def _parse_amounts(text: str) -> list[float]:
    return [_parse_amount(part) for part in text.split(",")]


def _parse_size(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number that is positive, got {text!r}")
    return int(text)


def _parse_shape(text: str) -> tuple[int, ...]:
    return tuple(_parse_size(part) for part in text.split("x"))


def _parse_layer_sparsity(text: str) -> tuple[str, float]:
    pattern, _, sparsity = text.rpartition("=")
    return pattern, _parse_amount(sparsity)


def _parse_place(text: str) -> Place:
    from sparsetune.paths import resolve_place

    try:
        return resolve_place(text) if "://" in text else Path(text)
    except SparsetuneError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _load_study(parsed: argparse.Namespace) -> tuple[Study, Path]:
    from sparsetune.cli.find import find_study, parse_overrides

    study, file = find_study(parsed.study)
    if (parsed.set or parsed.quick) and study.problems():
        from sparsetune.launch.preflight import require_runnable

        require_runnable(
            study, needs_data=False
        )  # raises: what is not valid has no axes to pin and no quick form
    study = study.pinned(parse_overrides(parsed.set)) if parsed.set else study
    study = study.quick() if parsed.quick else study
    return (study.with_changes(name=parsed.name) if parsed.name else study), file


def _launch_options(
    parsed: argparse.Namespace, storage: Place, file: Path | None
) -> dict[str, Any]:
    names = (
        "address",
        "gpus_per_trial",
        "cpus_per_trial",
        "data_root",
        "checkpoint_seconds",
        "keep_models",
    )
    chosen = {
        name: getattr(parsed, name)
        for name in (*names, "checkpoint_gib", "max_hours", "max_gib", "tensorboard")
    }
    return {**chosen, "storage": storage, "study_file": file, "quiet": parsed.json}


def _run_study(parsed: argparse.Namespace) -> int:
    study, file = _load_study(parsed)
    from sparsetune.launch.launch import Options, launch

    return _report_outcome(
        parsed, launch(study, Options(**_launch_options(parsed, parsed.storage, file)))
    )


def _resume_study(parsed: argparse.Namespace) -> int:
    from sparsetune.cli.find import parse_sweep
    from sparsetune.storage import StudyDirectory

    home = StudyDirectory(parsed.directory)
    study = home.study()
    sweep = parse_sweep(parsed.add_sweep)
    from sparsetune.launch.extension import Extension
    from sparsetune.launch.launch import Options, launch

    files = [Path(one["study_file"]) for one in home.launches() if one.get("study_file")]
    options = Options(**_launch_options(parsed, home.path.parent, files[-1] if files else None))
    extend = Extension(
        parsed.add_report_seeds, parsed.add_configurations, sweep, parsed.retry_failed
    )
    return _report_outcome(parsed, launch(study, options, directory=home.path, extend=extend))


def _report_outcome(parsed: argparse.Namespace, outcome: Outcome) -> int:
    from analysis import report

    page = None if parsed.no_report or outcome.interrupted else report(outcome.directory)
    if parsed.json:
        facts = {
            "directory": str(outcome.directory),
            "trials": dict(outcome.counts),
            "report": page and str(page),
        }
        _print_json(
            {**facts, "interrupted": outcome.interrupted, "unsettled": list(outcome.unsettled)}
        )
    elif outcome.interrupted:
        print(f"Stopped. Go on with: sparsetune resume {outcome.directory}")  # noqa: T201
    elif page:
        print(f"Report: {page}")  # noqa: T201
    return outcome.exit_status


def _show_status(parsed: argparse.Namespace) -> int:
    from sparsetune.cli.status import print_status, study_status

    if parsed.json:
        _print_json(study_status(parsed.directory))
    else:
        print_status(parsed.directory, watch=parsed.watch)
    return 0


def _write_report(parsed: argparse.Namespace) -> int:
    from analysis import report

    page = report(parsed.directory)
    if parsed.json:
        _print_json({"report": str(page)})
    else:
        print(f"Report: {page}")  # noqa: T201
    return 0


def _show_diff(parsed: argparse.Namespace) -> int:
    from analysis.diff import diff
    from analysis.diff.text import as_json, show

    found = diff(parsed.before, parsed.after, parsed.measure)
    if parsed.json:
        _print_json(as_json(found))
    else:
        show(found)
    return 0


def _export_trial(parsed: argparse.Namespace) -> int:
    from sparsetune.train.export import export_trial

    facts = export_trial(parsed.trial, parsed.out, parsed.data_root)
    if parsed.json:
        _print_json(facts)
    else:
        print(f"Exported: {facts['directory']}")  # noqa: T201
    return 0


def _replay_study(parsed: argparse.Namespace) -> int:
    from analysis.ramps.replay_figure import draw_replay
    from sparsetune.search.replay import print_replay, replay_study

    given = {name: getattr(parsed, name) for name in ("rungs", "reduction", "settle")}
    changes = {name: value for name, value in given.items() if value is not None}
    found = replay_study(parsed.directory, changes, workers=parsed.workers)
    figure = draw_replay(
        found.table, found.configurations, found.objective, parsed.directory / "figures" / "replay"
    )
    if parsed.json:
        facts = {
            "study": found.study,
            "objective": found.objective,
            "workers": found.workers,
            "rule": found.rule,
        }
        _print_json(
            {
                **facts,
                "left_out": found.left_out,
                "table": found.table,
                "figure": figure and str(figure),
            }
        )
    else:
        print_replay(found)
        print(f"Figure: {figure}" if figure else "No figure: the study searches no ramp.")  # noqa: T201
    return 0


def _show_preview(parsed: argparse.Namespace) -> int:
    study, _ = _load_study(parsed)
    from sparsetune.cli.preview import preview_study, print_preview

    names = ("cpus_per_trial", "gpus_per_trial", "data_root")
    options = {
        "probe": parsed.probe,
        **{name: getattr(parsed, name) for name in names if parsed.probe},
    }
    if parsed.json:
        _print_json(preview_study(study, **options))
    else:
        print_preview(study, **options)
    return 0


def _show_layers(parsed: argparse.Namespace) -> int:
    from sparsetune.costs.layer_table import layer_table, print_layer_table
    from sparsetune.spec.sparsity import SparsitySpec

    sys.path += [folder for folder in [str(Path.cwd())] if folder not in sys.path]
    sparsity = SparsitySpec(
        method="one_shot",
        target=parsed.sparsity,
        allocation=parsed.allocation,
        pattern=parsed.pattern,
        spared=None if parsed.spare is None else [pattern for pattern in parsed.spare if pattern],
        layers=parsed.layer,
    )
    facts = layer_table(parsed.model, sparsity, parsed.input_shape, parsed.classes)
    if parsed.json:
        _print_json(facts)
    else:
        print_layer_table(facts)
    return 0


def _run_doctor(parsed: argparse.Namespace) -> int:
    from sparsetune.cli.doctor import checks_as_json, print_checks, run_checks

    checks = run_checks(parsed.storage, address=parsed.address, data_root=parsed.data_root)
    if not parsed.json:
        return int(print_checks(checks) > 0)
    facts = checks_as_json(checks)
    _print_json(facts)
    return int(facts["faults"] > 0)


def _print_json(facts: dict[str, Any]) -> None:
    print(json.dumps(facts, indent=2))  # noqa: T201


if __name__ == "__main__":
    sys.path.append(
        sys.path.pop(0)
    )  # `-m` puts the current folder first, where a user's own `analysis/` may lie
    sys.exit(main())
