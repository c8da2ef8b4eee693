"""Compose each process from its parts: the only place that chooses adapters."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from maestro_py.api.app import ApiOptions
from maestro_py.api.process import ApiProcess
from maestro_py.clock import SystemClock
from maestro_py.engine.context import EngineOptions
from maestro_py.engine.process import EngineProcess, Pulse
from maestro_py.evaluation.pool import EvaluationPool
from maestro_py.metrics.common import Common
from maestro_py.metrics.engine import EngineCollector
from maestro_py.metrics.server import CannotServeMetrics, MetricsServer, Source
from maestro_py.metrics.signal import SignalCollector
from maestro_py.metrics.worker import WorkerCollector
from maestro_py.model.statuses import ProcessKind
from maestro_py.ports.transport import Transport
from maestro_py.running import run_process, until
from maestro_py.settings import Settings, SettingsInvalid
from maestro_py.signals.process import SignalProcess
from maestro_py.storage.api_store import PostgresApiStore
from maestro_py.storage.connections import LANE_LOCK_TIMEOUT_MS, LOCK_TIMEOUT_MS, Database, check_url
from maestro_py.storage.duties import PostgresDuties
from maestro_py.storage.engine_store import PostgresEngineStore
from maestro_py.storage.notifications import PostgresNotifications
from maestro_py.storage.partitions import PostgresPartitions
from maestro_py.storage.processes import Beat, PostgresJudge
from maestro_py.storage.queue_depths import PostgresQueueDepths
from maestro_py.storage.signal_cursors import PostgresSignalStore
from maestro_py.storage.starts import partition_count
from maestro_py.storage.worker_store import PostgresWorkerStore
from maestro_py.transport.faulty import Faults, FaultsInvalid, FaultyTransport
from maestro_py.transport.kafka import KafkaTransport
from maestro_py.transport.kafka_cluster import KafkaCluster, TopicKeeper, tls_context
from maestro_py.transport.postgres import PostgresTransport
from maestro_py.transport.topics import Topics
from maestro_py.workers.options import WorkerOptions
from maestro_py.workers.process import WorkerProcess, worker_registry


@dataclass(frozen=True, slots=True)
class World:
    """What every process has of the world, open."""

    settings: Settings
    beat: Beat
    transport: Transport
    database: Database  #: For ordinary queries.
    hot: Database  #: For the statements of hot paths.


@asynccontextmanager
async def world(
    settings: Settings,
    kind: ProcessKind,
    *,
    lease_ms: int,
    may_beat: Callable[[], bool] = lambda: True,
    connections: int = 4,
    hot_connections: int = 8,
    lock_timeout_ms: int = LOCK_TIMEOUT_MS,
) -> AsyncIterator[World]:
    """Open the world for one process, and close it in the reverse order."""
    check_database_url(settings.database_url)
    beat = Beat(
        settings.database_url,
        kind,
        lease_ms=lease_ms,
        interval_ms=settings.beat_interval_ms,
        outage_grace_ms=settings.outage_grace_ms,
        may_beat=may_beat,
    )
    structlog.contextvars.bind_contextvars(process=kind.value, id=str(beat.process_id)[-12:])
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(settings.database_url, beat.name, size=connections))
        hot = await stack.enter_async_context(
            Database(settings.database_url, beat.name, size=hot_connections, hot=True, lock_timeout_ms=lock_timeout_ms)
        )
        beat.start()
        stack.callback(beat.stop)
        await beat.ready()
        transport = transport_for(settings, beat.name)
        await transport.open()
        stack.push_async_callback(transport.close)
        yield World(settings, beat, transport, database, hot)


def transport_for(settings: Settings, name: str) -> Transport:
    """Return the transport that the settings choose; *name* is the process's name at the database."""
    transport: Transport
    if settings.transport == "kafka":
        transport = KafkaTransport(kafka_cluster(settings, name), prefix=settings.kafka_prefix)
    else:
        transport = PostgresTransport(PostgresNotifications(settings.database_url, name))
    if settings.transport_faults:
        transport = FaultyTransport(transport, Faults.parse(settings.transport_faults))
    return transport


def kafka_cluster(settings: Settings, client_id: str) -> KafkaCluster:
    """
    Return where Kafka is and how it knows us; *client_id* is what its logs call us.

    Raises:
        SettingsInvalid: the settings contradict one another, or a file that they name cannot be used.
    """
    if not settings.kafka:
        raise SettingsInvalid("MAESTRO_KAFKA: is not set, for example kafka-1:9092,kafka-2:9092")
    username, password = settings.kafka_sasl_username, settings.kafka_sasl_password
    if settings.kafka_security.startswith("SASL") and (not username or password is None):
        raise SettingsInvalid(
            "MAESTRO_KAFKA_SASL_USERNAME, MAESTRO_KAFKA_SASL_PASSWORD:"
            f" are needed for MAESTRO_KAFKA_SECURITY={settings.kafka_security}"
        )
    context = None
    if settings.kafka_security.endswith("SSL"):
        key_password = settings.kafka_ssl_key_password
        try:
            context = tls_context(
                settings.kafka_ssl_ca,
                settings.kafka_ssl_certificate,
                settings.kafka_ssl_key,
                key_password.get_secret_value() if key_password else None,
            )
        except OSError as exc:  # ssl.SSLError is one, too
            raise SettingsInvalid(f"MAESTRO_KAFKA_SSL_…: a file cannot be used: {exc}") from exc
    return KafkaCluster(
        servers=settings.kafka,
        client_id=client_id,
        security_protocol=settings.kafka_security,
        ssl_context=context,
        sasl_mechanism=settings.kafka_sasl_mechanism,
        sasl_username=username,
        sasl_password=password.get_secret_value() if password else None,
        replication=settings.kafka_replication,
    )


def check(settings: Settings) -> None:
    """
    Check what the processes would refuse as soon as they are started, the worker's configuration file, too.

    Raises:
        Misconfigured: something is wrong; the text names the variable, or the file and the entry.
    """
    if settings.database_url:
        check_database_url(settings.database_url)
    if settings.code is not None and not settings.code.is_dir():
        raise SettingsInvalid(f"MAESTRO_CODE: {settings.code} is no directory")
    worker_registry(settings.config, settings.http_allow)
    if settings.transport == "kafka" and settings.kafka:
        kafka_cluster(settings, "maestro")
    if settings.transport_faults:
        try:
            Faults.parse(settings.transport_faults)
        except FaultsInvalid as exc:
            raise SettingsInvalid(f"MAESTRO_TRANSPORT_FAULTS: {exc}") from exc


def check_database_url(url: str) -> None:
    """
    Check that *url* is the address of a database.

    Raises:
        SettingsInvalid: it is missing, or none.
    """
    if not url:
        raise SettingsInvalid("MAESTRO_DATABASE_URL: is not set, for example postgresql://user:password@host/database")
    try:
        check_url(url)
    except ValueError as exc:
        raise SettingsInvalid(f"MAESTRO_DATABASE_URL: {exc}") from None


async def create_topics(settings: Settings) -> dict[str, int]:
    """
    Make the topics of Kafka that every installation has and those of the queues; return how many partitions each has.

    Raises:
        SettingsInvalid: see `kafka_cluster`.
        KafkaUnavailable: no broker answers.
        TopicRefused: the cluster does not make one of them.
    """
    topics = Topics(settings.kafka_prefix)
    keeper = TopicKeeper(kafka_cluster(settings, "maestro-topics"))
    return await keeper.create([*topics.fixed, *map(topics.steps, settings.queues)])


# --- the four processes ------------------------------------------------------------------------------------


async def serve_engine(settings: Settings, stopping: asyncio.Event) -> None:
    """Run an engine until *stopping* is set."""
    pulse = Pulse(settings.batch_deadline_ms)
    async with (
        world(
            settings,
            ProcessKind.ENGINE,
            lease_ms=settings.engine_lease_ms,
            may_beat=pulse.is_alive,
            hot_connections=settings.lanes + 4,
            lock_timeout_ms=LANE_LOCK_TIMEOUT_MS,
        ) as at,
        evaluation_pool() as pool,
    ):
        async with at.database.connection() as conn:
            partitions = await partition_count(conn)
        engine = EngineProcess(
            store=PostgresEngineStore(at.hot),
            duty_store=PostgresDuties(at.hot, event_retention_days=settings.event_retention_days),
            partition_store=PostgresPartitions(at.database),
            transport=at.transport,
            beat=at.beat,
            pulse=pulse,
            clock=SystemClock(),
            options=EngineOptions(
                lanes=settings.lanes,
                batch_limit=settings.batch_limit,
                cached_runs=settings.cached_runs,
                foreach_window=settings.foreach_window,
                sweep_interval_ms=settings.sweep_interval_ms,
            ),
            partition_count=partitions,
            evaluator=pool,
        )
        common = Common(ProcessKind.ENGINE, at.beat, settings.engine_lease_ms, at.transport)
        source = EngineCollector(engine, common, PostgresQueueDepths(at.hot), SystemClock())
        async with serving_metrics(settings, source, common):
            await until(stopping, engine.run(), engine.stop)


@asynccontextmanager
async def serving_metrics(settings: Settings, source: Source, common: Common) -> AsyncIterator[None]:
    """
    Serve health and metrics of the process on its own port, if it has one.

    Raises:
        SettingsInvalid: the port cannot be bound.
    """
    async with AsyncExitStack() as stack:
        if settings.metrics_port:
            server = MetricsServer(settings.metrics_host, settings.metrics_port, source, common.problem)
            try:
                await stack.enter_async_context(server)
            except CannotServeMetrics as exc:
                raise SettingsInvalid(f"MAESTRO_METRICS_PORT: {exc}") from exc
        yield


@asynccontextmanager
async def evaluation_pool() -> AsyncIterator[EvaluationPool]:
    """Lend the processes in which this one has heavy expressions evaluated."""
    pool = EvaluationPool(os.environ)
    try:
        yield pool
    finally:
        await pool.close()


async def serve_signal(settings: Settings, stopping: asyncio.Event) -> None:
    """Run a signal service until *stopping* is set."""
    async with world(settings, ProcessKind.SIGNAL, lease_ms=settings.service_lease_ms) as at, evaluation_pool() as pool:
        service = SignalProcess(
            PostgresSignalStore(at.hot),
            at.transport,
            at.beat,
            PostgresJudge(at.database, at.beat),
            SystemClock(),
            sweep_interval_ms=settings.sweep_interval_ms,
            evaluator=pool,
        )
        common = Common(ProcessKind.SIGNAL, at.beat, settings.service_lease_ms, at.transport)
        async with serving_metrics(settings, SignalCollector(service, common), common):
            await until(stopping, service.run(), service.stop)


async def serve_worker(settings: Settings, stopping: asyncio.Event) -> None:
    """Run a worker until *stopping* is set; then let it finish what it runs."""
    registry = worker_registry(settings.config, settings.http_allow)
    async with world(settings, ProcessKind.WORKER, lease_ms=settings.worker_lease_ms) as at:
        worker = WorkerProcess(
            WorkerOptions(
                queues=settings.queues,
                slots=settings.slots,
                pool_size=settings.pool_size,
                code=settings.code,
                lease_ms=settings.worker_lease_ms,
                beat_interval_ms=settings.beat_interval_ms,
                sweep_interval_ms=settings.sweep_interval_ms,
                drain_ms=settings.drain_ms,
                cancel_grace_ms=settings.cancel_grace_ms,
                log_limit_bytes=settings.log_limit_bytes,
                http_allow=settings.http_allow,
            ),
            PostgresWorkerStore(at.hot, at.beat.process_id),
            at.transport,
            at.beat,
            PostgresJudge(at.database, at.beat),
            registry,
            SystemClock(),
        )
        common = Common(ProcessKind.WORKER, at.beat, settings.worker_lease_ms, at.transport)
        async with serving_metrics(settings, WorkerCollector(worker, common), common):
            await until(stopping, worker.run(), worker.stop)


async def serve_api(settings: Settings, stopping: asyncio.Event) -> None:
    """Serve the API until *stopping* is set; requests under way are then finished first."""
    async with (
        world(settings, ProcessKind.API, lease_ms=settings.service_lease_ms, connections=8) as at,
        evaluation_pool() as pool,
    ):
        api = ApiProcess(
            PostgresApiStore(at.database, at.hot),
            at.transport,
            at.beat,
            PostgresJudge(at.database, at.beat),
            SystemClock(),
            ApiOptions(
                host=settings.host,
                port=settings.port,
                body_limit_bytes=settings.body_limit_bytes,
                max_steps=settings.max_steps,
                allowed_hosts=settings.allowed_hosts,
                backlog_limit=settings.backlog_limit,
            ),
            pool,
        )
        await until(stopping, api.run(), api.stop)


# --- entry points of the command line ----------------------------------------------------------------------


def run_engine(settings: Settings) -> None:
    """Run an engine in this process until SIGTERM or SIGINT."""
    run_process(ProcessKind.ENGINE, lambda stopping: serve_engine(settings, stopping), log_format=settings.log_format)


def run_signal(settings: Settings) -> None:
    """Run a signal service in this process until SIGTERM or SIGINT."""
    run_process(ProcessKind.SIGNAL, lambda stopping: serve_signal(settings, stopping), log_format=settings.log_format)


def run_worker(settings: Settings) -> None:
    """Run a worker in this process until SIGTERM or SIGINT."""
    run_process(ProcessKind.WORKER, lambda stopping: serve_worker(settings, stopping), log_format=settings.log_format)


def run_api(settings: Settings) -> None:
    """Run the API in this process until SIGTERM or SIGINT."""
    run_process(ProcessKind.API, lambda stopping: serve_api(settings, stopping), log_format=settings.log_format)
