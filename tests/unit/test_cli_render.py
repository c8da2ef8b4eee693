"""What the tables of the command line say."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table

from maestro_py import cli_render as render

PLACE = render.Place("wf", 7)


def _text(table: Table) -> str:
    out = io.StringIO()
    Console(file=out, width=200, color_system=None).print(table)
    return out.getvalue()


def _shown(steps: list[dict[str, object]], width: int) -> list[str]:
    out = io.StringIO()
    render.print_steps(Console(file=out, width=width, color_system=None), steps, PLACE)
    return out.getvalue().splitlines()


def _rows(table: Table) -> list[list[str]]:
    return [line.split() for line in _text(table).splitlines()[1:]]


def test_a_workflow_without_a_run_has_a_row_too() -> None:
    table = render.workflows_table([{"workflow_id": "hello", "latest_version_id": 2}])

    assert [["hello", "2", "-", "-", "-", "-", "-"]] == _rows(table)


def test_a_restarted_instance_shows_its_run() -> None:
    assert ["4", "4 (run 2)", "-"] == [
        render.run_name({"workflow_instance_id": 4, "workflow_run_id": 1}),
        render.run_name({"workflow_instance_id": 4, "workflow_run_id": 2}),
        render.run_name({}),
    ]


def test_a_foreach_shows_how_far_it_is() -> None:
    """Only iterations that ended count; those that run are not done."""
    overview = {"stats": {"SUCCEEDED": 5, "STOPPED": 1, "IN_PROGRESS": 3}}
    step = {"artifacts": {"maestro_foreach": {"total_loop_count": 40, "foreach_overview": overview}}}

    assert "6 of 40 iterations" == render.step_detail(step, PLACE)


def test_a_foreach_with_failures_says_where_they_are() -> None:
    overview = {"stats": {"SUCCEEDED": 5, "FAILED": 1, "TIMED_OUT": 2}}
    step = {
        "step_id": "each",
        "artifacts": {"maestro_foreach": {"total_loop_count": 40, "foreach_overview": overview}},
    }

    assert "8 of 40 iterations, 3 failed: maestro status wf 7 each --only FAILED" == render.step_detail(step, PLACE)
    assert render.step_detail(step, render.Place("wf", 7, "3-2")).endswith("each --iteration 3-2 --only FAILED")


def test_long_details_stand_below_the_steps_of_a_narrow_screen() -> None:
    """A status is never cut, and a message that one wants to copy is in one piece."""
    reason = "params.day: 'load.output.n' names nothing: no upstream step 'load' has an output 'n'"
    steps: list[dict[str, object]] = [
        {"step_id": "load", "runtime_state": {"status": "SUCCEEDED"}},
        {"step_id": "report", "runtime_state": {"status": "INTERNALLY_FAILED"}, "timeline": [{"message": reason}]},
    ]

    narrow, wide = _shown(steps, 80), _shown(steps, 200)

    assert ["report: " + reason, 4] == [narrow[-1], len(narrow)]
    assert "INTERNALLY_FAILED" in narrow[2]
    assert [True, 3] == [wide[-1].rstrip().endswith(reason), len(wide)]


def test_any_other_step_shows_its_newest_message() -> None:
    timeline = [{"message": "old"}, {"type": "STATUS", "status": "RUNNING"}, {"message": "new"}, {}]

    assert "new" == render.step_detail({"timeline": timeline}, PLACE)


def test_a_step_that_is_tried_again_says_when_and_why_it_failed() -> None:
    """When in the time zone of the reader; the service's own line about it is left out."""
    coming = {"step_attempt_id": 2, "time": 1_795_000_000_000, "retry": 1, "retry_limit": 3}
    timeline = [{"message": "exit status 1"}, {"message": "tried again at 2026-11-18T10:13:20+00:00"}]
    at = render.moment(1_795_000_000_000)

    assert [f"tried again at {at} (retry 1 of 3): exit status 1", f"tried again at {at} (retry 1 of 3)"] == [
        render.step_detail({"timeline": said, "next_attempt": coming}, PLACE) for said in (timeline, timeline[1:])
    ]


def test_the_type_of_a_step_is_found_in_its_definition() -> None:
    assert ["python", "foreach", "-"] == [
        render.step_type({"definition": {"step": {"id": "a", "type": "python"}}}),
        render.step_type({"definition": {"foreach": {"id": "a", "steps": []}}}),
        render.step_type({}),
    ]


def test_an_iteration_is_named_as_one_asks_for_it() -> None:
    iteration = {"workflow_instance_id": 5, "status": "FAILED", "loop_values": {"item": {"a": 1}, "day": "mon"}}

    tables = [render.iterations_table([iteration], place) for place in (PLACE, render.Place("wf", 7, "3"))]

    assert [["5", "FAILED", "-", "-"], ["3-5", "FAILED", "-", "-"]] == [_rows(table)[0][:4] for table in tables]
    assert 'item={"a": 1}, day=mon' in _text(tables[0])


def test_times_are_short() -> None:
    assert ["-", "1.5 s", "2 min 05 s", "3 h 00 min"] == [
        render.took(times)
        for times in (
            {},
            {"start_time": 1_000, "end_time": 2_500},
            {"start_time": 1_000, "end_time": 126_000},
            {"start_time": 1_000, "end_time": 1_000 + 3 * 3_600_000},
        )
    ]


def test_a_message_is_no_markup() -> None:
    """A step may print anything; brackets in it are not colours."""
    table = render.steps_table([{"step_id": "a", "timeline": [{"message": "[bold]no[/bold]"}]}], PLACE)

    assert "[bold]no[/bold]" in _text(table)


def test_an_iteration_shows_its_values_and_its_number_once() -> None:
    values = {"item": {"name": "a"}, "name": "a", "loop_index": 2, "index": 2}
    table = render.iterations_table([{"workflow_instance_id": 3, "loop_values": values}], PLACE)

    assert _text(table).splitlines()[1].rstrip().endswith('item={"name": "a"}, name=a')


def test_a_run_shows_the_newest_line_of_its_timeline() -> None:
    timeline = [{"status": "CREATED"}, {"message": "signal trigger: params.day: wrong"}, {"status": "FAILED"}]

    assert ["signal trigger: params.day: wrong", ""] == [
        render.run_detail({"timeline": timeline}),
        render.run_detail({}),
    ]


def test_a_trigger_shows_what_it_dropped() -> None:
    latest = {"signal_id": 8, "reason": "DUPLICATE", "message": "started before"}
    trigger = {"signal": "loaded", "dropped": {"CONDITION_FALSE": 2, "DUPLICATE": 1}, "latest_dropped": [latest]}

    assert [
        "signals loaded that started nothing: 2 CONDITION_FALSE, 1 DUPLICATE; the latest, number 8: started before",
        "",
    ] == [render.dropped_detail(trigger), render.dropped_detail({"signal": "loaded", "dropped": {}})]
