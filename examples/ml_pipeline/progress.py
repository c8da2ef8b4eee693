"""Read how far a run is, step by step, and put it into words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from maestro_py.client import Json, MaestroClient

_ENDED: Final = frozenset({"SUCCEEDED", "FAILED", "STOPPED", "TIMED_OUT"})
_NOT_BEGUN: Final = "NOT_CREATED"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProgress:
    """How far one step is."""

    step_id: str
    step_type: str = ""
    status: str = _NOT_BEGUN
    attempt: int = 1
    #: Why it waits, or failed, if the service says so.
    detail: str = ""
    #: Of a foreach: how many iterations there are, have ended and run now; otherwise 0.
    total: int = 0
    ended: int = 0
    running: int = 0
    #: Which worker has, or had, how many attempts of it.
    workers: Mapping[str, int] = field(default_factory=dict)
    took_ms: int | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Return everything but the step's name, for a line of its own."""
        if self.status == _NOT_BEGUN:
            return "has not begun"
        parts = [self.status.lower().replace("_", " ")]
        if self.attempt > 1:
            parts.append(f"(attempt {self.attempt})")
        if self.total:
            parts.append(f"{self.ended} of {self.total} iterations")
        if self.running:
            parts.append(f"({self.running} running)")
        if self.workers:
            parts.append(f"on {self._spelled_workers}")
        if self.took_ms is not None:
            parts.append(f"in {self.took_ms / 1000:.1f} s")
        if self.detail:
            parts.append(f"- {self.detail}")
        return " ".join(parts)

    @property
    def _spelled_workers(self) -> str:
        if not self.total:
            return ", ".join(self.workers)
        return ", ".join(f"{name} ({number})" for name, number in sorted(self.workers.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgress:
    """How far a run is."""

    status: str
    steps: tuple[StepProgress, ...]

    @property
    def has_ended(self) -> bool:
        """Say whether nothing will change any more."""
        return self.status in _ENDED


class Watch:
    """Looks at one instance."""

    def __init__(self, client: MaestroClient, workflow_id: str, instance_id: int) -> None:
        self._client = client
        self._workflow_id = workflow_id
        self._instance_id = instance_id
        #: Worker of each iteration that has ended: it does not change any more.
        self._worker_of: dict[int, str] = {}

    def look(self) -> RunProgress:
        """
        Return how far the instance is now.

        Raises:
            MaestroError: the API does not answer, as while it is started again.
        """
        # In this order: a run that has ended shows all of its steps as they ended.
        run = self._client.run(self._workflow_id, self._instance_id)
        found = {step["step_id"]: step for step in self._client.steps(self._workflow_id, self._instance_id)}
        steps = (self._progress_of(step_id, found.get(step_id)) for step_id in run["runtime_dag"])
        return RunProgress(status=run["status"], steps=tuple(steps))

    def _progress_of(self, step_id: str, step: Json | None) -> StepProgress:
        if step is None:
            return StepProgress(step_id=step_id)
        workers: Mapping[str, int] = {}
        if "maestro_foreach" in (step.get("artifacts") or {}):
            workers = self._workers_of_iterations(step_id)
        return step_progress(step, workers)

    def _workers_of_iterations(self, step_id: str) -> Mapping[str, int]:
        """Return how many of the newest iterations each worker has, or had."""
        now: dict[int, str] = dict(self._worker_of)
        for iteration in self._client.iterations(self._workflow_id, self._instance_id, step_id):
            number = iteration["workflow_instance_id"]
            if number in self._worker_of:
                continue
            names = worker_names(self._client.steps(iteration["workflow_id"], number))
            if names:
                now[number] = names[-1]
                if iteration["status"] in _ENDED:
                    self._worker_of[number] = names[-1]
        return Counter(now.values())


def step_progress(step: Json, workers_of_iterations: Mapping[str, int]) -> StepProgress:
    """Return how far the step is that the API describes by *step*."""
    state = step["runtime_state"]
    begin, end = state.get("start_time"), state.get("end_time")
    loop = (step.get("artifacts") or {}).get("maestro_foreach")
    stats: Mapping[str, int] = loop["foreach_overview"]["stats"] if loop else {}
    names = worker_names([step])
    return StepProgress(
        step_id=step["step_id"],
        step_type=step["definition"].get("step", {}).get("type", "foreach" if loop else ""),
        status=state["status"],
        attempt=step["step_attempt_id"],
        detail="" if state["status"] in ("RUNNING", "SUCCEEDED") else _last_words(step),
        total=loop["total_loop_count"] if loop else 0,
        ended=sum(number for status, number in stats.items() if status in _ENDED),
        running=stats.get("IN_PROGRESS", 0),
        workers=workers_of_iterations or Counter(names),
        took_ms=end - begin if begin and end else None,
        outputs=step.get("outputs") or {},
    )


def worker_names(steps: Iterable[Json]) -> list[str]:
    """Return the workers that have, or had, the attempts that the API describes by *steps*."""
    return [step["dispatch"]["worker_name"] for step in steps if "worker_name" in (step.get("dispatch") or {})]


def _last_words(step: Json) -> str:
    said = [event["message"] for event in step.get("timeline") or () if event.get("type") == "LOG"]
    return str(said[-1]) if said else ""
