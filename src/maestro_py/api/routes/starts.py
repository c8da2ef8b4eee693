"""Start runs, one or many (specification 1.2)."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import uuid4

from fastapi import APIRouter, Request

from maestro_py.admission import StartOutcome, StartResult
from maestro_py.api.errors import error_document
from maestro_py.api.requests import Caller, aside, documented, json_bytes, named_caller, version_ref
from maestro_py.api.responses import Json, present
from maestro_py.api.schemas import BatchStartDocument, StartDocument
from maestro_py.api.services import Services
from maestro_py.api.start_bodies import StartBody, read_batch_start, read_start
from maestro_py.api.starts import StartAsk
from maestro_py.api.views.timelines import logged
from maestro_py.ports.api_records import VersionRef


def start_routes(services: Services) -> APIRouter:
    """Return the routes that start runs."""
    routes = APIRouter(prefix="/api/v3/workflows/{workflow_id}/versions/{version}/actions", tags=["start"])

    @routes.post("/start", openapi_extra=documented(StartDocument))
    async def start(request: Request, workflow_id: str, version: str, user: Caller = None) -> Json:
        """Start one run; the same ``request_id`` starts nothing a second time."""
        asker = _Asker(workflow_id, version_ref(version), named_caller(user), services.clock.now_ms())
        await services.pressure.take_starts()
        body = await aside(read_start, await json_bytes(request))
        return Json(_answer(await services.starter.start(asker.ask(body)), asker.now_ms))

    @routes.post("/batch-start", openapi_extra=documented(BatchStartDocument))
    async def batch_start(request: Request, workflow_id: str, version: str, user: Caller = None) -> Json:
        """
        Start up to 1,000 runs of one workflow; ``results`` tells of each request what became of it, in order (ours).

        A request that cannot be read or started has an ``error`` in its place, and its neighbours are started.
        """
        asker = _Asker(workflow_id, version_ref(version), named_caller(user), services.clock.now_ms())
        bodies = await aside(read_batch_start, await json_bytes(request))
        await services.pressure.take_starts(len(bodies))
        # What is wrong with all of them is told once.
        await services.store.starts.version(workflow_id, asker.version)
        asks = [asker.ask(body) for body in bodies if isinstance(body, StartBody)]
        outcomes = iter(zip(asks, await services.starter.start_all(asks), strict=True))
        results = [
            _outcome(*next(outcomes), asker.now_ms) if isinstance(body, StartBody) else {"error": error_document(body)}
            for body in bodies
        ]
        return Json({"results": results})

    return routes


class _Asker(NamedTuple):
    """Who asks for runs of what, and when."""

    workflow_id: str
    version: VersionRef
    caller: str
    now_ms: int

    def ask(self, body: StartBody) -> StartAsk:
        """Return what is asked for by *body*."""
        document = body.document
        return StartAsk(
            workflow_id=self.workflow_id,
            version=self.version,
            request_id=document.request_id or str(uuid4()),
            request_time_ms=self.now_ms if document.request_time is None else document.request_time,
            initiator=document.initiator.initiator(self.caller),
            run_params=body.run_params,
            run_config=_run_config(document),
            persist_failed_run=document.persist_failed_run,
        )


def _run_config(body: StartDocument) -> dict[str, Any]:
    return present(
        policy="START_FRESH_NEW_RUN",
        runtime_tags=body.runtime_tags or None,
        run_params=body.run_params,
        artifacts=body.artifacts,
    )


def _outcome(ask: StartAsk, result: StartResult | BaseException, now_ms: int) -> dict[str, Any]:
    if isinstance(result, StartResult):
        return _answer(result, now_ms)
    if not isinstance(result, Exception):
        raise result
    return {"workflow_id": ask.workflow_id, "workflow_uuid": ask.request_id, "error": error_document(result)}


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
