"""Names of questions, which the command line reads back: ``extension:gmp:times=4``."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sparsetune.errors import DeclarationError, Problem
from sparsetune.study.questions.kinds import QUESTION_CLASSES, Question

_READER: TypeAdapter[Question] = TypeAdapter(Question)
CLASS_OF_NAME = {
    cls.model_fields["kind"].default.replace("_", "-"): cls for cls in QUESTION_CLASSES
}
"""Class of each kind, by its name on the command line."""
SUBJECT = "ask"
"""Subject of problems of a question on the command line."""


def question_name(question: Question) -> str:
    """Name of a question, unique among those of a study.

    It is the kind, the arm and the fields that differ from their defaults but the margin.
    """
    given = question.given()
    kind = str(given.pop("kind")).replace("_", "-")
    arm = given.pop("arm", "")
    given.pop("margin", None)
    fields = ",".join(f"{name}={_text(value)}" for name, value in given.items())
    return ":".join([kind, arm, fields]).rstrip(":")


def _text(value: Any) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def parse_question(text: str) -> Question:
    """The question of a text ``KIND``, ``KIND:ARM`` or ``KIND:ARM:field=value,field=value``.

    Raises:
        DeclarationError: naming every problem.
    """
    kind, _, rest = text.partition(":")
    arm, _, fields = rest.partition(":")
    if kind not in CLASS_OF_NAME:
        rule = f"a question begins with its kind, one of {', '.join(CLASS_OF_NAME)}"
        raise DeclarationError([Problem(SUBJECT, rule, repr(text))], "--ask")
    values: dict[str, Any] = {"arm": arm} if arm else {}
    for pair in filter(None, fields.split(",")):
        name, equals, value = pair.partition("=")
        if not equals:
            rule = "a question is written KIND, KIND:ARM or KIND:ARM:field=value,field=value"
            raise DeclarationError([Problem(SUBJECT, rule, repr(text))], "--ask")
        values[name] = _parsed(value)
    cls: Any = CLASS_OF_NAME[kind]
    question = cls(**values)
    problems = [problem.at(f"{SUBJECT}.{problem.path}") for problem in question.problems()]
    if problems:
        raise DeclarationError(problems, "--ask")
    return read_question(question.given())


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def read_question(values: Any) -> Question:
    """The question that plain values hold.

    Raises:
        ValueError: if they hold none, in one line.
    """
    try:
        question: Question = _READER.validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"no question: {first['msg']}") from error
    if problems := question.problems():
        raise ValueError(f"no question: {problems[0]}")
    return question
