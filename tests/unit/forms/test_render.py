"""What is rendered in native form reads as the same definition, whichever form it came from."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maestro_py.model.definition import decode_workflow, encode_workflow
from maestro_py.model.errors import DefinitionInvalid
from maestro_py.model.forms import read_push, to_document
from tests.unit.forms.documents import native, native_foreach, native_step, push, simple, simple_foreach, simple_step

_NAMES = st.text("abcxyz_", min_size=1, max_size=6)
_TEXTS = st.text(st.characters(codec="utf-8", min_codepoint=32), max_size=8) | st.sampled_from(["${n}", "$$x", "${n}!"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(-1e9, 1e9) | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)
_PARAMS = st.dictionaries(_NAMES, _VALUES, max_size=3)
_TAGS = st.lists(
    st.sampled_from(["x", "y", {"name": "z", "namespace": "PLATFORM", "team": 3}]), unique_by=str, max_size=3
)
_TIMEOUTS = st.none() | st.integers(1, 1_000) | st.sampled_from(["1 day", "${n} min"])
_BACKOFFS = st.sampled_from(
    [None, {"type": "FIXED_BACKOFF", "error_retry_backoff_in_secs": 7}, {"timeout_retry_exponent": "${n}"}]
)
_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "params": _PARAMS,
        "tags": _TAGS,
        "timeout": _TIMEOUTS,
        "failure_mode": st.sampled_from(["IGNORE_FAILURE", "fail_immediately"]),
        "name": st.just("N"),
        "description": st.just("") | st.just("D"),
    },
)
_LEAF_FIELDS = st.fixed_dictionaries(
    {"type": st.sampled_from(["NoOp", "shell", "spark", "http", "acme"])},
    optional={
        "retries": st.integers(0, 99) | st.builds(lambda backoff: {"backoff": backoff}, _BACKOFFS),
        "queue": st.just("big"),
        "outputs": st.just(["o"]) | st.just({"o": "LONG"}),
    },
)


@st.composite
def _levels(draw: st.DrawFn, prefix: str = "s", depth: int = 0) -> list[dict[str, Any]]:
    """Draw the steps of one level, each depending on some before it."""
    steps: list[dict[str, Any]] = []
    for index in range(draw(st.integers(1, 3))):
        name = f"{prefix}{index}"
        before = [step["id"] for step in steps]
        dependencies = draw(st.lists(st.sampled_from(before), unique=True)) if before else []
        fields = dict(draw(_FIELDS))
        if dependencies:
            fields["when"] = draw(st.booleans())
        if depth < 2 and draw(st.integers(0, 3)) == 0:
            items = draw(st.lists(_VALUES, max_size=3) | st.just("${list}"))
            inner = draw(_levels(prefix=f"{name}_", depth=depth + 1))
            step = simple_foreach(name, items, *inner, dependencies=dependencies, **fields)
        else:
            step = simple_step(name, *dependencies, **fields)
            step.update(draw(_LEAF_FIELDS))
        steps.append(step)
    return steps


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(_levels())
def test_a_rendered_definition_reads_as_the_same(steps: list[dict[str, Any]]) -> None:
    workflow = push(simple(*steps, params={"n": 1, "list": [1]})).workflow
    document = json.loads(json.dumps({"workflow": to_document(workflow)}))

    assert workflow == push(document).workflow
    assert workflow == decode_workflow(encode_workflow(workflow))


def test_a_rendered_definition_leaves_out_what_is_not_said() -> None:
    assert {"id": "wf", "steps": [{"step": {"id": "a", "type": "NoOp"}}]} == to_document(
        push(native(native_step("a"))).workflow
    )


@pytest.mark.parametrize("name", ["NoOp", "Sleep", "Titus", "Notebook", "Kubernetes", "Http", "python", "Acme.Flink"])
def test_types_are_rendered_by_their_native_names(name: str) -> None:
    for written in (name, name.upper()) if name != "Acme.Flink" else (name,):
        workflow = push(native(native_step("a", type=written))).workflow
        assert name == to_document(workflow)["steps"][0]["step"]["type"]


def test_a_rendered_native_definition_is_as_it_was_written() -> None:
    definition = native(
        native_step("a", "f", tags=["x", {"name": "y", "team": "z"}], timeout="2 hours"),
        native_foreach("f", native_step("b"), concurrency=3),
        name="W",
        criticality="HIGH",
        params={"n": {"type": "LONG", "value": 1, "mode": "CONSTANT", "note": "extra"}},
        signal_triggers=[{"definitions": {"s": {"match_params": {"k": {"value": 1, "operator": ">"}}}}}],
    )["workflow"]
    expected = json.loads(json.dumps(definition))
    del expected["steps"][1]["foreach"]["steps"][0]["step"]["transition"]
    expected["steps"][1]["foreach"]["transition"] = {"predecessors": ["a"]}

    assert expected == to_document(push({"workflow": definition}).workflow)


@settings(deadline=None)
@given(_VALUES, _VALUES, _VALUES)
def test_any_document_is_read_or_refused_as_invalid(one: Any, two: Any, three: Any) -> None:
    """Whatever stands in place of a field, the answer is a definition or its errors."""
    documents: list[Any] = [
        one,
        {"workflow": one, "properties": two},
        {"workflow_id": "w", "steps": one, "params": two, "trigger": three},
        native({"step": one}, {"foreach": two}, params=three),
        native(native_step("a", transition=one, params=two, retry_policy=three)),
        simple({"id": "a", "type": one, "dependencies": two, "params": three}),
        simple({"id": "a", "items": one, "steps": two, "timeout": three}),
        simple({"id": "a", "type": "shell", "command": one, "env": two, "retries": three, "tags": one}),
    ]
    for document in documents:
        with contextlib.suppress(DefinitionInvalid):
            read_push(json.dumps(document).encode(), user=None, max_steps=50)
