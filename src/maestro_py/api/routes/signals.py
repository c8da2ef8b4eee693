"""Announce and read signals (specification 1.7 and 8.1)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from maestro_py.api.requests import documented, latest_or_number, split_document
from maestro_py.api.responses import Json
from maestro_py.api.schemas import SignalDocument
from maestro_py.api.services import Services
from maestro_py.ports.signal_store import Announcement, SignalInstance


def signal_routes(services: Services) -> APIRouter:
    """Return the routes of signals."""
    routes = APIRouter(prefix="/api/v3/signals", tags=["signals"])

    @routes.post("", openapi_extra=documented(SignalDocument))
    async def announce(request: Request) -> Json:
        """Announce a signal; the same ``request_id``, or without one the same params, is refused a second time."""
        await services.pressure.take_signal()
        body, payload = await split_document(request, SignalDocument)
        announcement = Announcement(
            name=body.name,
            params=body.params,
            payload=payload,
            request_id=body.request_id,
            request_time_ms=services.clock.now_ms() if body.request_time is None else body.request_time,
        )
        return Json(signal_document(await services.announcer.announce(announcement)))

    # Names of signals may hold slashes.
    @routes.get("/{name:path}/instances/{seq}")
    async def signal(name: str, seq: str) -> Json:
        """Return one signal: latest or a number."""
        return Json(signal_document(await services.store.signals.signal(name, latest_or_number(seq, "seq"))))

    return routes


def signal_document(signal: SignalInstance) -> dict[str, Any]:
    """Return a SignalInstance; its payload stands beside its own fields, which win."""
    return {
        **signal.payload,
        "name": signal.name,
        "seq_id": signal.seq_id,
        "instance_id": signal.instance_id,
        "params": signal.params,
        "request_time": signal.request_time_ms,
        "create_time": signal.create_time_ms,
    }
