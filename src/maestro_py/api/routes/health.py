"""Say whether this process is alive and ready, and what it has counted."""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from maestro_py.api.metrics import Metrics
from maestro_py.api.responses import Json
from maestro_py.api.services import Services
from maestro_py.model.errors import StoreUnavailable

#: How long readiness waits for the database.
_PATIENCE_SECONDS: Final = 2.0


def health_routes(services: Services, metrics: Metrics) -> APIRouter:
    """Return the routes for whoever runs the process."""
    routes = APIRouter(tags=["health"])

    @routes.get("/livez")
    async def live() -> Json:
        """Answer 200 while the process serves at all."""
        return Json({"status": "ok"})

    @routes.get("/readyz")
    async def ready() -> Json:
        """Answer 200 when the database is there with the schema that this version needs, else 503."""
        try:
            # Whoever probes us waits less long than a request may.
            async with asyncio.timeout(_PATIENCE_SECONDS):
                problem = await services.store.schema_problem()
        except StoreUnavailable as exc:
            problem = f"the database is away: {exc}"
        except TimeoutError:
            problem = "the database is away: no answer in time"
        if problem is not None:
            return Json({"status": "SERVICE_UNAVAILABLE", "message": problem, "retryable": True}, 503)
        return Json({"status": "ok"})

    @routes.get("/metrics")
    async def metrics_text() -> Response:
        """Return the counters in Prometheus' text format."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return routes
