"""The cost of reading a document grows with its size and no faster: each of these would run for hours otherwise."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from maestro_py.model.errors import DefinitionInvalid
from maestro_py.model.forms import read_push
from tests.unit.forms.documents import errors_of, simple, simple_step

_MILLION = 1_000_000


@pytest.mark.parametrize(
    "text",
    [
        "${.output." * (_MILLION // 10),
        "${" + ".output." * (_MILLION // 8),
        "${" + "a__" * (_MILLION // 3) + "}",
        "${" + "a." * (_MILLION // 2) + "}",
        "${a.output." + "a." * (_MILLION // 2) + "}",
        "${" * (_MILLION // 2),
    ],
    ids=["open references", "one open reference", "separators", "dots", "a way of dots", "braces"],
)
def test_a_long_text_is_read_in_one_pass(text: str) -> None:
    with contextlib.suppress(DefinitionInvalid):
        read_push(json.dumps(simple(simple_step("a", params={"p": text}))).encode(), user=None, max_steps=1)


@pytest.mark.parametrize(
    "body",
    [b'"\\' * (_MILLION // 2), b"/ " * (_MILLION // 2), b"/*" * (_MILLION // 2), b"[" + b"1" * _MILLION + b"]"],
    ids=["quotes", "slashes", "comments", "digits"],
)
def test_a_long_body_that_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(DefinitionInvalid):
        read_push(body, user=None, max_steps=1)


@pytest.mark.parametrize(
    "document",
    [
        simple(simple_step("a", **{f"u{i}": 1 for i in range(20_000)})),
        simple(simple_step("a", tags=["*"] * 20_000)),
        simple(*(simple_step(f"s{i}", f"t{i}") for i in range(5_000))),
    ],
    ids=["unknown fields", "wrong tags", "unknown steps"],
)
def test_of_very_many_errors_some_are_told(document: Any) -> None:
    assert 200 == len(errors_of(document, max_steps=5_000))


def test_a_wrong_value_of_a_megabyte_is_told_by_its_ends() -> None:
    errors = errors_of(
        simple(simple_step("a", params={"x" * _MILLION: {"type": "LONG", "value": 1, "mode": "y" * 9_999}}))
    )

    assert all(len(path) < 700 and len(message) < 700 for path, message in errors.items())
