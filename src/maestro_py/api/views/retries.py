"""The public form of the retries of an attempt: those that led to it, and the one that it waits for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from maestro_py.api.responses import present
from maestro_py.api.views.timelines import logged
from maestro_py.model.definition import Step, retry_policy_of
from maestro_py.model.statuses import StepStatus
from maestro_py.ports.api_records import AttemptRecord

#: The budget that the retry after an attempt of this status counts against (specification 2.3).
_BUDGET_OF: Final = {
    StepStatus.USER_FAILED: "error",
    StepStatus.PLATFORM_FAILED: "platform",
    StepStatus.TIMEOUT_FAILED: "timeout",
}


def retries_document(attempt: AttemptRecord, step: Step) -> dict[str, Any]:
    """Return how often the step was tried again up to this attempt, and how often it may be (specification 1.5)."""
    policy = retry_policy_of(step)
    return {
        "error_retries": attempt.error_retries,
        "error_retry_limit": policy.error_retry_limit,
        "platform_retries": attempt.platform_retries,
        "platform_retry_limit": policy.platform_retry_limit,
        "timeout_retries": attempt.timeout_retries,
        "timeout_retry_limit": policy.timeout_retry_limit,
        "manual_retries": 0,
        "retryable": True,
        "backoff": policy.backoff,
    }


def next_attempt_document(
    attempt: AttemptRecord, step: Step, status: StepStatus, wakes: Mapping[tuple[str, int], int]
) -> dict[str, Any] | None:
    """
    Return the attempt that follows this one by itself (ours); None if none does, or if it has begun.

    Args:
        attempt: The one that failed.
        step: Its definition.
        status: As clients see it.
        wakes: When attempts of the run are tried again, (step id, attempt) to UTC epoch ms.
    """
    at_ms = wakes.get((attempt.step_id, attempt.attempt))
    budget = _BUDGET_OF.get(status)
    if at_ms is None or budget is None:
        return None
    limit = getattr(retry_policy_of(step), f"{budget}_retry_limit")
    return present(
        step_attempt_id=attempt.attempt + 1,
        time=at_ms,
        retry=getattr(attempt, f"{budget}_retries") + 1,
        # A template is worked out when the attempt fails; nobody is told a limit that may be another.
        retry_limit=limit if isinstance(limit, int) else None,
    )


def announced(document: Mapping[str, Any], failed_ms: int) -> dict[str, Any]:
    """Return the line of the timeline that tells of the next attempt; *failed_ms* is when this one ended."""
    at = datetime.fromtimestamp(document["time"] / 1000, tz=UTC).isoformat(timespec="seconds")
    limit = document.get("retry_limit")
    of_how_many = "" if limit is None else f" of {limit}"
    number = document["step_attempt_id"]
    return logged(failed_ms, f"tried again at {at}, as attempt {number} (retry {document['retry']}{of_how_many})")
