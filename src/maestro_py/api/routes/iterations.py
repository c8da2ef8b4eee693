"""Read one iteration by its numbers, however deep its loops stand in one another (specification 9.5)."""

from __future__ import annotations

from fastapi import APIRouter

from maestro_py.api.requests import iteration_path, latest_or_number, number
from maestro_py.api.responses import Json
from maestro_py.api.services import Services
from maestro_py.api.views.iterations import flattened_document
from maestro_py.ports.api_records import AttemptRef, RunRef


def iteration_routes(services: Services) -> APIRouter:
    """Return the route of an iteration."""
    prefix = "/api/v3/views/flatten/workflows/{workflow_id}/instances/{instance_id}/runs/{run}/steps/{step_id}"
    routes = APIRouter(prefix=prefix, tags=["iterations"])
    steps = services.store.steps

    @routes.get("/iterations/{iteration_id}")
    async def iteration(workflow_id: str, instance_id: str, run: str, step_id: str, iteration_id: str) -> Json:
        """
        Return a step in one iteration of the loops around it; of a loop, with one number more, that iteration of it.

        The iteration is a run of its own: `iteration` and `leaf_step_instance_ref` say under which ids the other
        routes know it.
        """
        ref = AttemptRef(RunRef(workflow_id, number(instance_id, "instance"), latest_or_number(run, "run")), step_id)
        path = iteration_path(iteration_id)
        return Json(flattened_document(await steps.iteration(ref, path), step_id, path))

    return routes
