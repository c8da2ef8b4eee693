"""Read a type's own parameters: what it does not know is refused, never ignored.  Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from maestro_py.model.literals import spell_kind, text_of
from maestro_py.model.statuses import Outcome
from maestro_py.ports.step_type import StepReport

_VARIABLE: Final = re.compile(r"[^=\0]+")


class WordWrong(Exception):
    """A parameter of the step's type is wrong, which no retry will change; the text names it."""

    @property
    def report(self) -> StepReport:
        """Return the report of an attempt that cannot be run as it is written."""
        return StepReport(Outcome.FATAL_ERROR, None, str(self))


def check_words(kind: str, own: Mapping[str, Any], known: Collection[str]) -> None:
    """
    Refuse words that steps of *kind* do not have.

    Raises:
        WordWrong: there is one.
    """
    for word in own:
        if word not in known:
            raise WordWrong(f"{kind} steps have no {word!r}; they have: {', '.join(sorted(known))}")


def one_of(kind: str, own: Mapping[str, Any], words: Collection[str]) -> str:
    """
    Return that one of *words* that is given.

    Raises:
        WordWrong: none of them is, or several are.
    """
    given = [word for word in words if own.get(word)]
    if len(given) != 1:
        raise WordWrong(f"a {kind} step has exactly one of: {', '.join(words)}")
    return given[0]


def text_word(own: Mapping[str, Any], word: str, default: str = "") -> str:
    """
    Return the text of *word*.

    Raises:
        WordWrong: it is something else.
    """
    value = own.get(word)
    if value is None:
        return default
    if not isinstance(value, str):
        raise WordWrong(f"{word} must be a text, not {spell_kind(value)}")
    return value


def list_word(own: Mapping[str, Any], word: str) -> list[Any]:
    """
    Return the list of *word*; empty if it is not given.

    Raises:
        WordWrong: it is something else.
    """
    value = own.get(word)
    if value is None:
        return []
    if not isinstance(value, list):
        raise WordWrong(f"{word} must be a list, not {spell_kind(value)}")
    return value


def object_word(own: Mapping[str, Any], word: str) -> dict[str, Any]:
    """
    Return the object of *word*; empty if it is not given.

    Raises:
        WordWrong: it is something else.
    """
    value = own.get(word)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise WordWrong(f"{word} must be an object, not {spell_kind(value)}")
    return value


def environment_word(own: Mapping[str, Any]) -> dict[str, str]:
    """
    Return the variables of ``env``; numbers and booleans become texts.

    Raises:
        WordWrong: a name or a value is none that an environment can hold.
    """
    variables = {}
    for name, value in object_word(own, "env").items():
        text = "\0" if isinstance(value, list | dict | None) else text_of(value)
        if not _VARIABLE.fullmatch(name) or "\0" in text:
            raise WordWrong(f"env.{name}: an environment cannot hold it")
        variables[name] = text
    return variables
