"""JSON with comments: what is read, what is refused, and where the mistake is said to be."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_py.model.errors import DefinitionInvalid
from maestro_py.model.forms.jsonc import MAX_DEPTH, read_jsonc


def message_of(body: bytes) -> str:
    with pytest.raises(DefinitionInvalid) as caught:
        read_jsonc(body)
    return caught.value.errors[0].message


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'{"a": 1} // the end', {"a": 1}),
        (b'// first\n{"a": /* one */ 1}', {"a": 1}),
        (b'{"a": 1,}', {"a": 1}),
        (b"[1, 2, // last\n]", [1, 2]),
        (b"[[1,], /* , */ ]", [[1]]),
        (b'{"a": "// no comment, /* nor this */ ,]"}', {"a": "// no comment, /* nor this */ ,]"}),
        (b'["a \\" // b", 1,]', ['a " // b', 1]),
        (b"\xef\xbb\xbf[1]", [1]),
        ('["é"] // ü'.encode(), ["é"]),
    ],
)
def test_comments_and_trailing_commas_are_tolerated(body: bytes, value: Any) -> None:
    assert value == read_jsonc(body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"a": 1\n  "b": 2}', "line 2, column 3: expecting ',' delimiter"),
        (b'// one\n/* two\nthree */ {"a": tru}', "line 3, column 16: expecting value"),
        (b'{"a": [1, 2}', "line 1, column 12: expecting ',' delimiter"),
        (b'{"a": 1', "line 1, column 8: the document ends too early"),
        (b"  ", "line 1, column 3: the document is empty"),
        (b'{"a": 1 /* open }', "line 1, column 9: the comment that begins here is never closed"),
        (b"[1,,2]", "line 1, column 4: expecting value"),
        (b"[,]", "line 1, column 2: expecting value"),
        (b'{"a": NaN}', "NaN is no JSON value"),
        (b'{"a": 1e999}', "the number 1e999 is too large"),
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' stands twice in one object"),
        (b'{\n"a": "\xff"}', "line 2: the body is not UTF-8"),
        (b"[" + b"9" * 5_000 + b"]", "a number is too long"),
    ],
)
def test_a_syntax_error_says_where_it_is(body: bytes, message: str) -> None:
    assert message == message_of(body)


@pytest.mark.parametrize("levels", [MAX_DEPTH + 2, 5_000, 200_000])
def test_a_document_nested_too_deeply_is_refused_whatever_its_depth(levels: int) -> None:
    assert "nested deeper" in message_of(b"[" * levels + b"]" * levels)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"a": [1, "x\\u0000y"]}', "a[1]"),
        (b'{"a": {"b": "\\ud800"}}', "a.b"),
        (b'{"a": {"\\udfff": 1}}', "a"),
        (b'{"n": 9223372036854775808}', "n"),
        (b'{"n": -9223372036854775809}', "n"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_its_path(body: bytes, path: str) -> None:
    with pytest.raises(DefinitionInvalid) as caught:
        read_jsonc(body)

    assert [path] == [error.path for error in caught.value.errors]
    str(caught.value).encode()  # fit for an answer


def test_a_whole_pair_of_surrogates_is_one_character() -> None:
    assert ["😀"] == read_jsonc(b'["\\ud83d\\ude00"]')


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8", min_codepoint=1)), inner),
    max_leaves=20,
)


@given(_JSON)
def test_every_plain_json_document_is_read_as_it_is(value: Any) -> None:
    assert value == read_jsonc(json.dumps(value).encode())


@given(_JSON)
def test_comments_between_tokens_change_nothing(value: Any) -> None:
    body = json.dumps(value, indent=1).replace("\n", ' // it\'s "a" comment, [\n')

    assert value == read_jsonc(b"/* ] */ " + body.encode())


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:/*\\ntrue01 ').map(str.encode))
def test_any_bytes_are_read_or_refused_as_invalid(body: bytes) -> None:
    with contextlib.suppress(DefinitionInvalid):
        read_jsonc(body)
