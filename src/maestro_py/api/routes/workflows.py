"""Push, validate, activate and read workflows (specification 1.1 and 1.2)."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request

from maestro_py.api.definition_door import Accepted, accepted_push
from maestro_py.api.errors import MediaTypeUnsupported
from maestro_py.api.requests import Caller, Cursor, First, Last, json_bytes, named_caller, page_request, version_ref
from maestro_py.api.responses import Json
from maestro_py.api.services import Services
from maestro_py.api.views.definitions import (
    overview_document,
    summary_document,
    timeline_document,
    version_document,
)
from maestro_py.api.views.pages import page_document
from maestro_py.api.views.timelines import acted

_LISTED_AT_MOST: Final = 1_000

#: What OpenAPI says of a pushed body: it has two forms, and each has a schema of its own.
_DEFINITION_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "A definition in native or simple form; JSON, comments allowed.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


def workflow_routes(services: Services) -> APIRouter:
    """Return the routes of workflows and their versions."""
    routes = APIRouter(prefix="/api/v3/workflows", tags=["workflows"])
    reads = services.store.definitions
    changes = services.store.changes

    async def accepted(request: Request, user: str | None) -> Accepted:
        return await accepted_push(
            await json_bytes(request),
            user,
            definitions=reads,
            max_steps=services.max_steps,
            now_ms=services.clock.now_ms(),
        )

    @routes.post("", openapi_extra=_DEFINITION_BODY)
    async def push(request: Request, user: Caller = None) -> Json:
        """Store a new version of a workflow."""
        push, author = await accepted(request, user)
        change = await changes.push(push, author=author, now_ms=services.clock.now_ms())
        services.hint_engines(change.partitions)
        return Json({"workflow_definition": version_document(change.version)})

    @routes.put("/actions/validate", openapi_extra=_DEFINITION_BODY)
    async def validate(request: Request, user: Caller = None) -> Json:
        """Check a definition as a push does, and store nothing."""
        _, author = await accepted(request, user)
        message = "the workflow definition is valid."
        return Json(acted(services.clock.now_ms(), "VALIDATE", author, message))

    @routes.post("/yaml", include_in_schema=False)
    @routes.put("/actions/validate/yaml", include_in_schema=False)
    async def yaml() -> Json:
        """Refuse YAML by its name."""
        raise MediaTypeUnsupported("YAML is not supported yet: push JSON (comments are allowed)")

    @routes.get("")
    async def workflows(
        cursor: Annotated[str, Query(description="a workflow id; the list begins beyond it")] = "",
        limit: Annotated[int, Query(ge=1, le=_LISTED_AT_MOST)] = 200,
    ) -> Json:
        """List workflows by their ids, each with its latest run (ours)."""
        found = await reads.workflows(cursor, limit)
        following = found[-1].workflow.workflow_id if len(found) == limit else None
        elements = [summary_document(summary) for summary in found]
        return Json({"elements": elements} | ({"next_cursor": following} if following else {}))

    @routes.get("/{workflow_id}/versions/pagination")
    async def versions(workflow_id: str, first: First = None, last: Last = None, cursor: Cursor = None) -> Json:
        """List the versions of a workflow, newest first."""
        page = await reads.versions(workflow_id, page_request(first, last, cursor))
        return Json(page_document(page, version_document))

    @routes.get("/{workflow_id}/versions/{version}")
    async def version(workflow_id: str, version: str) -> Json:
        """Return one version: active, latest, default or a number."""
        return Json(version_document(await reads.version(workflow_id, version_ref(version))))

    @routes.get("/{workflow_id}/overview")
    async def overview(workflow_id: str) -> Json:
        """Return a workflow and how many of its instances are in which state."""
        return Json(overview_document(await reads.overview(workflow_id)))

    @routes.get("/{workflow_id}/timeline")
    async def timeline(workflow_id: str) -> Json:
        """Return the history of a workflow, newest first."""
        return Json(timeline_document(workflow_id, await reads.timeline(workflow_id)))

    @routes.put("/{workflow_id}/versions/{version}/actions/activate")
    async def activate(workflow_id: str, version: str, user: Caller = None) -> Json:
        """Make a version the active one; its triggers start it from now on."""
        author, now_ms = named_caller(user), services.clock.now_ms()
        change = await changes.activate(workflow_id, version_ref(version), author=author, now_ms=now_ms)
        number = change.version.workflow_version
        event = acted(now_ms, "ACTIVATE", author, f"activated version [{number}]")
        return Json({"workflow_id": workflow_id, "workflow_version_id": number, "timeline_event": event})

    @routes.put("/{workflow_id}/actions/deactivate")
    async def deactivate(workflow_id: str, user: Caller = None) -> Json:
        """Leave a workflow without an active version: nothing triggers it any more, what runs goes on."""
        author, now_ms = named_caller(user), services.clock.now_ms()
        was = await changes.deactivate(workflow_id, author=author, now_ms=now_ms)
        said = "the workflow had no active version" if was is None else f"deactivated version [{was}]"
        event = acted(now_ms, "DEACTIVATE", author, said)
        return Json({"workflow_id": workflow_id, "workflow_version_id": 0, "timeline_event": event})

    return routes
