"""
Say how runs must end, by other means than the engine's.

`end_of` needs no history: it reads the definition from front to back, as its author does.  `Naive` is for histories
whose order counts: it keeps nothing but the attempts so far, and looks through everything after every event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from maestro_py.model.definition import Step
from maestro_py.model.events import (
    AttemptLost,
    AttemptOverdue,
    AttemptReported,
    AttemptRevoked,
    Event,
    RunOverdue,
    RunStarted,
    StopRequested,
    TimerFired,
)
from maestro_py.model.statuses import FailureMode
from tests.unit.decide.world import LOST, OVERDUE, Script

COMPLETE: Final = {"SUCCEEDED", "UNSATISFIED", "COMPLETED_WITH_ERROR"}
RETRIED: Final = {"USER_FAILED": "error", "PLATFORM_FAILED": "platform", "TIMEOUT_FAILED": "timeout"}
LIVE: Final = {"WAITING_FOR_PERMITS", "RUNNING", *RETRIED}
#: What an attempt is called when another follows, by what became of it.
FAILURE: Final = {
    "USER_ERROR": "USER_FAILED",
    "PLATFORM_ERROR": "PLATFORM_FAILED",
    LOST: "PLATFORM_FAILED",
    "TIMED_OUT": "TIMEOUT_FAILED",
    OVERDUE: "TIMEOUT_FAILED",
}
WORST_FIRST: Final = (("FATALLY_FAILED", "FAILED"), ("INTERNALLY_FAILED", "FAILED"), ("TIMED_OUT", "TIMED_OUT"))
STEP_END: Final = {"STOPPED": "STOPPED", "FAILED": "FATALLY_FAILED", "TIMED_OUT": "TIMED_OUT"}


class End(NamedTuple):
    """How a run ends: its status, and what its steps went through; a step that is not there was not created."""

    status: str
    histories: dict[str, list[str]]


def limit_of(step: Step, failed: str) -> int:
    """Return how often a failure of this kind is retried."""
    assert step.retry_policy is not None
    return int(getattr(step.retry_policy, f"{RETRIED[failed]}_retry_limit"))


def final(step: Step, failed: str, *, killed: bool = False) -> str:
    """Return how a step ends that has no retry left."""
    if failed == "TIMEOUT_FAILED":
        return "TIMED_OUT"
    return (
        "COMPLETED_WITH_ERROR" if step.failure_mode is FailureMode.IGNORE_FAILURE and not killed else "FATALLY_FAILED"
    )


def is_broken(step: Step) -> bool:
    """Say whether the parameters of a step name nothing."""
    return "broken" in step.params


def edges_into(steps: Sequence[Step], step_id: str) -> list[tuple[str, bool]]:
    """Return (predecessor, whether its condition is true) of each edge into a step."""
    return [(s.id, s.successors[step_id] == "true") for s in steps if step_id in s.successors]


def worst(statuses: set[str], asked: str | None = None) -> str:
    """Return how a run ends whose steps ended so, and that was asked to end with *asked*."""
    for step_status, run_status in WORST_FIRST:
        if step_status in statuses or asked == run_status:
            return run_status
    return "STOPPED" if "STOPPED" in statuses or asked == "STOPPED" else "SUCCEEDED"


# --- without a history ----------------------------------------------------------------------------------------


def end_of(steps: Sequence[Step], script: Script, path: tuple[int, ...] = ()) -> End:
    """Return how a run of *steps* ends of which none is FAIL_IMMEDIATELY and that nobody stops."""
    histories: dict[str, list[str]] = {}
    for step in steps:  # each stands behind its predecessors
        edges = edges_into(steps, step.id)
        before = [histories[p][-1] if p in histories else "NOT_CREATED" for p, _ in edges]
        if all(status in COMPLETE for status in before):
            satisfied = not edges or any(
                true and status != "UNSATISFIED" for (_, true), status in zip(edges, before, strict=True)
            )
            histories[step.id] = _history_of(step, script, path) if satisfied else ["UNSATISFIED"]
    return End(worst({history[-1] for history in histories.values()}), histories)


def _history_of(step: Step, script: Script, path: tuple[int, ...]) -> list[str]:
    if is_broken(step):
        return ["INTERNALLY_FAILED"]
    if step.type in ("NoOp", "Sleep"):
        return ["SUCCEEDED"]
    if step.is_foreach:
        ends = {end_of(step.steps, script, (*path, i)).status for i in range(number_of_iterations(step))}
        return ["SUCCEEDED"] if ends <= {"SUCCEEDED"} else [final(step, "USER_FAILED")]
    history: list[str] = []
    while True:
        fate = script(step.id, path, len(history) + 1)
        if fate not in FAILURE:
            return [*history, {"DONE": "SUCCEEDED", "STOPPED": "STOPPED"}.get(fate) or final(step, "USER_FAILED")]
        failed = FAILURE[fate]
        if history.count(failed) >= limit_of(step, failed):
            return [*history, final(step, failed)]
        history.append(failed)


def number_of_iterations(step: Step) -> int:
    """Return how many iterations a foreach over a literal list has."""
    items: list[object] = step.params["loop_params"].value["item"]["value"]
    return len(items)


# --- with a history -------------------------------------------------------------------------------------------


class Naive:
    """A run without loops, of which only the definition and the attempts so far are known."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = {step.id: step for step in steps}
        self.attempts: dict[str, list[str]] = {}
        self.wishes: dict[str, str] = {}  #: How the attempt that a worker may have is to end.
        self.asked: str | None = None
        self.status = "CREATED"

    def end(self, history: Sequence[Event]) -> End:
        """Return how the run stands after *history*."""
        for event in history:
            if self.status in ("CREATED", "IN_PROGRESS"):
                self._apply(event)
        return End(self.status, self.attempts)

    def _apply(self, event: Event) -> None:
        if isinstance(event, StopRequested) and self.status == "CREATED":
            self.status = event.target
        elif isinstance(event, RunStarted):
            self.status = "IN_PROGRESS"
        elif self.status == "IN_PROGRESS":
            was_closed = self._is_closed()
            if isinstance(event, StopRequested):
                self._ask(event.target)
            elif isinstance(event, RunOverdue):
                self._ask(self.asked or "TIMED_OUT")
            else:
                self._tell_step(event)
            if self._is_closed() and not was_closed and self.asked is None:
                self._close("STOPPED")
        if self.status == "IN_PROGRESS":
            self._follow()

    def _is_closed(self) -> bool:
        return self.asked is not None or any(
            attempts[-1] == "FATALLY_FAILED" and self.steps[step_id].failure_mode is FailureMode.FAIL_IMMEDIATELY
            for step_id, attempts in self.attempts.items()
        )

    def _ask(self, target: str) -> None:
        if self.asked not in (target, "FAILED"):  # a kill stands
            self.asked = target
            self._close(STEP_END[target])

    def _close(self, end: str) -> None:
        for step_id, attempts in self.attempts.items():
            if attempts[-1] == "WAITING_FOR_PERMITS":
                self.wishes[step_id] = end
            elif attempts[-1] in LIVE:
                attempts[-1] = end

    def _tell_step(self, event: Event) -> None:
        step_id: str = getattr(event, "step_id", "")
        attempts = self.attempts.get(step_id, [])
        if not attempts or len(attempts) != getattr(event, "attempt", 0) or attempts[-1] not in LIVE:
            return
        if isinstance(event, TimerFired):
            if attempts[-1] == "RUNNING":
                attempts[-1] = "SUCCEEDED"
            elif attempts[-1] in RETRIED:
                self._begin(step_id)
        elif attempts[-1] == "WAITING_FOR_PERMITS" and isinstance(event, AttemptOverdue):
            self.wishes.setdefault(step_id, "TIMEOUT_FAILED")
        elif attempts[-1] == "WAITING_FOR_PERMITS":
            self._end_attempt(step_id, attempts, event)

    def _end_attempt(self, step_id: str, attempts: list[str], event: Event) -> None:
        step = self.steps[step_id]
        wish = self.wishes.pop(step_id, None)
        fate = event.outcome.value if isinstance(event, AttemptReported) else LOST
        if fate == "DONE":
            attempts[-1] = "SUCCEEDED"
        elif isinstance(event, AttemptRevoked) and wish is None:
            attempts[-1] = "STOPPED"
        elif wish is not None and wish != "TIMEOUT_FAILED":
            attempts[-1] = wish
        elif wish is None and fate == "STOPPED":
            attempts[-1] = "STOPPED"
        elif wish is None and fate == "FATAL_ERROR":
            attempts[-1] = final(step, "USER_FAILED")
        else:
            failed = wish or FAILURE[fate]
            before = attempts[:-1].count(failed)
            if self._is_closed() or before >= limit_of(step, failed):
                attempts[-1] = final(step, failed, killed=self.asked == "FAILED")
                return
            attempts[-1] = failed
            if isinstance(event, AttemptLost) and wish is None and before == 0:
                self._begin(step_id)

    def _follow(self) -> None:
        """Begin whatever may begin, until nothing more may; then see whether the run has ended."""
        begun = True
        while begun and not self._is_closed():
            begun = False
            for step_id in self.steps:
                edges = edges_into([*self.steps.values()], step_id)
                before = [self.attempts.get(p, ["NOT_CREATED"])[-1] for p, _ in edges]
                if step_id not in self.attempts and all(status in COMPLETE for status in before):
                    true = [t and s != "UNSATISFIED" for (_, t), s in zip(edges, before, strict=True)]
                    begun = True
                    if edges and not any(true):
                        self.attempts[step_id] = ["UNSATISFIED"]
                    else:
                        self._begin(step_id)
        if not any(attempts[-1] in LIVE for attempts in self.attempts.values()):
            self.status = worst({attempts[-1] for attempts in self.attempts.values()}, self.asked)

    def _begin(self, step_id: str) -> None:
        step = self.steps[step_id]
        first = {"NoOp": "SUCCEEDED", "Sleep": "RUNNING"}.get(step.type, "WAITING_FOR_PERMITS")
        self.attempts.setdefault(step_id, []).append("INTERNALLY_FAILED" if is_broken(step) else first)
