"""Decide whether a failed attempt is tried again, and when."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from maestro_py.engine.decide.finish import finish_step
from maestro_py.engine.decide.scope import RunScope
from maestro_py.engine.decide.state import Decision, Run, StepState, set_status
from maestro_py.model.definition import Backoff, RetryPolicy, retry_policy_of
from maestro_py.model.effects import SetTimer
from maestro_py.model.errors import ParamError
from maestro_py.model.events import TimerFired
from maestro_py.model.statuses import StepStatus
from maestro_py.params import render


class FailureKind(NamedTuple):
    """One of the three kinds of failure that have a retry budget of their own (specification 2.3)."""

    name: str  #: As in ``<name>_retry_limit``.
    retried: StepStatus  #: The attempt's status when another follows.
    final: StepStatus  #: Its status when none follows.


USER: Final = FailureKind("error", StepStatus.USER_FAILED, StepStatus.FATALLY_FAILED)
PLATFORM: Final = FailureKind("platform", StepStatus.PLATFORM_FAILED, StepStatus.FATALLY_FAILED)
TIMEOUT: Final = FailureKind("timeout", StepStatus.TIMEOUT_FAILED, StepStatus.TIMED_OUT)

#: Which retries of an attempt the next one counts, by the status that the attempt ended with.
KIND_OF: Final = {kind.retried: kind for kind in (USER, PLATFORM, TIMEOUT)}


def retries_of(step: StepState, kind: FailureKind) -> int:
    """Return how many retries of *kind* led to this attempt."""
    if kind is USER:
        return step.error_retries
    return step.platform_retries if kind is PLATFORM else step.timeout_retries


def fail_attempt(
    run: Run, step: StepState, kind: FailureKind, message: str, decision: Decision, *, at_once: bool = False
) -> None:
    """
    Record that the attempt failed; retry it after its backoff, or end the step when the budget is spent.

    Args:
        run: The run.
        step: Its latest attempt, live.
        kind: Which budget the failure counts against.
        message: Why it failed, for people.
        decision: Gathers the effects.
        at_once: The next attempt waits for no backoff.
    """
    policy = _number_policy(run, retry_policy_of(step.node.step))
    retries = retries_of(step, kind)
    if run.is_closing or retries >= int(getattr(policy, f"{kind.name}_retry_limit")):
        finish_step(run, step, kind.final, decision, message)
        return
    step.message = message
    set_status(run, step, kind.retried, decision.now_ms)
    if at_once:
        decision.ready.append((step.node, True, step))
    else:
        wake_at_ms = decision.now_ms + backoff_ms(policy.backoff, kind, retries)
        decision.effects.append(SetTimer(wake_at_ms, TimerFired(step.step_id, step.attempt)))


def backoff_ms(backoff: Backoff, kind: FailureKind, retries: int) -> int:
    """
    Return the delay before the next attempt, in ms: min(base * exponent ^ retries, limit) seconds (specification 2.3).

    Args:
        backoff: Whose values are numbers.
        kind: Which of its fields count.
        retries: Retries of this kind so far.
    """
    base = int(getattr(backoff, f"{kind.name}_retry_backoff_in_secs"))
    if backoff.type == "FIXED_BACKOFF":
        return base * 1000
    limit = int(getattr(backoff, f"{kind.name}_retry_limit_in_secs"))
    exponent = int(getattr(backoff, f"{kind.name}_retry_exponent"))
    # 99 retries at most, so the power stays small enough to compute.
    delay: int = min(base * exponent**retries, limit)
    return delay * 1000


def _number_policy(run: Run, policy: RetryPolicy) -> RetryPolicy:
    """Return *policy* with its templates evaluated; the default policy if any is no number (specification 2.3)."""
    if not _has_template(policy):
        return policy
    scope = RunScope(run)
    try:
        numbers = {f: _number(policy.backoff, f, scope) for f in Backoff.__struct_fields__ if f != "type"}
        backoff = msgspec.structs.replace(policy.backoff, **numbers)
        limits = {f: _number(policy, f, scope) for f in RetryPolicy.__struct_fields__ if f != "backoff"}
        return RetryPolicy(backoff=backoff, **limits)
    except (ParamError, ValueError, TypeError):
        return RetryPolicy()


def _number(holder: RetryPolicy | Backoff, field: str, scope: RunScope) -> int:
    value = getattr(holder, field)
    number = int(render(value, scope, f"retry_policy.{field}")) if isinstance(value, str) else int(value)
    lowest, highest = (0, 99) if field.endswith("_retry_limit") else (1, 86_400)
    if not lowest <= number <= highest:
        raise ValueError(field)
    return number


def _has_template(policy: RetryPolicy) -> bool:
    holders: tuple[RetryPolicy | Backoff, ...] = (policy, policy.backoff)
    return any(
        isinstance(getattr(holder, field), str)
        for holder in holders
        for field in holder.__struct_fields__
        if field not in ("type", "backoff")
    )
