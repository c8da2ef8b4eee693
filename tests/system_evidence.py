"""What a system leaves behind for a test to judge: effects of steps in a file, results in the tables."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from maestro_py.testing.waiting import wait_until
from tests.system import System

#: Attempts whose work was interrupted, or handed back and claimed again: they, or the step, may have had two effects.
_INTERRUPTED = """
SELECT workflow_id || '/' || instance_id || '/' || run_id || '/' || a.step_id, a.attempt
FROM step_attempt a JOIN workflow_instance i USING (partition, run_uid)
WHERE a.dispatch = 'LOST' OR a.status = 'PLATFORM_FAILED' OR a.token > 1
"""

#: Steps that can have an effect outside.
_SHELL_STEPS = """
SELECT DISTINCT workflow_id || '/' || instance_id || '/' || run_id || '/' || a.step_id
FROM step_attempt a JOIN workflow_instance i USING (partition, run_uid) WHERE a.step_type = 'shell'
"""

#: Steps that workers run, and how many of their attempts were reported and succeeded.
_APPLIED = """
SELECT run_uid, step_id, count(*) FILTER (WHERE dispatch = 'REPORTED' AND status = 'SUCCEEDED')
FROM step_attempt WHERE dispatch IS NOT NULL GROUP BY 1, 2
"""

#: How often the log of events says that a step, or (step "") a run, succeeded.
_ANNOUNCED = """
SELECT e.event->>'run_uid', r->>0, count(*) FROM event_log e, json_array_elements(e.event->'records') r
WHERE e.event->>'type' = 'STATUS_CHANGED' AND r->>3 = 'SUCCEEDED' GROUP BY 1, 2
"""

#: When each run was IN_PROGRESS, by the log of events.
_PERIODS = """
SELECT (e.event->>'workflow_instance_id')::bigint,
       min((r->>4)::bigint) FILTER (WHERE r->>3 = 'IN_PROGRESS'),
       max((r->>4)::bigint) FILTER (WHERE r->>2 = 'IN_PROGRESS')
FROM event_log e, json_array_elements(e.event->'records') r
WHERE e.event->>'workflow_id' = %s AND r->>0 = '' GROUP BY 1
"""


class Sink:
    """A file to which steps append a line for each effect they have: the key of their attempt."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._path.touch()

    def command(self, seconds: float) -> str:
        """Return a shell command whose effect comes first, and which takes *seconds*."""
        return f'echo "$MAESTRO_IDEMPOTENCY_KEY" >> {self._path}; sleep {seconds}'

    def effects(self) -> Counter[str]:
        """Return how often each attempt had its effect."""
        return Counter(self._path.read_text().split())


def assert_each_result_was_applied_once(system: System) -> None:
    """Each step of the system has exactly one result that counts, and each run and step succeeded once."""
    applied = system.query(_APPLIED)
    assert applied
    assert [] == [row for row in applied if row[2] != 1]
    announced = system.query(_ANNOUNCED)
    assert announced
    assert [] == [row for row in announced if row[2] != 1]
    # The last word, that a slot of the workflow is free, is nothing that the runs wait for.
    wait_until(lambda: system.query("SELECT 1 FROM engine_inbox") == [], 10, seen=system.logs)
    assert [] == system.query("SELECT reason FROM engine_dead_letter")


def assert_effects_doubled_only_by_interruption(system: System, sink: Sink) -> None:
    """Each step had its effect, and more than one only where an attempt of it was interrupted."""
    interrupted = {step for step, _ in system.query(_INTERRUPTED)}
    of_steps: Counter[str] = Counter()
    for attempt, count in sink.effects().items():
        of_steps[attempt.rpartition("/")[0]] += count
    every_step = {row[0] for row in system.query(_SHELL_STEPS)}
    assert every_step == set(of_steps)
    assert set() == {step for step, count in of_steps.items() if count > 1} - interrupted


def most_at_once(system: System, workflow_id: str) -> int:
    """Return how many runs of a workflow were IN_PROGRESS at one time, at most, by the log of events."""
    periods = system.query(_PERIODS, workflow_id)
    # A run that ends in the ms in which the next begins has ended before.
    changes = sorted([(begin, 1) for _, begin, _ in periods] + [(end, -1) for _, _, end in periods])
    running = most = 0
    for _, change in changes:
        running += change
        most = max(most, running)
    return most
