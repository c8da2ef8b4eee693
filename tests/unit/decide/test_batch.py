"""A batch turns decisions into rows: each attempt and run once, whatever was decided about it how often."""

from __future__ import annotations

from typing import Any, cast

import orjson
import pytest

from maestro_py.engine.batch import Batch
from maestro_py.engine.decide.state import Run
from maestro_py.engine.dispatcher import Dispatcher
from maestro_py.engine.quarantine import Poisoned
from maestro_py.model.events import (
    AttemptLost,
    AttemptReported,
    Event,
    RunEnded,
    RunStarted,
    StopRequested,
    encode_event,
)
from maestro_py.model.ids import partition_of, workflow_key
from maestro_py.model.statuses import EventClass, InstanceStatus, Outcome
from maestro_py.ports.engine_store import EngineTransaction, Taken, Writes
from maestro_py.testing.builders import NOON_MS, RUN_UID, a_foreach, a_retry_policy, a_step
from tests.unit.decide.engine_in_memory import PARTITIONS, EngineInMemory, immediately
from tests.unit.decide.story import Story


def a_batch(engine: EngineInMemory | None = None) -> Batch:
    """A batch that may offer what *engine* may, or nothing."""
    dispatcher = engine._dispatcher if engine is not None else Dispatcher()
    return Batch(0, dispatcher, PARTITIONS, NOON_MS)


def taken(event: Event | bytes) -> Taken:
    payload = event if isinstance(event, bytes) else encode_event(event)
    return Taken(1, EventClass.RESULT, 7, RUN_UID, None, payload.decode())


def writes_of(batch: Batch, story: Story) -> Writes:
    immediately(batch.complete(cast("EngineTransaction", story.store), story.engine.loader))
    return batch.writes


def plain(rows: list[dict[str, Any]]) -> Any:
    return orjson.loads(orjson.dumps(rows, default=orjson.Fragment))


def test_an_attempt_that_finds_room_is_offered_at_once_and_its_queue_is_told() -> None:
    story = Story(a_step())
    batch = a_batch(story.engine)
    batch.apply(story.engine.load(RUN_UID), taken(RunStarted()))
    (row,) = writes_of(batch, story).new_attempts

    assert ("QUEUED", "default", ("python", "python:step=a")) == (row["d"], row["q"], row["k"])
    assert {"default"} == batch.queues
    assert [] == batch.ready


def test_an_attempt_that_finds_no_room_waits_in_the_engine() -> None:
    story = Story(a_step())
    batch = a_batch()
    batch.apply(story.engine.load(RUN_UID), taken(RunStarted()))
    (row,) = writes_of(batch, story).new_attempts

    assert "READY" == row["d"]
    assert set() == batch.queues
    assert [("a", 1, "default", "w")] == [
        (r.key.step_id, r.key.attempt, r.queue, r.root_workflow_id) for r in batch.ready
    ]


def test_a_step_that_the_engine_runs_itself_has_no_dispatch() -> None:
    story = Story(a_step("a", "Sleep"))
    batch = a_batch(story.engine)
    batch.apply(story.engine.load(RUN_UID), taken(RunStarted()))
    writes = writes_of(batch, story)

    assert "d" not in writes.new_attempts[0]
    ((row),) = plain(writes.timers)
    assert (NOON_MS + 3_000, {"kind": "TimerFired", "step_id": "a", "attempt": 1}) == (row["f"], row["e"])


def test_each_changed_row_is_written_once_however_many_events_changed_it() -> None:
    story = Story(a_step("a", retries=a_retry_policy(platform=2)), a_step("b")).start()
    batch = a_batch(story.engine)
    run = story.engine.load(RUN_UID)
    for event in (AttemptLost("a", 1), AttemptLost("a", 2), AttemptReported("b", 1, Outcome.DONE)):
        batch.apply(run, taken(event))
    writes = writes_of(batch, story)

    assert [("a", 1, "PLATFORM_FAILED"), ("b", 1, "SUCCEEDED")] == [(r["i"], r["n"], r["s"]) for r in writes.attempts]
    assert [("a", 2, "PLATFORM_FAILED")] == [(r["i"], r["n"], r["s"]) for r in writes.new_attempts]
    assert [] == writes.runs, "nothing of the run itself has changed"


def test_every_change_of_a_status_is_in_the_event_log_in_order() -> None:
    story = Story(a_step("a", "NoOp"))
    batch = a_batch(story.engine)
    batch.apply(story.engine.load(RUN_UID), taken(RunStarted()))
    (row,) = writes_of(batch, story).events

    assert [
        ("", 0, "CREATED", "IN_PROGRESS", NOON_MS),
        ("a", 1, "NOT_CREATED", "CREATED", NOON_MS),
        ("a", 1, "CREATED", "SUCCEEDED", NOON_MS),
        ("", 0, "IN_PROGRESS", "SUCCEEDED", NOON_MS),
    ] == row["e"]["records"]
    assert all(type(status) is str for record in row["e"]["records"] for status in record[2:4])


def test_an_event_that_changes_nothing_writes_nothing() -> None:
    story = Story(a_step()).start()
    batch = a_batch(story.engine)
    batch.apply(story.engine.load(RUN_UID), taken(RunStarted()))

    assert Writes() == writes_of(batch, story)


def test_the_end_of_a_run_is_told_to_the_aggregate_of_its_workflow() -> None:
    story = Story(a_step("a", "NoOp"))
    batch = a_batch(story.engine)
    batch.apply(story.engine.load(RUN_UID), taken(RunStarted()))
    (row,) = writes_of(batch, story).inbox
    home = partition_of(workflow_key("w"), PARTITIONS)

    assert (home, EventClass.WORKFLOW, None, "w") == (row["p"], row["c"], row["u"], row["w"])
    assert encode_event(RunEnded()) == row["e"]
    assert {home} == batch.hinted_workflows


def test_the_end_of_an_iteration_is_told_to_its_parent() -> None:
    story = Story(a_foreach("loop", a_step("body"), items=[1])).start()
    child = story.iterations()[1]
    batch = a_batch(story.engine)
    batch.apply(story.engine.load(child.run_uid), taken(AttemptReported("body", 1, Outcome.DONE)))
    (row,) = plain(writes_of(batch, story).inbox)

    assert (1, str(RUN_UID)) == (row["p"], row["u"])
    assert {"kind": "ChildFinished", "step_id": "loop", "attempt": 1, "iteration": 1, "status": "SUCCEEDED"} == row["e"]
    assert {1} == batch.hinted
    assert set() == batch.hinted_workflows, "an iteration takes no place of its workflow"


def test_iterations_launched_by_several_events_are_launched_together() -> None:
    story = Story(a_foreach("loop", a_step("body"), items=[*range(9)], concurrency=3)).start()
    batch = a_batch(story.engine)
    run = story.engine.load(RUN_UID)
    for iteration in (1, 2):
        batch.apply(run, taken(child_finished(iteration)))
    (launch,) = writes_of(batch, story).launches

    assert [(4, 3), (5, 4)] == [(row["i"], row["l"]["item"]) for row in launch.iterations]
    assert {row["p"] for row in launch.iterations} == batch.hinted


def child_finished(iteration: int) -> bytes:
    return orjson.dumps(
        {"kind": "ChildFinished", "step_id": "loop", "attempt": 1, "iteration": iteration, "status": "SUCCEEDED"}
    )


def test_a_launched_iteration_is_the_same_in_memory_as_made_of_its_row() -> None:
    body = a_step("body", params={"x": "${item} ${prep.output.path}"})
    story = Story(a_step("prep", then="loop"), a_foreach("loop", body, items=[{"airport": "JFK"}]), params={"n": 1})
    story.start()
    batch = a_batch(story.engine)
    story.claim("prep")
    story.store.report(story.attempt("prep"), Outcome.DONE, outputs={"path": "/p"})
    (row,) = story.store.inbox.values()
    batch.apply(story.engine.load(RUN_UID), row)
    story.store.save(writes_of(batch, story))
    (kept,) = batch.children
    made = story.engine.load(kept.run_uid)

    differ = {name for name in Run.__slots__ if getattr(kept, name) != getattr(made, name)}
    assert {"graph"} >= differ
    assert kept.graph.scope == made.graph.scope == "loop"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"kind":"Nonsense"}', "ValidationError"),
        (b"not even JSON", "DecodeError"),
        (b'{"kind":"AttemptReported","step_id":"a","attempt":1,"outcome":"PERHAPS"}', "ValidationError"),
        (encode_event(RunEnded()), "InvalidTransition: run .* is IN_PROGRESS and cannot take RunEnded"),
        (child_finished(1).replace(b"loop", b"a"), "InvalidTransition: step a/1"),
    ],
)
def test_an_event_that_cannot_be_applied_poisons_its_run_with_the_reason(payload: bytes, reason: str) -> None:
    story = Story(a_step()).start()

    with pytest.raises(Poisoned, match=reason) as caught:
        a_batch(story.engine).apply(story.engine.load(RUN_UID), taken(payload))
    assert RUN_UID == caught.value.run_uid


def test_a_buried_event_is_kept_as_it_came_and_the_run_says_why() -> None:
    story = Story(a_step()).start()
    batch = a_batch(story.engine)
    batch.bury(story.engine.load(RUN_UID), taken(b'{"kind":"Nonsense"}'), "it makes no sense")
    writes = writes_of(batch, story)

    assert [(b'{"kind":"Nonsense"}', "it makes no sense", 7)] == [(r["e"], r["r"], r["x"]) for r in writes.dead_letters]
    assert ["it makes no sense"] == [row["q"] for row in writes.runs]
    assert "Quarantined: it makes no sense" in writes.runs[0]["t"][0]["message"]


def test_a_run_carries_the_version_it_was_read_at_and_the_next_one_after_the_commit() -> None:
    story = Story(a_step()).start()
    run = story.engine.load(RUN_UID)
    version = run.row_version
    batch = a_batch(story.engine)
    batch.apply(run, taken(StopRequested(InstanceStatus.STOPPED)))
    (row,) = writes_of(batch, story).runs
    assert version == row["v"]

    batch.committed()
    assert version + 1 == run.row_version
    assert (False, {}, []) == (run.is_dirty, run.changed, run.records)


def test_a_report_makes_room_for_the_next_attempt_of_its_route() -> None:
    story = Story(a_step("a", then="b"), a_step("b"), slots=1).start()
    assert "QUEUED" == story.report("a").attempt("b").dispatch
