"""What the expressions of a run may ask of who started it (specification 4.8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maestro_py.model.definition import Workflow
from maestro_py.params.facts import Facts


def start_facts(
    workflow: Workflow, initiator: Mapping[str, Any], *, owner: str | None, seed: str, now_ms: int
) -> Facts:
    """
    Return what the expressions of a start may ask.

    Args:
        workflow: What is started.
        initiator: Who starts it (specification 3.5).
        owner: Of the workflow.
        seed: Of chance; the identity of the run.
        now_ms: UTC epoch milliseconds.
    """
    kind = initiator.get("type")
    zone = workflow.time_triggers[0].get("timezone") if workflow.time_triggers else None
    instance = {
        "INITIATOR_TYPE": None if kind is None else str(kind),
        "INITIATOR_TIMEZONE": initiator.get("timezone"),
        "INITIATOR_RUNNER_NAME": _runner(initiator) if kind == "MANUAL" else None,
        "RUN_POLICY": "START_FRESH_NEW_RUN",
        "owner": owner,
        "FIRST_TIME_TRIGGER_TIMEZONE": zone,
        "workflow_id": workflow.id,
    }
    return Facts(now_ms=now_ms, seed=seed, instance=instance, signals=signals_of(initiator))


def signals_of(initiator: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the signals that started a run, each with its parameters."""
    params = initiator.get("params")
    if initiator.get("type") != "SIGNAL" or not isinstance(params, Mapping):
        return {}
    return {name: dict(inner) for name, inner in params.items() if isinstance(inner, Mapping)}


def _runner(initiator: Mapping[str, Any]) -> object:
    user = initiator.get("user")
    return user.get("name") if isinstance(user, dict) else user
