"""``sparsetune init``: write a study to start from."""

from __future__ import annotations

import argparse
import importlib.util
import keyword
import re
import sys
from importlib.resources import files
from pathlib import Path

from sparsetune.cli.arguments import Commands, add_parser, print_json, print_line
from sparsetune.errors import SparsetuneError

TEMPLATES = {
    "tabular": "a table of numbers, embedded: no download",
    "images": "handwritten digits, embedded: no download",
    "folder": "your own images, in folders by class",
    "text": "sentences of GLUE",
    "own": "a data function and a network of your own",
}
"""What each template trains on, by its name; its file lies in ``templates/``."""
PLACEHOLDER = "my_study"
"""Name of the study and of its module in every template."""


def add_command(commands: Commands) -> None:
    """Add the command with its arguments."""
    summary = "write a short study that runs as it is, to start from"
    examples = ("init my_study.py --template images", "init my_study.py --template folder --force")
    parser = add_parser(commands, "init", write_study, summary, examples)
    parser.add_argument("file", type=Path, help="the new file, such as my_study.py")
    lines = [f"{name} ({data})" for name, data in TEMPLATES.items()]
    parser.add_argument(
        "--template", choices=TEMPLATES, default="images", help=f"{', '.join(lines)}"
    )
    parser.add_argument("--force", action="store_true", help="replace a file that exists")


def write_study(parsed: argparse.Namespace) -> int:
    """Write the file and say how to go on."""
    target: Path = parsed.file
    _check_name(target)
    if target.exists() and not parsed.force:
        raise SparsetuneError(f"`{target}` exists; give another name, or --force to replace it")
    template = files("sparsetune.cli.templates") / f"{parsed.template}.py"
    text = template.read_text(encoding="utf-8").replace(PLACEHOLDER, target.stem)
    try:
        target.write_text(text, encoding="utf-8")
    except FileNotFoundError as error:
        raise SparsetuneError(f"there is no folder `{target.parent}`; make it first") from error
    command = f"sparsetune run {target}"
    if parsed.json:
        print_json({"file": str(target), "template": parsed.template, "next": command})
    else:
        print_line(f"Wrote {target}. Read it, then run it with: {command}")
    return 0


def _check_name(target: Path) -> None:
    """Refuse a file that workers could not import, or would mistake for another module.

    Raises:
        SparsetuneError: saying what a name must be.
    """
    name = target.stem
    is_name = re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) and not keyword.iskeyword(name)
    if target.suffix != ".py" or not is_name:
        raise SparsetuneError(
            "a study is a Python module: its name must be letters, digits and `_` and end in .py,"
            f" got `{target.name}`; `my_study.py` would do"
        )
    known = importlib.util.find_spec(name)
    is_this_file = known is not None and known.origin == str(target.resolve())
    if name in sys.stdlib_module_names or (known and not is_this_file):
        raise SparsetuneError(
            f"`{name}` is the name of an installed module, which would be imported instead;"
            " choose another"
        )
