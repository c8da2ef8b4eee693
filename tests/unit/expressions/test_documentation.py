"""Every example of docs/expressions.md is run, and gives what the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from maestro_py.expressions import evaluate
from maestro_py.expressions.classes import CLASSES, METHODS
from maestro_py.expressions.containers import LOOKUPS
from maestro_py.expressions.limits import Limits
from maestro_py.model.errors import DefinitionInvalid
from maestro_py.model.forms import read_push
from maestro_py.params import expression_names
from tests.unit.expressions.world import failure_of

PAGE = (Path(__file__).parents[3] / "docs" / "expressions.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PARAMS: dict[str, object] = json.loads(next(text for language, text in BLOCKS if language == "json"))
EXAMPLES = [
    re.fullmatch(r"(?P<source>.*?)\s+(?P<mark>[→!])\s+(?P<shown>.*)", line)
    for language, text in BLOCKS
    if language == ""
    for line in text.splitlines()
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda found: found["source"] if found else "none")
def test_each_example_gives_what_the_page_says(example: re.Match[str]) -> None:
    """The value is the one shown as JSON; the error begins with the text shown."""
    source, shown = example["source"], example["shown"]
    if example["mark"] == "→":
        actual = evaluate(source, PARAMS)

        assert json.loads(shown) == actual
        assert type(json.loads(shown)) is type(actual)
    else:
        assert failure_of(lambda: evaluate(source, PARAMS)).message.startswith(shown)


@pytest.mark.parametrize("text", [text for language, text in BLOCKS if language == "jsonc"])
def test_each_definition_on_the_page_is_accepted(text: str) -> None:
    assert read_push(text.encode(), user="ana", max_steps=20, names_of=expression_names).workflow.steps


@pytest.mark.parametrize("call", ["getFromSubworkflow('s', 't', 'x')", "getFromSignalDependency('0', 'x')"])
def test_what_the_page_says_is_refused_is_refused(call: str) -> None:
    param = {"p": {"type": "LONG", "expression": f"params.{call}"}}
    body = {"workflow_id": "w", "steps": [{"id": "a", "type": "NoOp", "params": param}]}
    with pytest.raises(DefinitionInvalid, match="so a call of it can give nothing"):
        read_push(json.dumps(body).encode(), user="ana", max_steps=20, names_of=expression_names)


def test_the_error_on_the_page_is_the_one_people_see() -> None:
    """The rendering shown is the rendering."""
    shown = next(text for language, text in BLOCKS if language == "text")

    assert shown.rstrip("\n") == str(failure_of(lambda: evaluate("name.size() > x", PARAMS)))


def test_every_function_and_limit_is_on_the_page() -> None:
    """Nothing that can be called is left out (date methods are named by their families)."""
    families = {"DATETIME", "DATETIME_PROPERTY"}
    names = {name for kind, methods in METHODS.items() if kind not in families for name in methods}
    names |= {name for known in CLASSES.values() for name in known.statics} | set(LOOKUPS)
    missing = sorted(name for name in names | set(Limits.__slots__) if name not in PAGE)

    assert [] == missing
