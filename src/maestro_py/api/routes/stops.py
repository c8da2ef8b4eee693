"""Stop and kill runs (specification 1.2 and 1.4)."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter

from maestro_py.admission import VersionName
from maestro_py.api.requests import Caller, latest_or_number, named_caller, number
from maestro_py.api.responses import Json
from maestro_py.api.services import Services
from maestro_py.api.views.timelines import acted
from maestro_py.model.errors import NotFound
from maestro_py.model.statuses import InstanceStatus
from maestro_py.ports.api_records import RunRef, VersionRef

#: How a run ends that is stopped, and one that is killed.
_TARGETS: Final = {"stop": InstanceStatus.STOPPED, "kill": InstanceStatus.FAILED}


def stop_routes(services: Services) -> APIRouter:
    """Return the routes that end runs."""
    routes = APIRouter(prefix="/api/v3/workflows/{workflow_id}", tags=["stop and kill"])
    stops = services.store.stops

    async def end(ref: RunRef, action: str, user: str | None) -> Json:
        caller, now_ms, target = named_caller(user), services.clock.now_ms(), _target(action)
        answer = await stops.stop(ref, target, by=caller, reason=f"{action} requested", now_ms=now_ms)
        status = answer.status
        if not answer.completed:
            services.hint_engines(answer.partitions)
            status = await services.verdicts.of((answer.partition, answer.run_uid), status)
        info = f"the {action} of {ref.workflow_id}:{ref.instance_id}:{answer.run_id} {_outcome(status, target)}"
        body: dict[str, Any] = {
            "workflow_id": ref.workflow_id,
            "workflow_instance_id": ref.instance_id,
            "workflow_run_id": answer.run_id,
            "workflow_instance_status": status,
            "completed": status.is_terminal,
            "info": info,
            "timeline_event": acted(now_ms, action.upper(), caller, info),
        }
        return Json(body)

    @routes.put("/instances/{instance_id}/actions/{action}")
    async def end_instance(workflow_id: str, instance_id: str, action: str, user: Caller = None) -> Json:
        """
        End the latest run of an instance: ``stop`` ends it STOPPED, ``kill`` FAILED.

        The answer waits up to two seconds for the end of the run; ``completed`` says whether it has come, by whatever
        was first.
        """
        return await end(RunRef(workflow_id, number(instance_id, "instance")), action, user)

    @routes.put("/instances/{instance_id}/runs/{run}/actions/{action}")
    async def end_run(workflow_id: str, instance_id: str, run: str, action: str, user: Caller = None) -> Json:
        """End a run, which must be the latest of its instance."""
        ref = RunRef(workflow_id, number(instance_id, "instance"), latest_or_number(run, "run"))
        return await end(ref, action, user)

    @routes.put("/actions/{action}")
    async def end_all(workflow_id: str, action: str, user: Caller = None) -> Json:
        """End every unfinished run of a workflow."""
        caller, now_ms, target = named_caller(user), services.clock.now_ms(), _target(action)
        await services.store.definitions.version(workflow_id, VersionRef(VersionName.LATEST))
        answer = await stops.stop_workflow(
            workflow_id, target, by=caller, reason=f"{action} of all runs requested", now_ms=now_ms
        )
        services.hint_engines(answer.partitions)
        said = f"Terminated [{answer.queued}] queued instances and terminating [{answer.running}] running instances"
        return Json(acted(now_ms, action.upper(), caller, said), 202)

    return routes


def _outcome(status: InstanceStatus, target: InstanceStatus) -> str:
    if status is target:
        return "is done"
    if status.is_terminal:
        return f"came too late: the run has ended {status}"
    return "is accepted and is still running"


def _target(action: str) -> InstanceStatus:
    if action not in _TARGETS:
        raise NotFound(f"the action {action!r} does not exist or is not supported yet")
    return _TARGETS[action]
