"""Read steps, their attempts, logs and iterations (specification 1.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query

from maestro_py.api.errors import RequestInvalid
from maestro_py.api.requests import Cursor, First, Last, latest_or_number, number, page_request
from maestro_py.api.responses import Json
from maestro_py.api.services import Services
from maestro_py.api.views.pages import page_document
from maestro_py.api.views.runs import iteration_document
from maestro_py.api.views.steps import prepare_steps, step_documents
from maestro_py.model.statuses import InstanceStatus
from maestro_py.ports.api_records import AttemptDetail, AttemptRef, LogChunk, RunRef


def step_routes(services: Services) -> APIRouter:
    """Return the routes of steps."""
    routes = APIRouter(prefix="/api/v3/workflows/{workflow_id}/instances/{instance_id}", tags=["steps"])
    steps = services.store.steps

    async def documents_of(detail: AttemptDetail, enriched: bool) -> list[dict[str, Any]]:
        await prepare_steps(detail)
        return step_documents(detail, enriched=enriched)

    async def listed(ref: RunRef, enriched: bool, first: int | None, last: int | None, cursor: str | None) -> Json:
        if first is None and last is None:
            return Json(await documents_of(await steps.steps(ref), enriched))
        detail, page = await steps.step_page(ref, page_request(first, last, cursor))
        documents = iter(await documents_of(detail, enriched))
        return Json(page_document(page, lambda _: next(documents)))

    @routes.get("/steps")
    async def latest_steps(
        workflow_id: str,
        instance_id: str,
        enriched: bool = True,
        first: First = None,
        last: Last = None,
        cursor: Cursor = None,
    ) -> Json:
        """Return the latest attempt of every step of an instance; with `first` or `last` a page, newest first."""
        return await listed(_run(workflow_id, instance_id), enriched, first, last, cursor)

    @routes.get("/steps/{step_id}")
    async def latest_step(workflow_id: str, instance_id: str, step_id: str, enriched: bool = True) -> Json:
        """Return the latest attempt of one step of an instance."""
        ref = AttemptRef(_run(workflow_id, instance_id), step_id)
        return Json((await documents_of(await steps.attempt(ref), enriched))[0])

    @routes.get("/runs/{run}/steps")
    async def steps_of_run(
        workflow_id: str,
        instance_id: str,
        run: str,
        enriched: bool = True,
        first: First = None,
        last: Last = None,
        cursor: Cursor = None,
    ) -> Json:
        """Return the latest attempt of every step of a run; with `first` or `last` a page, newest first."""
        return await listed(_run(workflow_id, instance_id, run), enriched, first, last, cursor)

    @routes.get("/runs/{run}/steps/{step_id}/attempts/{attempt}")
    async def attempt(
        workflow_id: str, instance_id: str, run: str, step_id: str, attempt: str, enriched: bool = True
    ) -> Json:
        """Return one attempt of one step: latest or a number."""
        ref = _attempt(_run(workflow_id, instance_id, run), step_id, attempt)
        return Json((await documents_of(await steps.attempt(ref), enriched))[0])

    @routes.get("/runs/{run}/steps/{step_id}/attempts/{attempt}/logs")
    async def log(
        workflow_id: str,
        instance_id: str,
        run: str,
        step_id: str,
        attempt: str,
        after: Annotated[int, Query(ge=0, le=2**63 - 1, description="the `next` of the previous answer")] = 0,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 200,
    ) -> Json:
        """Return what an attempt has written to its log beyond `after`, also while it runs (ours)."""
        ref = _attempt(_run(workflow_id, instance_id, run), step_id, attempt)
        chunks = await steps.log(ref, after=after, limit=limit)
        return Json(log_document(chunks, after))

    @routes.get("/runs/{run}/steps/{step_id}/iterations")
    async def iterations(
        workflow_id: str,
        instance_id: str,
        run: str,
        step_id: str,
        first: First = None,
        last: Last = None,
        cursor: Cursor = None,
        status: Annotated[str | None, Query(description="only iterations of this status")] = None,
    ) -> Json:
        """List the iterations of a foreach, the highest number first (ours)."""
        ref = AttemptRef(_run(workflow_id, instance_id, run), step_id)
        page = await steps.iterations(ref, page_request(first, last, cursor), _status(status))
        return Json(page_document(page, iteration_document))

    return routes


def log_document(chunks: Sequence[LogChunk], after: int) -> dict[str, Any]:
    """Return a piece of a log, and where the next one begins."""
    rendered = [{"seq": chunk.seq, "create_time": chunk.create_time_ms, "text": chunk.text} for chunk in chunks]
    return {"chunks": rendered, "next": chunks[-1].seq if chunks else after}


def _run(workflow_id: str, instance_id: str, run: str = "latest") -> RunRef:
    return RunRef(workflow_id, number(instance_id, "instance"), latest_or_number(run, "run"))


def _attempt(run: RunRef, step_id: str, attempt: str) -> AttemptRef:
    return AttemptRef(run, step_id, latest_or_number(attempt, "attempt"))


def _status(text: str | None) -> str | None:
    if text is None:
        return None
    if text.upper() not in InstanceStatus.__members__:
        raise RequestInvalid(f"status: must be one of {', '.join(InstanceStatus)}, not {text!r}")
    return text.upper()
