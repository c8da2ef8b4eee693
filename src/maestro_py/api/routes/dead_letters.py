"""Read the events that the engine could not apply, and have them tried again (ours)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from maestro_py.api.requests import Caller, named_caller, number
from maestro_py.api.responses import Json, present
from maestro_py.api.services import Services
from maestro_py.api.views.timelines import acted
from maestro_py.ports.api_records import DeadLetter


def dead_letter_routes(services: Services) -> APIRouter:
    """Return the routes of dead letters."""
    routes = APIRouter(prefix="/api/v3/dead-letters", tags=["dead letters"])
    dead_letters = services.store.dead_letters

    @routes.get("")
    async def list_dead_letters(
        cursor: Annotated[int, Query(ge=0, le=2**63 - 1, description="an id; the list begins beyond it")] = 0,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 200,
    ) -> Json:
        """List the events that could not be applied, and those that wait behind them, the oldest first."""
        found = await dead_letters.dead_letters(cursor, limit)
        elements = [dead_letter_document(letter) for letter in found]
        return Json({"elements": elements} | ({"next_cursor": found[-1].id} if len(found) == limit else {}))

    @routes.post("/{dead_letter_id}/actions/retry")
    async def retry_dead_letter(dead_letter_id: str, user: Caller = None) -> Json:
        """Put every dead event of the same run back into the inbox, in order."""
        caller = named_caller(user)
        count, partitions = await dead_letters.retry(number(dead_letter_id, "dead letter"))
        services.hint_engines(partitions)
        return Json(
            {
                "retried": count,
                "timeline_event": acted(services.clock.now_ms(), "RETRY", caller, f"put [{count}] events back"),
            }
        )

    return routes


def dead_letter_document(letter: DeadLetter) -> dict[str, Any]:
    """Return one dead letter."""
    return present(
        id=letter.id,
        workflow_id=letter.workflow_id,
        workflow_instance_id=letter.instance_id,
        workflow_run_id=letter.run_id,
        event=letter.payload,
        reason=letter.reason,
        create_time=letter.create_time_ms,
    )
