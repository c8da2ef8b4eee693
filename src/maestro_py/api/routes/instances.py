"""Read runs of instances (specification 1.3)."""

from __future__ import annotations

from fastapi import APIRouter

from maestro_py.api.requests import Cursor, First, Last, latest_or_number, number, page_request
from maestro_py.api.responses import Json
from maestro_py.api.services import Services
from maestro_py.api.views.pages import page_document
from maestro_py.api.views.runs import prepare_run, run_document, run_fields
from maestro_py.ports.api_records import RunRef


def instance_routes(services: Services) -> APIRouter:
    """Return the routes of runs of instances."""
    routes = APIRouter(prefix="/api/v3/workflows/{workflow_id}/instances", tags=["instances"])
    instances = services.store.instances

    async def answered(ref: RunRef, enriched: bool) -> Json:
        detail = await instances.run(ref)
        await prepare_run(detail)
        return Json(run_document(detail, enriched=enriched))

    @routes.get("")
    async def list_instances(workflow_id: str, first: First = None, last: Last = None, cursor: Cursor = None) -> Json:
        """List the instances of a workflow, newest first, each by its latest run."""
        page = await instances.instances(workflow_id, page_request(first, last, cursor))
        return Json(page_document(page, run_fields))

    @routes.get("/{instance_id}")
    async def instance(workflow_id: str, instance_id: str, enriched: bool = True) -> Json:
        """Return an instance by its latest run."""
        ref = RunRef(workflow_id, number(instance_id, "instance"))
        return await answered(ref, enriched)

    @routes.get("/{instance_id}/runs")
    async def runs(
        workflow_id: str, instance_id: str, first: First = None, last: Last = None, cursor: Cursor = None
    ) -> Json:
        """List the runs of an instance, newest first."""
        page = await instances.runs(workflow_id, number(instance_id, "instance"), page_request(first, last, cursor))
        return Json(page_document(page, run_fields))

    @routes.get("/{instance_id}/runs/{run}")
    async def run(workflow_id: str, instance_id: str, run: str, enriched: bool = True) -> Json:
        """Return one run: latest or a number."""
        ref = RunRef(workflow_id, number(instance_id, "instance"), latest_or_number(run, "run"))
        return await answered(ref, enriched)

    return routes
