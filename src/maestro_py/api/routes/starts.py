"""Start runs (specification 1.2)."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request

from maestro_py.admission import StartOutcome, StartResult
from maestro_py.api.requests import Caller, document, documented, named_caller, version_ref
from maestro_py.api.responses import Json, present
from maestro_py.api.schemas import StartDocument
from maestro_py.api.services import Services
from maestro_py.api.starts import StartAsk
from maestro_py.api.views.timelines import logged
from maestro_py.params import parse_run_params


def start_routes(services: Services) -> APIRouter:
    """Return the routes that start runs."""
    routes = APIRouter(prefix="/api/v3/workflows", tags=["start"])

    @routes.post("/{workflow_id}/versions/{version}/actions/start", openapi_extra=documented(StartDocument))
    async def start(request: Request, workflow_id: str, version: str, user: Caller = None) -> Json:
        """Start one run; the same ``request_id`` starts nothing a second time."""
        caller = named_caller(user)
        body = await document(request, StartDocument)
        now_ms = services.clock.now_ms()
        ask = StartAsk(
            workflow_id=workflow_id,
            version=version_ref(version),
            request_id=body.request_id or str(uuid4()),
            request_time_ms=now_ms if body.request_time is None else body.request_time,
            initiator=body.initiator.initiator(caller),
            run_params=parse_run_params(body.run_params),
            run_config=_run_config(body),
            persist_failed_run=body.persist_failed_run,
        )
        return Json(_answer(await services.starter.start(ask), now_ms))

    return routes


def _run_config(body: StartDocument) -> dict[str, Any]:
    return present(
        policy="START_FRESH_NEW_RUN",
        runtime_tags=body.runtime_tags or None,
        run_params=body.run_params,
        artifacts=body.artifacts,
    )


def _answer(result: StartResult, now_ms: int) -> dict[str, Any]:
    said = {
        StartOutcome.DUPLICATED: "a run was started by this request id before",
        StartOutcome.STOPPED: result.message or "the run strategy stopped the run",
    }.get(result.outcome, result.message or "the run was created")
    return {
        "workflow_id": result.workflow_id,
        "workflow_version_id": result.workflow_version,
        "workflow_instance_id": result.instance_id,
        "workflow_run_id": result.run_id,
        "workflow_uuid": result.request_id,
        "status": result.outcome,
        "timeline_event": logged(now_ms, said),
    }
