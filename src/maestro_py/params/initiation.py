"""What the expressions of a run, and of the trigger that starts it, may ask of who started it (specification 4.8)."""

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
    return Facts(
        now_ms=now_ms,
        seed=seed,
        instance=instance,
        signals=signals_of(initiator),
        trigger=trigger_params_of(initiator),
    )


def trigger_facts(
    workflow_id: str, signals: Mapping[str, Mapping[str, Any]], *, owner: str | None, seed: str, now_ms: int
) -> Facts:
    """
    Return what the expressions of a signal trigger may ask.

    Args:
        workflow_id: Of the workflow that it starts.
        signals: That were matched, each with its parameters.
        owner: Of the workflow.
        seed: Of chance; the identity of the match.
        now_ms: UTC epoch milliseconds.
    """
    instance = {"INITIATOR_TYPE": "SIGNAL", "owner": owner, "workflow_id": workflow_id}
    return Facts(
        now_ms=now_ms, seed=seed, instance=instance, signals={name: dict(params) for name, params in signals.items()}
    )


def signals_of(initiator: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the signals that started a run, each with its parameters."""
    named = initiator.get("signal_id_map")
    return {
        name: dict(inner)
        for name, inner in _params_of(initiator).items()
        # A parameter of the trigger may be a map, too.
        if isinstance(inner, Mapping) and (not isinstance(named, Mapping) or name in named)
    }


def trigger_params_of(initiator: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the parameters of the signal trigger that started a run came to."""
    signals = signals_of(initiator)
    return {name: value for name, value in _params_of(initiator).items() if name not in signals}


def _params_of(initiator: Mapping[str, Any]) -> Mapping[str, Any]:
    params = initiator.get("params")
    return params if initiator.get("type") == "SIGNAL" and isinstance(params, Mapping) else {}


def _runner(initiator: Mapping[str, Any]) -> object:
    user = initiator.get("user")
    return user.get("name") if isinstance(user, dict) else user
