"""The triggers of docs/signals.md and of the example can be pushed, and do what is said of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest

from maestro_py.model.definition import Workflow
from maestro_py.model.forms import read_push
from maestro_py.params import check_trigger, expression_names
from maestro_py.ports.signal_store import ActiveVersion, Cursor, Drop, DropReason, Signal
from maestro_py.signals.planning import Match, Start, outcome
from maestro_py.signals.triggers import advance
from tests.unit.forms.documents import native, native_step, simple, simple_step

ROOT: Final = Path(__file__).parents[3]
PAGE: Final = (ROOT / "docs" / "signals.md").read_text()
ACTIVE: Final = ActiveVersion(1, UUID(int=1), "ana")


def pushed(body: bytes) -> Workflow:
    workflow = read_push(body, user="ana", max_steps=100, names_of=expression_names).workflow
    check_trigger(workflow, 0)
    return workflow


def of_page(form: str) -> Workflow:
    [text] = re.findall(rf"<!-- test: {form} -->\n```json\n(.*?)```", PAGE, re.DOTALL)
    trigger = json.loads(text)
    if form == "native":
        return pushed(json.dumps(native(native_step("a"), signal_triggers=[trigger])).encode())
    return pushed(json.dumps(simple(simple_step("a"), trigger=trigger)).encode())


def of_example() -> Workflow:
    return pushed((ROOT / "examples" / "signals" / "workflow.jsonc").read_bytes())


async def comes_to(workflow: Workflow, **params: Any) -> Start | Drop | None:
    """Return what a signal comes to; None: it does not match."""
    [trigger] = workflow.signal_triggers
    cursor = Cursor(
        workflow_id=workflow.id, trigger_uuid="t", name="table_loaded", trigger=trigger, next_seq=1, active=ACTIVE
    )
    signal = Signal(1, {"table": "orders", "rows": 12, "day": "20261124", **params})
    if not advance(cursor, [signal], 1).matched:
        return None
    return await outcome(Match(cursor, ACTIVE, signal), workflow, 1_800_000_000_000)


@pytest.mark.parametrize(
    "workflow", [of_page("simple"), of_page("native"), of_example()], ids=["simple", "native", "example"]
)
async def test_a_trigger_of_the_documentation_starts_a_run_with_its_parameters(workflow: Workflow) -> None:
    started = await comes_to(workflow)
    again = await comes_to(workflow, rows=13)

    assert isinstance(started, Start)
    assert isinstance(again, Start)
    assert started.request.failure is None
    assert "20261124" == started.request.params["day"].evaluated_result
    assert started.request.request_id == again.request.request_id
    assert await comes_to(workflow, table="customers") is None


@pytest.mark.parametrize("form", ["simple", "native"])
async def test_its_condition_drops_a_signal(form: str) -> None:
    dropped = await comes_to(of_page(form), day="20261224")

    assert isinstance(dropped, Drop)
    assert (DropReason.CONDITION_FALSE, "the condition is false: day != '20261224'") == (
        dropped.reason,
        dropped.message,
    )


async def test_the_example_starts_nothing_for_an_empty_day_and_computes_the_next_one() -> None:
    started = await comes_to(of_example())

    assert isinstance(started, Start)
    assert "20261125" == started.request.params["next_day"].evaluated_result
    assert isinstance(await comes_to(of_example(), rows=0), Drop)
