"""
Draw the state machines: ``docs/state_machines.md`` is what `document` returns.

``python -m maestro_py.engine.decide.diagram [FILE]`` writes it.  Which rule stands in which row is read from the
tables; where a rule may lead is stated here, and the tests of deciding compare it with every step they see taken.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from maestro_py.engine.decide import table
from maestro_py.engine.decide.evaluations import apply_edges, apply_params, evaluate_again
from maestro_py.engine.decide.foreach import continue_launch, continue_stop, fold_child
from maestro_py.engine.decide.reports import apply_loss, apply_report, apply_revocation
from maestro_py.engine.decide.stopping import stop_run, stop_unstarted, time_out_run
from maestro_py.model.events import Event, ParamsEvaluated
from maestro_py.model.statuses import InstanceStatus, StepStatus

#: Causes that are no event to the step itself.
BEGINS: Final = "begins"
RETRIED_AT_ONCE: Final = "AttemptLost, the first"
STOP: Final = "StopRequested"
RUN_TIMEOUT: Final = "RunOverdue"
FAIL_IMMEDIATELY: Final = "another step failed under FAIL_IMMEDIATELY"
QUARANTINED: Final = "StopRequested, quarantined"
NOTHING_LIVE: Final = "no step is live"


class Arrow(NamedTuple):
    """One status follows another because of something."""

    old: str
    new: str
    cause: str


_S = StepStatus
_R = InstanceStatus
_ASKED: Final = (_S.STOPPED, _S.FATALLY_FAILED, _S.TIMED_OUT)
_RETRIED: Final = (_S.USER_FAILED, _S.PLATFORM_FAILED, _S.TIMEOUT_FAILED)
_WAITING_FOR_US: Final = (_S.EVALUATING_PARAMS, _S.RUNNING, *_RETRIED)
_FAILED_FOR_GOOD: Final = (_S.FATALLY_FAILED, _S.COMPLETED_WITH_ERROR)
#: Where a step whose work is done may go instead of its end: its edges take long to evaluate, or cannot be.
_WHEN_EDGES_COMPUTE: Final = (_S.FINISHING, _S.INTERNALLY_FAILED)
_DONE: Final = (_S.SUCCEEDED, _S.COMPLETED_WITH_ERROR)
_ENDED_RUN: Final = (_R.SUCCEEDED, _R.FAILED, _R.STOPPED, _R.TIMED_OUT)
_ENDED_EARLY: Final = (_R.STOPPED, _R.FAILED, _R.TIMED_OUT)

#: Where the attempt that an event names may go, by the rule that is applied to it.
_STEP_ENDS: Final[Mapping[Callable[..., None], tuple[StepStatus, ...]]] = {
    apply_report: (
        *(_S.SUCCEEDED, _S.USER_FAILED, _S.PLATFORM_FAILED, _S.TIMEOUT_FAILED),
        *(*_FAILED_FOR_GOOD, _S.STOPPED, _S.TIMED_OUT, *_WHEN_EDGES_COMPUTE),
    ),
    apply_loss: (
        *(_S.PLATFORM_FAILED, _S.TIMEOUT_FAILED, *_FAILED_FOR_GOOD, _S.STOPPED, _S.TIMED_OUT),
        *_WHEN_EDGES_COMPUTE,
    ),
    apply_revocation: (_S.TIMEOUT_FAILED, *_ASKED),
    table.end_sleep: (_S.SUCCEEDED, *_WHEN_EDGES_COMPUTE),
    fold_child: (_S.SUCCEEDED, *_FAILED_FOR_GOOD, _S.STOPPED, _S.TIMED_OUT, *_WHEN_EDGES_COMPUTE),
    apply_params: (_S.WAITING_FOR_PERMITS, _S.RUNNING, _S.SUCCEEDED, *_WHEN_EDGES_COMPUTE),
    apply_edges: (*_DONE, _S.INTERNALLY_FAILED),
    evaluate_again: (),
    continue_launch: (),
    continue_stop: (),
    table.retry: (_S.CREATED,),  # of the next attempt; the failed one stays as it is
}
#: A timeout ends a Sleep; a dispatched attempt, or a foreach, ends later and by another event.
_OVERDUE_ENDS: Final = {_S.WAITING_FOR_PERMITS: (), _S.RUNNING: (_S.TIMEOUT_FAILED, _S.TIMED_OUT)}

#: Where an attempt may go without an event of its own.
_STEP_ASIDE: Final = (
    (_S.NOT_CREATED, (_S.CREATED,), BEGINS),
    (
        _S.CREATED,
        (
            *(_S.EVALUATING_PARAMS, _S.WAITING_FOR_PERMITS, _S.RUNNING, _S.SUCCEEDED, _S.UNSATISFIED),
            *_WHEN_EDGES_COMPUTE,
        ),
        BEGINS,
    ),
    (_S.RUNNING, (_S.SUCCEEDED, *_WHEN_EDGES_COMPUTE), BEGINS),  # a foreach over an empty list
    (_S.RUNNING, (_S.SUCCEEDED, *_WHEN_EDGES_COMPUTE), ParamsEvaluated.__name__),  # so, too
    (_S.PLATFORM_FAILED, (_S.CREATED,), RETRIED_AT_ONCE),
    *((status, _ASKED, STOP) for status in _WAITING_FOR_US),
    *((status, (_S.TIMED_OUT,), RUN_TIMEOUT) for status in _WAITING_FOR_US),
    *((status, (_S.STOPPED,), FAIL_IMMEDIATELY) for status in _WAITING_FOR_US),
    *((_S.FINISHING, _DONE, cause) for cause in (STOP, RUN_TIMEOUT, FAIL_IMMEDIATELY)),
    *((status, _ASKED, QUARANTINED) for status in (_S.WAITING_FOR_PERMITS, _S.FINISHING, *_WAITING_FOR_US)),
)

#: Where a run may go, by the rule that is applied to it.
_RUN_ENDS: Final[Mapping[Callable[..., None], tuple[InstanceStatus, ...]]] = {
    table.start_run: (_R.IN_PROGRESS,),
    stop_unstarted: _ENDED_EARLY,
    stop_run: (),
    time_out_run: (),
    table.of_step: (),
    table.go_on_telling: (),
}
_RUN_ASIDE: Final = (
    (_R.IN_PROGRESS, _ENDED_RUN, NOTHING_LIVE),
    (_R.CREATED, _ENDED_EARLY, QUARANTINED),
    (_R.IN_PROGRESS, _ENDED_EARLY, QUARANTINED),
)


def step_arrows() -> list[Arrow]:
    """Return every way in which an attempt changes its status, in life-cycle order."""
    arrows = [Arrow(old, new, cause) for old, targets, cause in _STEP_ASIDE for new in targets]
    for (status, event), rule in table.STEP_TRANSITIONS.items():
        if _acts(rule):
            targets = _OVERDUE_ENDS[status] if rule is table.overdue else _STEP_ENDS[rule]
            arrows += [Arrow(status, new, event.__name__) for new in targets]
    return sorted(arrows, key=_in_order(StepStatus))


def run_arrows() -> list[Arrow]:
    """Return every way in which a run changes its status, in life-cycle order."""
    arrows = [Arrow(old, new, cause) for old, targets, cause in _RUN_ASIDE for new in targets]
    for (status, event), rule in table.RUN_TRANSITIONS.items():
        if _acts(rule):
            arrows += [Arrow(status, new, event.__name__) for new in _RUN_ENDS[rule]]
    return sorted(arrows, key=_in_order(InstanceStatus))


def document() -> str:
    """Return the text of ``docs/state_machines.md``."""
    return "\n".join(
        [
            "# State machines",
            "",
            "Generated from the tables in `src/maestro_py/engine/decide/table.py`; do not edit, run",
            "`python -m maestro_py.engine.decide.diagram`.",
            "",
            "## A run",
            "",
            *_diagram(run_arrows(), InstanceStatus),
            "",
            "What each event does; an event that is not listed for a status is refused (`InvalidTransition`) and the",
            "run quarantined, since nothing of ours sends it then.",
            "",
            *_rules(table.RUN_TRANSITIONS),
            "",
            "## An attempt of a step",
            "",
            "A retry is a new attempt: the failed one stays as it is.  It begins when the timer of the backoff fires,",
            "or at once after the first loss of a worker.  A stop, a kill or a timeout of a dispatched attempt is",
            "remembered, and ends it when it was revoked, reported or lost.",
            "",
            "An attempt whose expressions take long waits in EVALUATING_PARAMS, or with its work done in FINISHING,",
            "until they have been evaluated elsewhere.",
            "",
            *_diagram(step_arrows(), StepStatus),
            "",
            *_rules(table.STEP_TRANSITIONS),
            "",
        ]
    )


def _diagram(arrows: Iterable[Arrow], statuses: type[StepStatus] | type[InstanceStatus]) -> Iterator[str]:
    causes: dict[tuple[str, str], list[str]] = {}
    for arrow in arrows:
        causes.setdefault((arrow.old, arrow.new), []).append(arrow.cause)
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"    [*] --> {next(iter(causes))[0]}"
    for (old, new), labels in causes.items():
        yield f"    {old} --> {new} : {' / '.join(labels)}"
    reached = {new for _, new in causes}
    for status in statuses:
        if status in reached and status.is_terminal and status not in _RETRIED:
            yield f"    {status} --> [*]"
    yield "```"


def _rules(transitions: Mapping[tuple[Any, type[Event]], Callable[..., None]]) -> Iterator[str]:
    """Yield a table of the rows that are not impossible; statuses that treat the same events alike share a line."""
    yield "| status | event | rule |"
    yield "|---|---|---|"
    events_of: dict[tuple[str, Callable[..., None]], list[str]] = {}
    for (status, event), rule in transitions.items():
        if rule is not table.impossible and rule is not table.impossible_step:
            events_of.setdefault((status, rule), []).append(event.__name__)
    statuses_of: dict[tuple[str, Callable[..., None]], list[str]] = {}
    for (status, rule), events in events_of.items():
        statuses_of.setdefault((", ".join(events), rule), []).append(status)
    for (event_names, rule), statuses in statuses_of.items():
        yield f"| {', '.join(statuses)} | {event_names} | `{rule.__name__}`: {_sentence(rule)} |"


def _sentence(rule: Callable[..., None]) -> str:
    return (inspect.getdoc(rule) or "").splitlines()[0]


def _acts(rule: Callable[..., None]) -> bool:
    """Say whether *rule* may change anything."""
    return not rule.__name__.startswith(("ignore_", "impossible"))


def _in_order(statuses: type[StepStatus] | type[InstanceStatus]) -> Callable[[Arrow], tuple[int, int]]:
    position = {status.value: index for index, status in enumerate(statuses)}
    return lambda arrow: (position[arrow.old], position[arrow.new])


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else "docs/state_machines.md").write_text(document())
