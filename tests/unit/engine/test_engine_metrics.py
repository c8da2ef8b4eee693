"""What an engine counts of the runs that a batch has changed."""

from __future__ import annotations

from uuid import UUID

from maestro_py.engine.decide.graph import compile_graphs
from maestro_py.engine.decide.state import Run
from maestro_py.engine.decide.table import decide
from maestro_py.engine.metrics import EngineMetrics
from maestro_py.histogram import Histogram
from maestro_py.model.events import AttemptReported, Event, RunStarted
from maestro_py.model.statuses import EventClass, Outcome
from maestro_py.ports.engine_store import Taken
from maestro_py.testing.builders import NOON_MS, a_step, a_workflow

#: A UUIDv7 that was made three seconds before noon.
THREE_SECONDS_BEFORE = UUID(int=(NOON_MS - 3_000) << 80 | 7 << 76 | 2 << 62)


class Story:
    """A run of one worker step, and what is counted of it."""

    def __init__(self) -> None:
        graphs = compile_graphs(a_workflow(a_step("work")), default_window=500)
        self.run = Run(
            partition=1, run_uid=THREE_SECONDS_BEFORE, workflow_id="w", instance_id=1, run_id=1, graph=graphs[""]
        )
        self.metrics = EngineMetrics()

    def tell(self, event: Event, at_ms: int) -> None:
        """Decide upon *event*, and count it as a batch does after its commit."""
        decide(self.run, event, at_ms)
        self.metrics.note_changes(self.run)
        self.run.records.clear()


def observed(histogram: Histogram) -> tuple[int, float]:
    """Return how many observations there were, and their sum in seconds."""
    return histogram.count, histogram.total


def test_a_run_and_its_step_are_counted_with_their_times() -> None:
    story = Story()
    story.tell(RunStarted(), NOON_MS)
    for step in story.run.steps.values():
        step.dispatched = True
    report = AttemptReported("work", 1, Outcome.DONE, start_time_ms=NOON_MS + 400, end_time_ms=NOON_MS + 1_400)

    story.tell(report, NOON_MS + 2_000)

    metrics = story.metrics
    assert (1, 1) == (metrics.run_changes["IN_PROGRESS"], metrics.run_changes["SUCCEEDED"])
    assert (1, 1) == (metrics.step_changes["CREATED"], metrics.step_changes["SUCCEEDED"])
    assert (1, 3.0) == observed(metrics.start_delay)
    assert (1, 2.0) == observed(metrics.run_seconds)
    assert (1, 2.0) == observed(metrics.step_seconds)
    # Two seconds, of which the worker ran it for one.
    assert (1, 1.0) == observed(metrics.step_overhead)


def test_events_that_only_a_sweep_has_found_are_counted_and_timers_are_not() -> None:
    def taken(partition: int, number: int) -> Taken:
        return Taken(partition, EventClass.RESULT, number, THREE_SECONDS_BEFORE, None, "")

    metrics = EngineMetrics()

    metrics.note_taken([taken(1, 5), taken(1, 6), taken(1, 0), taken(2, 7)], {1, 3})

    assert 2 == metrics.sweep_finds
    assert (1, 4.0) == observed(metrics.batch_events)
