"""What ``name=value`` on the command line means."""

from __future__ import annotations

import pytest

from maestro_py.cli_values import ValueRefused, run_param, signal_param, split_pairs, undeclared_notes


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("3", "LONG", 3),
        ("3.5", "DOUBLE", 3.5),
        ("true", "BOOLEAN", True),
        ("hello", "STRING", "hello"),
        ('"3"', "STRING", "3"),
        ("2026-11-24", "STRING", "2026-11-24"),
        ("", "STRING", ""),
        ("[1, 2]", "LONG_ARRAY", [1, 2]),
        ('["a", "b"]', "STRING_ARRAY", ["a", "b"]),
        ('[1, "b"]', "JSON", [1, "b"]),
        ("[]", "JSON", []),
        ('{"a": "b"}', "STRING_MAP", {"a": "b"}),
        ('{"a": 1}', "JSON", {"a": 1}),
        ("null", "JSON", None),
    ],
)
def test_a_text_has_the_type_of_the_json_it_is(text: str, kind: str, value: object) -> None:
    assert {"type": kind, "value": value} == run_param("p", text, None)


@pytest.mark.parametrize(
    ("text", "declared", "value"),
    [
        ("3", "STRING", "3"),
        ("3", "DOUBLE", 3),
        ("[1]", "DOUBLE_ARRAY", [1]),
        ("[]", "STRING_ARRAY", []),
        ("{}", "STRING_MAP", {}),
        ("[1]", "JSON", [1]),
    ],
)
def test_the_declared_type_wins(text: str, declared: str, value: object) -> None:
    """A workflow that takes a text gets one, whatever the text looks like."""
    assert {"type": declared, "value": value} == run_param("p", text, {"type": declared})


@pytest.mark.parametrize(
    ("text", "declared"), [("many", "LONG"), ("1.5", "LONG"), ("1", "BOOLEAN"), ("[1]", "STRING_ARRAY")]
)
def test_another_type_is_refused_by_name(text: str, declared: str) -> None:
    with pytest.raises(ValueRefused, match=f"^rows is a {declared}, and '.*' is not$"):
        run_param("rows", text, {"type": declared})


def test_a_map_is_a_map_of_parameters() -> None:
    assert {
        "type": "MAP",
        "value": {"n": {"type": "LONG", "value": 1}, "s": {"type": "STRING", "value": "x"}},
    } == run_param("m", '{"n": 1, "s": "x"}', {"type": "MAP"})


def test_signals_know_whole_numbers_and_texts() -> None:
    assert [7, "7", "7.5", "true", "a=b"] == [signal_param(t) for t in ("7", '"7"', "7.5", "true", "a=b")]


def test_pairs_are_split_at_the_first_equals_sign() -> None:
    assert {"a": "1=2", "b": ""} == split_pairs(["a=1=2", "b="])


@pytest.mark.parametrize("pairs", [["a"], ["=1"], ["a=1", "a=2"]])
def test_what_is_no_pair_is_refused(pairs: list[str]) -> None:
    with pytest.raises(ValueRefused):
        split_pairs(pairs)


def test_a_name_that_the_workflow_does_not_declare_gets_a_note() -> None:
    notes = undeclared_notes("hello", ["region", "cuont", "n", "RUN_TS"], {"region": {}, "count": {}})

    assert [
        "note: hello declares no parameter 'cuont'; did you mean 'count'?",
        "note: hello declares no parameter 'n'",
    ] == notes
