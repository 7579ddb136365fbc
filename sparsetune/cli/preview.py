"""``sparsetune preview``: show what a study would run, without training."""

from __future__ import annotations

import argparse
from typing import Any

from sparsetune.cli.arguments import (
    Commands,
    add_parser,
    add_study_arguments,
    add_trial_arguments,
    load_study,
    print_json,
)

PROBE_OPTIONS = ("cpus_per_trial", "gpus_per_trial")
"""Options that only matter where steps are timed."""


def add_command(commands: Commands) -> None:
    """Add the command with its arguments."""
    summary = "show cells, trials, schedules and cost; train nothing"
    examples = (
        "preview studies.digits",
        'preview my_study.py --budget "8 gpu hours"',
    )
    parser = add_parser(commands, "preview", show_preview, summary, examples)
    add_study_arguments(parser)
    parser.add_argument(
        "--probe", action="store_true", help="time some steps here: forecast time and bytes too"
    )
    parser.add_argument(
        "--budget",
        help="choose the counts of configurations and report seeds that this pays for: epochs,"
        " train flops, hours, cpu hours or gpu hours",
    )
    add_trial_arguments(parser)


def show_preview(parsed: argparse.Namespace) -> int:
    """Print the preview."""
    study, _ = load_study(parsed)
    from sparsetune.launch.preview import preview_study, print_preview

    options: dict[str, Any] = {"probe": parsed.probe, "data_root": parsed.data_root}
    timing = {name: getattr(parsed, name) for name in PROBE_OPTIONS}
    if parsed.budget:
        from sparsetune.launch.stated_budget import parse_budget, with_budget

        stated = parse_budget(parsed.budget)
        study = with_budget(study, stated, data_root=parsed.data_root, **timing)
    if parsed.probe:
        options |= timing
    if parsed.json:
        print_json(preview_study(study, **options))
    else:
        print_preview(study, **options)
    return 0
