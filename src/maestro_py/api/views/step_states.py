"""
Work out the public state of an attempt from what the engine wrote and from where its work is.

The engine commits wait states only, and never touches the columns of the dispatch; so an attempt that it left waiting
for a worker may meanwhile run, be lost or be reported (DESIGN sections 3 and 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from maestro_py.model.statuses import Dispatch, StepStatus

#: The statuses an attempt passes one after the other, and the time each gives its name to (specification 1.5).
_PATH: Final = (
    (StepStatus.CREATED, "create_time"),
    (StepStatus.INITIALIZED, "initialize_time"),
    (StepStatus.WAITING_FOR_SIGNALS, "wait_signal_time"),
    (StepStatus.EVALUATING_PARAMS, "evaluate_param_time"),
    (StepStatus.WAITING_FOR_PERMITS, "wait_permit_time"),
    (StepStatus.STARTING, "start_time"),
    (StepStatus.RUNNING, "execute_time"),
    (StepStatus.FINISHING, "finish_time"),
)
_POSITION: Final = {status: position for position, (status, _) in enumerate(_PATH)}
#: Ends that an attempt reaches by having run to its end.
_AFTER_FINISHING: Final = frozenset({StepStatus.SUCCEEDED})


class PublicState(NamedTuple):
    """The state of an attempt as clients see it."""

    status: StepStatus
    times: Mapping[str, int]  #: Name of the time, as in ``runtime_state``, to UTC epoch ms.


def public_state(
    status: str,
    times: Mapping[str, int],
    dispatch: str | None,
    claimed_at: datetime | None,
    reported_at: datetime | None,
) -> PublicState:
    """
    Return the public state of an attempt.

    Args:
        status: As the engine stored it.
        times: Status to UTC epoch ms, as far as the engine has seen.
        dispatch: Where the work is; None: the engine itself runs the step.
        claimed_at: When the newest claim was made.
        reported_at: When the worker's report was stored.
    """
    seen = {StepStatus(name): ms for name, ms in times.items()}
    claimed = _ms(claimed_at)
    reported = _ms(reported_at)
    if claimed is not None:
        seen.setdefault(StepStatus.STARTING, claimed)
        seen.setdefault(StepStatus.RUNNING, claimed)
    if reported is not None:
        seen.setdefault(StepStatus.FINISHING, reported)
    public = _status(StepStatus(status), dispatch)
    if public in _AFTER_FINISHING and public in seen:
        seen.setdefault(StepStatus.FINISHING, seen[public])
    if dispatch in (Dispatch.READY, Dispatch.QUEUED) and not public.is_terminal:
        # Handed back by a dead worker: what it had begun no longer counts.
        for begun in (StepStatus.STARTING, StepStatus.RUNNING, StepStatus.FINISHING):
            seen.pop(begun, None)
    return PublicState(public, _named(public, seen))


def _status(status: StepStatus, dispatch: str | None) -> StepStatus:
    if status.is_terminal or dispatch is None:
        return status
    if dispatch == Dispatch.CLAIMED:
        return StepStatus.RUNNING
    if dispatch == Dispatch.REPORTED:
        return StepStatus.FINISHING
    if dispatch == Dispatch.LOST:
        return StepStatus.PLATFORM_FAILED
    return status


def _named(status: StepStatus, seen: Mapping[StepStatus, int]) -> dict[str, int]:
    """Return the times under their public names; a status that was only passed gets the time of the one before."""
    ends = {ms for reached, ms in seen.items() if reached.is_terminal}
    last = _last_position(status, seen)
    named: dict[str, int] = {}
    at: int | None = None
    for position, (passed, name) in enumerate(_PATH[: last + 1]):
        # The clocks of the engine and of the database differ: what came later is not shown as earlier.
        at = max(seen.get(passed, at), at) if at is not None else seen.get(passed, _earliest(seen, position))
        if at is not None:
            named[name] = at
    if StepStatus.PAUSED in seen:
        named["pause_time"] = seen[StepStatus.PAUSED]
    if status.is_terminal:
        named["end_time"] = max([*ends, *named.values()], default=0)
    if named:
        named["modify_time"] = max(named.values())
    return named


def _last_position(status: StepStatus, seen: Mapping[StepStatus, int]) -> int:
    if status in _AFTER_FINISHING:
        return len(_PATH) - 1
    reached = [_POSITION[s] for s in seen if s in _POSITION]
    if status in _POSITION:
        reached.append(_POSITION[status])
    return max(reached, default=0)


def _earliest(seen: Mapping[StepStatus, int], position: int) -> int | None:
    later = [ms for status, ms in seen.items() if status.is_terminal or _POSITION.get(status, 0) >= position]
    return min(later, default=None)


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)
