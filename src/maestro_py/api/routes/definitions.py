"""Push, validate and activate definitions (specification 1.1 and 1.2)."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request

from maestro_py.api.definition_door import Accepted, accepted_push
from maestro_py.api.errors import MediaTypeUnsupported
from maestro_py.api.requests import Caller, json_bytes, named_caller, version_ref
from maestro_py.api.responses import Json
from maestro_py.api.services import Services
from maestro_py.api.views.definitions import prepare_version, version_document
from maestro_py.api.views.timelines import acted

#: What OpenAPI says of a pushed body: it has two forms, and each has a schema of its own.
_DEFINITION_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "A definition in native or simple form; JSON, comments allowed.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


def definition_routes(services: Services) -> APIRouter:
    """Return the routes that change definitions."""
    routes = APIRouter(prefix="/api/v3/workflows", tags=["definitions"])
    changes = services.store.changes

    async def accepted(request: Request, user: str | None) -> Accepted:
        return await accepted_push(
            await json_bytes(request),
            user,
            definitions=services.store.definitions,
            max_steps=services.max_steps,
            now_ms=services.clock.now_ms(),
            evaluator=services.evaluator,
        )

    @routes.post("", openapi_extra=_DEFINITION_BODY)
    async def push(request: Request, user: Caller = None) -> Json:
        """Store a new version of a workflow."""
        push, author = await accepted(request, user)
        change = await changes.push(push, author=author, now_ms=services.clock.now_ms())
        services.hint_engines(change.partitions)
        await prepare_version(change.version)
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
