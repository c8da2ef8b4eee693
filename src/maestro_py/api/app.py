"""Put the HTTP surface together: guards, error answers and one router for each resource."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from maestro_py.api.announcements import Announcer
from maestro_py.api.documentation import TAGS, describe_routes
from maestro_py.api.errors import install_error_answers
from maestro_py.api.guards import BodyLimit, RequestGuard
from maestro_py.api.metrics import Measured, Metrics
from maestro_py.api.pressure import Pressure
from maestro_py.api.routes.dead_letters import dead_letter_routes
from maestro_py.api.routes.definitions import definition_routes
from maestro_py.api.routes.expressions import expression_routes
from maestro_py.api.routes.health import health_routes
from maestro_py.api.routes.instances import instance_routes
from maestro_py.api.routes.iterations import iteration_routes
from maestro_py.api.routes.signals import signal_routes
from maestro_py.api.routes.starts import start_routes
from maestro_py.api.routes.steps import step_routes
from maestro_py.api.routes.stops import stop_routes
from maestro_py.api.routes.workflows import workflow_routes
from maestro_py.api.services import Services
from maestro_py.api.starts import Starter
from maestro_py.api.verdicts import Verdicts
from maestro_py.ports.api_store import ApiStore
from maestro_py.ports.clock import Clock
from maestro_py.ports.evaluator import IN_THREAD, Evaluator
from maestro_py.ports.transport import Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOptions:
    """What can be chosen about an API process."""

    host: str = "127.0.0.1"  #: Address to bind; requests may name it.
    port: int = 8080  #: Port to bind; 0: any free one.
    allowed_hosts: tuple[str, ...] = ()  #: Further names that requests may name; ``*``: every name.
    body_limit_bytes: int = 8 << 20  #: Request bodies above this are answered 413.
    max_steps: int = 10_000  #: Steps of one definition, nested ones included.
    backlog_limit: int = 50_000  #: Events or signals that may wait before more starts or signals are answered 429.
    verdict_seconds: float = 2.0  #: How long the answer to a stop or kill waits for the end of the run.


def create_app(
    store: ApiStore, transport: Transport, clock: Clock, options: ApiOptions, evaluator: Evaluator = IN_THREAD
) -> FastAPI:
    """
    Return the ASGI application.

    Args:
        store: Open; closed by whoever opened it, after the application.
        transport: Open; hints leave through it after each commit.
        clock: Tells the times that are stored and shown.
        options: The limits, and the names that requests may be for.
        evaluator: Evaluates expressions that are too heavy for the loop.
    """
    pressure = Pressure(store.backlogs, options.backlog_limit)
    starter = Starter(store, transport, clock, evaluator)
    announcer = Announcer(store, transport, clock)
    services = Services(
        store=store,
        transport=transport,
        clock=clock,
        starter=starter,
        announcer=announcer,
        pressure=pressure,
        evaluator=evaluator,
        verdicts=Verdicts(store.stops, options.verdict_seconds),
        max_steps=options.max_steps,
    )
    metrics = Metrics(starter, pressure, transport)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        # Whoever asked for something before we were told to stop gets an answer.
        await starter.close()
        await announcer.close()

    app = FastAPI(
        title="maestro-py",
        description="A horizontally scaled workflow orchestration service.",
        docs_url="/docs",
        openapi_tags=TAGS,
        redoc_url=None,
        lifespan=lifespan,
    )
    install_error_answers(app)
    for router in (
        health_routes(services, metrics),
        definition_routes(services),
        workflow_routes(services),
        start_routes(services),
        stop_routes(services),
        instance_routes(services),
        step_routes(services),
        iteration_routes(services),
        signal_routes(services),
        expression_routes(services),
        dead_letter_routes(services),
    ):
        describe_routes(router)
        app.include_router(router)
    # The last one added is the first to see a request.
    app.add_middleware(BodyLimit, limit=options.body_limit_bytes)
    app.add_middleware(RequestGuard, names=(options.host, *options.allowed_hosts))
    app.add_middleware(Measured, metrics=metrics)
    return app
