"""Read workflows and their versions (specification 1.1)."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query

from maestro_py.admission import VersionName
from maestro_py.api.errors import RequestInvalid
from maestro_py.api.requests import Cursor, First, Last, page_request, version_ref
from maestro_py.api.responses import Json
from maestro_py.api.services import Services
from maestro_py.api.views.definitions import (
    overview_document,
    prepare_version,
    properties_document,
    subscription_document,
    summary_document,
    timeline_document,
    version_document,
)
from maestro_py.api.views.pages import page_document
from maestro_py.ports.api_records import VersionRef

_LISTED_AT_MOST: Final = 1_000


def workflow_routes(services: Services) -> APIRouter:
    """Return the routes of workflows and their versions."""
    routes = APIRouter(prefix="/api/v3/workflows", tags=["workflows"])
    reads = services.store.definitions

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
        for element in page.elements:
            await prepare_version(element)
        return Json(page_document(page, version_document))

    @routes.get("/{workflow_id}/versions/{version}")
    async def version(workflow_id: str, version: str, enriched: bool = False) -> Json:
        """Return one version: active, latest, default or a number."""
        if enriched:
            raise RequestInvalid("enriched: the enriched form of a definition is not supported yet")
        found = await reads.version(workflow_id, version_ref(version))
        await prepare_version(found)
        return Json(version_document(found))

    @routes.get("/{workflow_id}/properties-snapshot/{snapshot}")
    async def properties(workflow_id: str, snapshot: str) -> Json:
        """Return the present properties of a workflow: latest is the only snapshot there is."""
        if snapshot.lower() != "latest":
            raise RequestInvalid(f"snapshot: only latest is supported, not {snapshot!r}")
        latest = await reads.version(workflow_id, VersionRef(VersionName.LATEST))
        return Json(properties_document(latest.owner))

    @routes.get("/{workflow_id}/overview")
    async def overview(workflow_id: str) -> Json:
        """Return a workflow and how many of its instances are in which state."""
        return Json(overview_document(await reads.overview(workflow_id)))

    @routes.get("/{workflow_id}/timeline")
    async def timeline(workflow_id: str) -> Json:
        """Return the history of a workflow, newest first."""
        return Json(timeline_document(workflow_id, await reads.timeline(workflow_id)))

    @routes.get("/{workflow_id}/signal-triggers")
    async def signal_triggers(workflow_id: str) -> Json:
        """Return the signal triggers that listen, and which signals matched and started nothing, and why (ours)."""
        found = await reads.subscriptions(workflow_id)
        return Json({"workflow_id": workflow_id, "signal_triggers": [subscription_document(each) for each in found]})

    return routes
