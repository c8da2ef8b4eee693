"""A batch goes on with iterations and parents of its own partitions at once, without an event in an inbox."""

from __future__ import annotations

from typing import Any, cast

import orjson
import pytest

from maestro_py.engine import batch as engine_batch
from maestro_py.engine.batch import Batch
from maestro_py.engine.decide.state import Run
from maestro_py.engine.dispatcher import Dispatcher
from maestro_py.model.definition import ParamDefinition, ParamType
from maestro_py.model.errors import StaleInstance
from maestro_py.model.events import AttemptReported, ChildFinished, RunStarted, encode_event
from maestro_py.model.statuses import EventClass, InstanceStatus, Outcome
from maestro_py.params import DECISION_VISITS
from maestro_py.ports.engine_store import EngineTransaction, Taken, Writes
from maestro_py.testing.builders import NOON_MS, RUN_UID, a_foreach, a_step
from tests.unit.decide.engine_in_memory import PARTITIONS, EngineInMemory, immediately
from tests.unit.decide.story import Story

EVERYWHERE = range(PARTITIONS)


def a_story(*items: int, kind: str = "python", window: int | None = None) -> Story:
    loop = a_foreach("loop", a_step("body", kind), items=list(items), concurrency=window)
    return Story(loop)


def started(story: Story, own: Any = EVERYWHERE) -> Batch:
    """Return the batch that begins the run, with its rows made."""
    story.engine.own = own
    batch = Batch(0, Dispatcher(), PARTITIONS, NOON_MS, story.engine)
    batch.apply(story.engine.load(RUN_UID), taken(RunStarted()))
    completed(batch, story.engine)
    return batch


def completed(batch: Batch, engine: EngineInMemory) -> Writes:
    immediately(batch.complete(cast("EngineTransaction", engine.store), engine.loader))
    return batch.writes


def taken(event: Any) -> Taken:
    return Taken(1, EventClass.RESULT, 7, RUN_UID, None, encode_event(event).decode())


def committed(story: Story, batch: Batch) -> None:
    story.store.save(batch.writes)
    batch.committed()
    for run in batch.runs.values():
        story.engine.runs[run.run_uid] = run


def test_iterations_begin_in_the_batch_that_launches_them() -> None:
    story = a_story(1, 2, 3)
    batch = started(story)
    (launch,) = batch.writes.launches

    assert ["IN_PROGRESS"] * 3 == [row["s"] for row in launch.iterations]
    assert [("loop", None), *[("body", "READY")] * 3] == sorted(
        ((row["i"], row.get("d")) for row in batch.writes.new_attempts), reverse=True
    )
    assert [] == batch.writes.inbox, "nobody needs to be told"
    assert [] == batch.children
    assert {row["p"] for row in launch.iterations} == batch.reached


def test_an_iteration_elsewhere_is_told_to_begin() -> None:
    story = a_story(*range(20))
    batch = started(story, own={0, 1})
    (launch,) = batch.writes.launches

    begun = {row["p"] for row in launch.iterations if "s" in row}
    told = {row["p"] for row in launch.iterations if "s" not in row}
    assert begun == {0, 1} == batch.reached
    assert told == {2, 3}
    assert told == {child.partition for child in batch.children}
    assert told <= batch.hinted


def test_an_iteration_that_began_at_once_is_the_same_in_memory_as_made_of_its_rows() -> None:
    story = a_story(1)
    committed(story, started(story))
    (child,) = (run for run in story.engine.runs.values() if run.depth)
    made = story.engine.load(child.run_uid)

    # Steps and gates are compared by what they say, the graph by where it stands.
    differ = {name for name in Run.__slots__ if getattr(child, name) != getattr(made, name)}
    assert {"graph", "steps"} >= differ
    assert ("body", 1, "WAITING_FOR_PERMITS") == (
        made.steps["body"].step_id,
        made.steps["body"].attempt,
        made.steps["body"].status,
    )
    assert 1 == child.row_version


def test_a_parent_in_memory_hears_of_the_end_of_an_iteration_in_the_same_batch() -> None:
    story = a_story(1, 2, window=1)
    committed(story, started(story))
    (child,) = (run for run in story.engine.runs.values() if run.depth)
    batch = Batch(0, Dispatcher(), PARTITIONS, NOON_MS, story.engine)
    batch.apply(child, taken(AttemptReported("body", 1, Outcome.DONE)))
    writes = completed(batch, story.engine)

    assert [] == writes.inbox
    (launch,) = writes.launches
    assert [2] == [row["i"] for row in launch.iterations], "the next one is launched at once"
    (counters,) = (row["r"] for row in writes.attempts if row["i"] == "loop")
    assert {"SUCCEEDED": 1} == counters["counts"]
    assert 1 in batch.reached
    versions = {row["u"]: row["v"] for row in writes.runs}
    assert story.store.runs[RUN_UID].row_version == versions[RUN_UID], "nobody has counted meanwhile"


def test_a_parent_that_is_quarantined_or_elsewhere_or_not_in_memory_is_told() -> None:
    for trouble in ("quarantined", "elsewhere", "forgotten"):
        story = a_story(1)
        committed(story, started(story))
        (child,) = (run for run in story.engine.runs.values() if run.depth)
        match trouble:
            case "quarantined":
                story.engine.runs[RUN_UID].quarantine_reason = "poison"
            case "elsewhere":
                story.engine.own = {0, 2, 3}
            case _:
                del story.engine.runs[RUN_UID]
        batch = Batch(0, Dispatcher(), PARTITIONS, NOON_MS, story.engine)
        batch.apply(child, taken(AttemptReported("body", 1, Outcome.DONE)))
        (row,) = orjson.loads(orjson.dumps(completed(batch, story.engine).inbox, default=orjson.Fragment))

        assert ("ChildFinished", str(RUN_UID)) == (row["e"]["kind"], row["u"]), trouble


def test_a_loop_of_steps_that_wait_for_nothing_ends_in_the_batch_that_begins_it() -> None:
    story = a_story(*range(50), kind="NoOp", window=5)
    batch = started(story)

    assert "SUCCEEDED" == batch.runs[RUN_UID].status
    assert 50 == sum(len(launch.iterations) for launch in batch.writes.launches)
    assert {"SUCCEEDED"} == {row["s"] for launch in batch.writes.launches for row in launch.iterations}


def test_however_often_a_loop_launches_its_iterations_are_one_launch_and_others_take_their_turn() -> None:
    story = a_story(*range(300), kind="NoOp", window=1)
    story.engine.own = EVERYWHERE
    batch = Batch(0, Dispatcher(), PARTITIONS, NOON_MS, story.engine)
    batch.apply(story.engine.load(RUN_UID), taken(RunStarted()))
    work = batch.complete(cast("EngineTransaction", story.engine.store), story.engine.loader)
    turns = sum(1 for _ in work.__await__())
    (launch,) = batch.writes.launches

    assert [*range(1, 301)] == [row["i"] for row in launch.iterations]
    assert 300 <= turns, "a batch of thousands of rounds would keep the loop of the engine for seconds"


def test_iterations_for_whose_expressions_a_batch_has_no_visits_left_are_left_to_the_inboxes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Evaluated elsewhere each would cost a round trip to another process, a timer and an event."""
    monkeypatch.setattr(engine_batch, "BATCH_VISITS", 2 * DECISION_VISITS)
    busy = ParamDefinition(ParamType.LONG, expression="long t = 0; for (int i = 0; i <= 100; i += 1) { t += i; } t")
    story = Story(a_foreach("loop", a_step("body", params={"x": busy}), items=list(range(200))))
    batch = started(story)
    (launch,) = batch.writes.launches
    begun = sum("s" in row for row in launch.iterations)

    assert [] == batch.evaluations
    assert 0 < begun < 200
    assert 200 - begun == len(batch.children)


def test_of_two_batches_that_count_iterations_of_one_parent_only_one_is_saved() -> None:
    """
    Neither need hold an event that keeps the other waiting: one went on from an iteration, the other took an event.

    The first may still be open in the database although its engine has given it up, and the partition of the iteration
    with it.
    """
    story = a_story(1, 2)
    committed(story, started(story))
    (child, _) = (run for run in story.engine.runs.values() if run.depth)
    going_on = Batch(0, Dispatcher(), PARTITIONS, NOON_MS, story.engine)
    going_on.apply(child, taken(AttemptReported("body", 1, Outcome.DONE)))
    completed(going_on, story.engine)
    told = Batch(0, Dispatcher(), PARTITIONS, NOON_MS)
    told.apply(story.engine.load(RUN_UID), taken(ChildFinished("loop", 1, 2, InstanceStatus.SUCCEEDED)))
    completed(told, story.engine)

    story.store.save(going_on.writes)
    with pytest.raises(StaleInstance):
        story.store.save(told.writes)


def test_a_batch_that_has_much_to_write_leaves_the_rest_to_the_inboxes() -> None:
    story = a_story(*range(9_000), kind="NoOp", window=500)
    batch = started(story)
    launched = sum(len(launch.iterations) for launch in batch.writes.launches)

    assert 9_000 > launched
    assert "IN_PROGRESS" == batch.runs[RUN_UID].status
    assert batch.writes.inbox or batch.children
