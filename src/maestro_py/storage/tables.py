"""
Define the tables, with the invariants that the database itself keeps.

Times that clients see are epoch milliseconds (``*_ms``); times that only processes compare are ``timestamptz``
(``*_at``) and are compared with the database's clock.  Hot tables have no foreign keys (DESIGN section 4).
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_now = func.now()
_at = DateTime(timezone=True)
#: Hot tables live by HOT updates and quick vacuums.
_HOT: Final = {
    "fillfactor": "70",
    "autovacuum_vacuum_scale_factor": "0.02",
    "autovacuum_vacuum_cost_delay": "0",
}

# --- processes and ownership -------------------------------------------------------------------------------

process = Table(
    "process",
    metadata,
    Column("id", Uuid, primary_key=True, comment="a new id for every start of every process"),
    Column("kind", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", _at, nullable=False, server_default=_now),
    Column("beat_at", _at, nullable=False, server_default=_now, comment="the database's clock"),
    Column("lease_ms", Integer, nullable=False, comment="expired when beat_at is older than this"),
    Column(
        "info",
        JSONB,
        nullable=False,
        server_default=text("'{}'"),
        comment="worker: queues, step_types, backend_keys, slots, busy; engine: backlog per queue, partitions",
    ),
    CheckConstraint("kind IN ('engine', 'worker', 'signal', 'api')", name="kind_known"),
)

step_type = Table(
    "step_type",
    metadata,
    Column("name", Text, primary_key=True, comment="every step type that any worker ever registered"),
    Column("first_seen_at", _at, nullable=False, server_default=_now),
)

engine_partition = Table(
    "engine_partition",
    metadata,
    Column("partition", SmallInteger, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False, server_default="0", comment="+1 at every acquisition: the fence"),
    Column("owner", Uuid, comment="process.id of an engine; null when free"),
    postgresql_with={"fillfactor": "30"},
)

# --- definitions -------------------------------------------------------------------------------------------

workflow = Table(
    "workflow",
    metadata,
    Column("workflow_id", Text, primary_key=True),
    Column("internal_id", Uuid, nullable=False),
    Column("active_version", BigInteger, comment="null: deactivated"),
    Column("latest_version", BigInteger, nullable=False),
    Column("last_instance_id", BigInteger, nullable=False, server_default="0"),
    Column("run_strategy", Text, nullable=False, server_default="SEQUENTIAL"),
    Column("workflow_concurrency", Integer, nullable=False, server_default="1"),
    Column("properties", JSONB, nullable=False, comment="the current properties snapshot"),
    Column("create_time_ms", BigInteger, nullable=False),
    Column("modify_time_ms", BigInteger, nullable=False),
    CheckConstraint("workflow_concurrency BETWEEN 1 AND 1000", name="concurrency_range"),
    CheckConstraint("active_version <= latest_version", name="active_exists"),
    postgresql_with={"fillfactor": "50"},
)

workflow_version = Table(
    "workflow_version",
    metadata,
    Column("definition_uid", Uuid, primary_key=True, comment="immutable: caches key by it"),
    Column("workflow_id", Text, nullable=False),
    Column("workflow_version", BigInteger, nullable=False),
    Column("definition", JSON, nullable=False, comment="native form, canonical; what the engine compiles"),
    Column("metadata", JSONB, nullable=False),
    Column("activate_time_ms", BigInteger),
    Column("activated_by", Text),
    UniqueConstraint("workflow_id", "workflow_version"),
)

workflow_timeline = Table(
    "workflow_timeline",
    metadata,
    Column("workflow_id", Text, nullable=False),
    Column("id", BigInteger, Identity(), nullable=False),
    Column("author", Text, nullable=False),
    Column("log", Text, nullable=False),
    Column("create_time_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("workflow_id", "id"),
)

start_request = Table(
    "start_request",
    metadata,
    Column("workflow_id", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("run_uid", Uuid, nullable=False),
    Column("create_time_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("workflow_id", "request_id"),
    # Who is forgotten next.
    Index(None, "create_time_ms"),
    comment="a repeated request id starts nothing (promise 1); remembered for 30 days",
)

# --- runs and attempts -------------------------------------------------------------------------------------

workflow_instance = Table(
    "workflow_instance",
    metadata,
    Column("partition", SmallInteger, nullable=False),
    Column("run_uid", Uuid, nullable=False, comment="the internal key of one run of one instance"),
    Column("workflow_id", Text, nullable=False),
    Column("instance_id", BigInteger, nullable=False),
    Column("run_id", BigInteger, nullable=False),
    Column(
        "row_version",
        BigInteger,
        nullable=False,
        server_default="1",
        comment="every UPDATE carries the one it read",
    ),
    Column("status", Text, nullable=False),
    Column(
        "execution_id",
        Uuid,
        comment="set at admission: CREATED with one is about to run, without one is queued",
    ),
    Column("workflow_uuid", Text, nullable=False, comment="the request id"),
    Column("workflow_version", BigInteger, nullable=False),
    Column("definition_uid", Uuid, nullable=False),
    Column(
        "scope",
        Text,
        nullable=False,
        server_default="",
        comment="foreach step ids joined by /; '' for a root",
    ),
    Column("correlation_id", Text, nullable=False),
    Column("depth", SmallInteger, nullable=False, server_default="0"),
    Column("root_workflow_id", Text, nullable=False, comment="the tenant of fair dispatch"),
    Column("parent_partition", SmallInteger),
    Column("parent_run_uid", Uuid),
    Column("parent_step_id", Text),
    Column("parent_attempt", Integer),
    Column("loop_values", JSON, comment="of a foreach iteration; its other params are the parent's, by reference"),
    Column("initiator", JSON, nullable=False),
    Column(
        "params",
        JSON,
        comment="evaluated workflow params of a root: name to Parameter; null for an iteration",
    ),
    Column("run_config", JSON, comment="runtime_tags, run_params as posted"),
    Column("request_time_ms", BigInteger, nullable=False),
    Column("create_time_ms", BigInteger, nullable=False),
    Column("start_time_ms", BigInteger),
    Column("end_time_ms", BigInteger),
    Column("modify_time_ms", BigInteger, nullable=False),
    Column("deadline_at", _at, comment="start + timeout"),
    Column("stop_target", Text, comment="STOPPED, FAILED or TIMED_OUT once somebody asked the run to end so"),
    Column("quarantine_reason", Text, comment="set when an event of the run went to the dead letters"),
    Column("timeline", JSON, comment="the last 32 events (specification 5.5)"),
    PrimaryKeyConstraint("partition", "run_uid"),
    UniqueConstraint("workflow_id", "instance_id", "run_id"),
    CheckConstraint(
        "status IN ('CREATED','IN_PROGRESS','PAUSED','SUCCEEDED','FAILED','STOPPED','TIMED_OUT')",
        name="status_known",
    ),
    CheckConstraint(
        "(end_time_ms IS NULL) = (status IN ('CREATED','IN_PROGRESS','PAUSED'))",
        name="ended_exactly_when_terminal",
    ),
    CheckConstraint("(parent_run_uid IS NULL) = (scope = '')", name="iteration_has_parent"),
    # end_time_ms rather than status in the predicate: CREATED -> IN_PROGRESS stays a HOT update.
    Index(
        "ix_workflow_instance_live",
        "workflow_id",
        "instance_id",
        postgresql_where=text("end_time_ms IS NULL"),
    ),
    # What admission counts and dequeues, kept small: iterations of a foreach (scope <> '') never pass it.
    Index(
        "ix_workflow_instance_running",
        "workflow_id",
        postgresql_where=text("end_time_ms IS NULL AND execution_id IS NOT NULL AND scope = ''"),
    ),
    Index(
        "ix_workflow_instance_queued",
        "workflow_id",
        "instance_id",
        "run_id",
        postgresql_where=text("end_time_ms IS NULL AND execution_id IS NULL AND scope = ''"),
    ),
    Index(
        "ix_workflow_instance_deadline",
        "partition",
        "deadline_at",
        postgresql_where=text("deadline_at IS NOT NULL AND end_time_ms IS NULL"),
    ),
    postgresql_with=_HOT,
)

step_attempt = Table(
    "step_attempt",
    metadata,
    Column("partition", SmallInteger, nullable=False),
    Column("run_uid", Uuid, nullable=False),
    Column("step_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column(
        "step_seq",
        Integer,
        nullable=False,
        comment="step_instance_id: order of creation within the run, from 1",
    ),
    Column("step_uuid", Uuid, nullable=False),
    # engine's columns: only the owner of the partition writes them
    Column("status", Text, nullable=False),
    Column("times", JSON, nullable=False, comment="StepStatus to epoch ms, as far as the engine has seen"),
    Column("step_type", Text, nullable=False),
    Column("error_retries", SmallInteger, nullable=False, server_default="0"),
    Column("platform_retries", SmallInteger, nullable=False, server_default="0"),
    Column("timeout_retries", SmallInteger, nullable=False, server_default="0"),
    Column("params", JSON, comment="evaluated step params: name to Parameter"),
    Column("edges", JSON, comment="evaluated conditions of outgoing edges: step id to boolean; null: all true"),
    Column("runtime", JSON, comment="foreach: counters of its iterations (constant size)"),
    Column("intent", Text, comment="the status the engine wants the live attempt to end with"),
    Column("timeline", JSON),
    Column("message", Text, comment="why it failed"),
    Column("outputs", JSON, comment="output parameters, as reported: name to value"),
    # the dispatch columns: change only by guarded UPDATE, never cached by the engine (DESIGN section 3)
    Column("dispatch", Text, comment="null: the engine itself runs the step"),
    Column("queue", Text),
    Column(
        "backend_keys",
        ARRAY(Text),
        comment="what a worker must serve to run it: type, type:image=, type:step=",
    ),
    Column("task", JSON, comment="what the worker needs to know"),
    Column("timeout_ms", BigInteger),
    Column("queued_at", _at),
    Column("worker", Uuid, comment="process.id"),
    Column("token", Integer, nullable=False, server_default="0", comment="+1 at every claim: the attempt's fence"),
    Column("claim_id", Uuid),
    Column("claimed_at", _at),
    Column("reported_at", _at),
    Column(
        "attachable",
        Boolean,
        nullable=False,
        server_default="false",
        comment="the claiming worker's type can attach",
    ),
    Column("deadline_at", _at, comment="set by the claim: claimed_at + timeout_ms"),
    Column("cancel_requested_at", _at),
    Column("external_handle", JSON, comment="of the job outside, for attach"),
    Column("report", JSON, comment="the report as it came; also a late one, which changes nothing"),
    PrimaryKeyConstraint("partition", "run_uid", "step_id", "attempt"),
    CheckConstraint("dispatch IN ('READY','QUEUED','CLAIMED','REPORTED','REVOKED','LOST')", name="dispatch_known"),
    CheckConstraint("dispatch IS NULL OR (queue IS NOT NULL AND task IS NOT NULL)", name="dispatched_has_task"),
    CheckConstraint(
        "dispatch IS DISTINCT FROM 'CLAIMED' OR (worker IS NOT NULL AND claim_id IS NOT NULL AND token > 0)",
        name="claimed_has_worker",
    ),
    Index("ix_step_attempt_queued", "queue", "queued_at", postgresql_where=text("dispatch = 'QUEUED'")),
    Index("ix_step_attempt_ready", "partition", postgresql_where=text("dispatch = 'READY'")),
    Index("ix_step_attempt_claimed", "worker", postgresql_where=text("dispatch = 'CLAIMED'")),
    Index(
        "ix_step_attempt_deadline",
        "partition",
        "deadline_at",
        # deadline_at too, so that it never looks like a way to find attempts by their worker.
        postgresql_where=text("dispatch = 'CLAIMED' AND deadline_at IS NOT NULL"),
    ),
    postgresql_with=_HOT,
)

foreach_items = Table(
    "foreach_items",
    metadata,
    Column("partition", SmallInteger, nullable=False),
    Column("run_uid", Uuid, nullable=False),
    Column("step_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("chunk", Integer, nullable=False, comment="0-based; each holds the next 500 iterations"),
    Column("loop_values", JSON, nullable=False, comment="array of objects: loop param to value"),
    PrimaryKeyConstraint("partition", "run_uid", "step_id", "attempt", "chunk"),
)

step_log = Table(
    "step_log",
    metadata,
    Column("partition", SmallInteger, nullable=False),
    Column("run_uid", Uuid, nullable=False),
    Column("step_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("token", Integer, nullable=False),
    Column("seq", Integer, nullable=False, comment="order within the attempt and token"),
    Column("create_time_ms", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
    PrimaryKeyConstraint("partition", "run_uid", "step_id", "attempt", "token", "seq"),
)

# --- the engine's inbox, timers, dead letters, events ------------------------------------------------------

engine_inbox = Table(
    "engine_inbox",
    metadata,
    Column("partition", SmallInteger, nullable=False),
    Column(
        "class",
        SmallInteger,
        nullable=False,
        key="event_class",
        comment="0 result, 1 signal, 2 start, 3 workflow",
    ),
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("run_uid", Uuid),
    Column("workflow_id", Text, comment="for class 3: the aggregate @workflow:<id>"),
    Column("payload", JSON, nullable=False, comment="a model.events value"),
    PrimaryKeyConstraint("partition", "event_class", "id"),
    CheckConstraint("(run_uid IS NULL) = (workflow_id IS NOT NULL)", name="one_addressee"),
    CheckConstraint("(class = 3) = (workflow_id IS NOT NULL)", name="class_fits_addressee"),
    postgresql_with={
        "autovacuum_vacuum_scale_factor": "0",
        "autovacuum_vacuum_threshold": "2000",
        "autovacuum_vacuum_cost_delay": "0",
    },
)

engine_timer = Table(
    "engine_timer",
    metadata,
    Column("partition", SmallInteger, nullable=False),
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("run_uid", Uuid, nullable=False),
    Column("fire_at", _at, nullable=False),
    Column("payload", JSON, nullable=False, comment="the event to apply when it fires"),
    PrimaryKeyConstraint("partition", "id"),
    Index("ix_engine_timer_fire", "partition", "fire_at"),
    # For who asks when a step is tried again.
    Index("ix_engine_timer_run", "partition", "run_uid"),
)

engine_dead_letter = Table(
    "engine_dead_letter",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("partition", SmallInteger, nullable=False),
    Column("class", SmallInteger, nullable=False, key="event_class"),
    Column("inbox_id", BigInteger, nullable=False, comment="keeps the order among the events of a run"),
    Column("run_uid", Uuid),
    Column("workflow_id", Text),
    Column("payload", JSON, nullable=False),
    Column("reason", Text, nullable=False),
    Column("create_time_ms", BigInteger, nullable=False),
    Index(None, "run_uid"),
)

#: Every state change, for the outside; CACHE 1, so that ids grow in the order in which they are taken.
_event_log_id = Sequence("event_log_id_seq", metadata=metadata, cache=1)

event_log = Table(
    "event_log",
    metadata,
    Column("partition", SmallInteger, nullable=False),
    Column("id", BigInteger, server_default=_event_log_id.next_value(), nullable=False),
    Column("xid", BigInteger, nullable=False, server_default=text("pg_current_xact_id()::text::bigint")),
    Column("create_time_ms", BigInteger, nullable=False),
    Column("event", JSON, nullable=False, comment="as published (specification 9.4)"),
    PrimaryKeyConstraint("partition", "id", "create_time_ms"),
    # One PostgreSQL partition a day (`storage.event_days`): what outlived its retention is dropped whole.
    postgresql_partition_by="RANGE (create_time_ms)",
)

# --- signals -----------------------------------------------------------------------------------------------

signal_name = Table(
    "signal_name",
    metadata,
    Column("name", Text, primary_key=True),
    Column(
        "last_seq",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="the lock of this row orders announcers",
    ),
    postgresql_with={"fillfactor": "50"},
)

signal_instance = Table(
    "signal_instance",
    metadata,
    Column("name", Text, nullable=False),
    Column("seq_id", BigInteger, nullable=False),
    Column("instance_id", Text, nullable=False, comment="request id, or name-based UUID of name and params"),
    Column("params", JSONB, nullable=False),
    Column("payload", JSONB, nullable=False, server_default=text("'{}'")),
    Column("request_time_ms", BigInteger, nullable=False),
    Column("create_time_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("name", "seq_id"),
    UniqueConstraint("name", "instance_id"),
)

signal_trigger = Table(
    "signal_trigger",
    metadata,
    Column("workflow_id", Text, nullable=False),
    Column("trigger_uuid", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("trigger", JSONB, nullable=False, comment="the definition of the trigger"),
    Column("next_seq", BigInteger, nullable=False, comment="the cursor: every signal before it has been matched"),
    Column("claimed_until", _at, comment="until then somebody evaluates what the next signal starts"),
    Column("drops", JSON, comment="signals that matched and started nothing: how many, and the latest"),
    PrimaryKeyConstraint("workflow_id", "trigger_uuid", "name"),
    # next_seq too: who is behind, and whether anybody is, are looked up, never scanned for.
    Index(None, "name", "next_seq"),
)

signal_pending = Table(
    "signal_pending",
    metadata,
    Column("name", Text, nullable=False),
    Column("seq_id", BigInteger, nullable=False),
    PrimaryKeyConstraint("name", "seq_id"),
    comment="signals that some cursor may not have passed; deleted in the transaction that exhausts them",
)
