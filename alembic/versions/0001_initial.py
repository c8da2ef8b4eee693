"""Create every table, and the 64 engine partitions that the installation keeps for life."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    # CACHE 1, so that ids grow in the order in which they are taken.
    op.execute("CREATE SEQUENCE event_log_id_seq AS bigint CACHE 1")
    op.create_table(
        "engine_dead_letter",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("class", sa.SmallInteger(), nullable=False),
        sa.Column("inbox_id", sa.BigInteger(), nullable=False, comment="keeps the order among the events of a run"),
        sa.Column("run_uid", sa.Uuid(), nullable=True),
        sa.Column("workflow_id", sa.Text(), nullable=True),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("create_time_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_engine_dead_letter")),
    )
    op.create_index(op.f("ix_engine_dead_letter_run_uid"), "engine_dead_letter", ["run_uid"], unique=False)
    op.create_table(
        "engine_inbox",
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("class", sa.SmallInteger(), nullable=False, comment="0 result, 1 signal, 2 start, 3 workflow"),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_uid", sa.Uuid(), nullable=True),
        sa.Column("workflow_id", sa.Text(), nullable=True, comment="for class 3: the aggregate @workflow:<id>"),
        sa.Column("payload", sa.JSON(), nullable=False, comment="a model.events value"),
        sa.CheckConstraint(
            "(class = 3) = (workflow_id IS NOT NULL)", name=op.f("ck_engine_inbox_class_fits_addressee")
        ),
        sa.CheckConstraint("(run_uid IS NULL) = (workflow_id IS NOT NULL)", name=op.f("ck_engine_inbox_one_addressee")),
        sa.PrimaryKeyConstraint("partition", "class", "id", name=op.f("pk_engine_inbox")),
        postgresql_with={
            "autovacuum_vacuum_scale_factor": "0",
            "autovacuum_vacuum_threshold": "2000",
            "autovacuum_vacuum_cost_delay": "0",
        },
    )
    op.create_table(
        "engine_partition",
        sa.Column("partition", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "epoch", sa.BigInteger(), server_default="0", nullable=False, comment="+1 at every acquisition: the fence"
        ),
        sa.Column("owner", sa.Uuid(), nullable=True, comment="process.id of an engine; null when free"),
        sa.PrimaryKeyConstraint("partition", name=op.f("pk_engine_partition")),
        postgresql_with={"fillfactor": "30"},
    )
    op.create_table(
        "engine_timer",
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_uid", sa.Uuid(), nullable=False),
        sa.Column("fire_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False, comment="the event to apply when it fires"),
        sa.PrimaryKeyConstraint("partition", "id", name=op.f("pk_engine_timer")),
    )
    op.create_index("ix_engine_timer_fire", "engine_timer", ["partition", "fire_at"], unique=False)
    op.create_table(
        "event_log",
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), server_default=sa.text("nextval('event_log_id_seq')"), nullable=False),
        sa.Column("xid", sa.BigInteger(), server_default=sa.text("pg_current_xact_id()::text::bigint"), nullable=False),
        sa.Column("create_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.JSON(), nullable=False, comment="as published (specification 9.4)"),
        sa.PrimaryKeyConstraint("partition", "id", "create_time_ms", name=op.f("pk_event_log")),
        postgresql_partition_by="RANGE (create_time_ms)",
    )
    op.create_table(
        "foreach_items",
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("run_uid", sa.Uuid(), nullable=False),
        sa.Column("step_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("chunk", sa.Integer(), nullable=False, comment="0-based; each holds the next 500 iterations"),
        sa.Column("loop_values", sa.JSON(), nullable=False, comment="array of objects: loop param to value"),
        sa.PrimaryKeyConstraint("partition", "run_uid", "step_id", "attempt", "chunk", name=op.f("pk_foreach_items")),
    )
    op.create_table(
        "process",
        sa.Column("id", sa.Uuid(), nullable=False, comment="a new id for every start of every process"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "beat_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="the database's clock",
        ),
        sa.Column("lease_ms", sa.Integer(), nullable=False, comment="expired when beat_at is older than this"),
        sa.Column(
            "info",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="worker: queues, step_types, backend_keys, slots, busy; engine: backlog per queue, partitions",
        ),
        sa.CheckConstraint("kind IN ('engine', 'worker', 'signal', 'api')", name=op.f("ck_process_kind_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_process")),
    )
    op.create_table(
        "signal_instance",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seq_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "instance_id", sa.Text(), nullable=False, comment="request id, or name-based UUID of name and params"
        ),
        sa.Column("params", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("request_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("create_time_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "seq_id", name=op.f("pk_signal_instance")),
        sa.UniqueConstraint("name", "instance_id", name=op.f("uq_signal_instance_name_instance_id")),
    )
    op.create_table(
        "signal_name",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "last_seq",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="the lock of this row orders announcers",
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_signal_name")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "signal_pending",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seq_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "seq_id", name=op.f("pk_signal_pending")),
        comment="signals that some cursor may not have passed; deleted in the transaction that exhausts them",
    )
    op.create_table(
        "signal_trigger",
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("trigger_uuid", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "trigger", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="the definition of the trigger"
        ),
        sa.Column(
            "next_seq", sa.BigInteger(), nullable=False, comment="the cursor: every signal before it has been matched"
        ),
        sa.PrimaryKeyConstraint("workflow_id", "trigger_uuid", "name", name=op.f("pk_signal_trigger")),
    )
    op.create_index(op.f("ix_signal_trigger_name_next_seq"), "signal_trigger", ["name", "next_seq"], unique=False)
    op.create_table(
        "start_request",
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("run_uid", sa.Uuid(), nullable=False),
        sa.Column("create_time_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workflow_id", "request_id", name=op.f("pk_start_request")),
        comment="a repeated request id starts nothing (promise 1); remembered for 30 days",
    )
    op.create_table(
        "step_attempt",
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("run_uid", sa.Uuid(), nullable=False),
        sa.Column("step_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column(
            "step_seq",
            sa.Integer(),
            nullable=False,
            comment="step_instance_id: order of creation within the run, from 1",
        ),
        sa.Column("step_uuid", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("times", sa.JSON(), nullable=False, comment="StepStatus to epoch ms, as far as the engine has seen"),
        sa.Column("step_type", sa.Text(), nullable=False),
        sa.Column("error_retries", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("platform_retries", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("timeout_retries", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("params", sa.JSON(), nullable=True, comment="evaluated step params: name to Parameter"),
        sa.Column(
            "edges",
            sa.JSON(),
            nullable=True,
            comment="evaluated conditions of outgoing edges: step id to boolean; null: all true",
        ),
        sa.Column("runtime", sa.JSON(), nullable=True, comment="foreach: counters of its iterations (constant size)"),
        sa.Column(
            "intent", sa.Text(), nullable=True, comment="the status the engine wants the live attempt to end with"
        ),
        sa.Column("timeline", sa.JSON(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True, comment="why it failed"),
        sa.Column("outputs", sa.JSON(), nullable=True, comment="output parameters, as reported: name to value"),
        sa.Column("dispatch", sa.Text(), nullable=True, comment="null: the engine itself runs the step"),
        sa.Column("queue", sa.Text(), nullable=True),
        sa.Column(
            "backend_keys",
            postgresql.ARRAY(sa.Text()),
            nullable=True,
            comment="what a worker must serve to run it: type, type:image=, type:step=",
        ),
        sa.Column("task", sa.JSON(), nullable=True, comment="what the worker needs to know"),
        sa.Column("timeout_ms", sa.BigInteger(), nullable=True),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("worker", sa.Uuid(), nullable=True, comment="process.id"),
        sa.Column(
            "token", sa.Integer(), server_default="0", nullable=False, comment="+1 at every claim: the attempt's fence"
        ),
        sa.Column("claim_id", sa.Uuid(), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "attachable",
            sa.Boolean(),
            server_default="false",
            nullable=False,
            comment="the claiming worker's type can attach",
        ),
        sa.Column(
            "deadline_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="set by the claim: claimed_at + timeout_ms",
        ),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("external_handle", sa.JSON(), nullable=True, comment="of the job outside, for attach"),
        sa.Column(
            "report", sa.JSON(), nullable=True, comment="the report as it came; also a late one, which changes nothing"
        ),
        sa.CheckConstraint(
            "dispatch IN ('READY','QUEUED','CLAIMED','REPORTED','REVOKED','LOST')",
            name=op.f("ck_step_attempt_dispatch_known"),
        ),
        sa.CheckConstraint(
            "dispatch IS DISTINCT FROM 'CLAIMED' OR (worker IS NOT NULL AND claim_id IS NOT NULL AND token > 0)",
            name=op.f("ck_step_attempt_claimed_has_worker"),
        ),
        sa.CheckConstraint(
            "dispatch IS NULL OR (queue IS NOT NULL AND task IS NOT NULL)",
            name=op.f("ck_step_attempt_dispatched_has_task"),
        ),
        sa.PrimaryKeyConstraint("partition", "run_uid", "step_id", "attempt", name=op.f("pk_step_attempt")),
        postgresql_with={
            "fillfactor": "70",
            "autovacuum_vacuum_scale_factor": "0.02",
            "autovacuum_vacuum_cost_delay": "0",
        },
    )
    op.create_index(
        "ix_step_attempt_claimed",
        "step_attempt",
        ["worker"],
        unique=False,
        postgresql_where=sa.text("dispatch = 'CLAIMED'"),
    )
    op.create_index(
        "ix_step_attempt_deadline",
        "step_attempt",
        ["partition", "deadline_at"],
        unique=False,
        postgresql_where=sa.text("dispatch = 'CLAIMED' AND deadline_at IS NOT NULL"),
    )
    op.create_index(
        "ix_step_attempt_queued",
        "step_attempt",
        ["queue", "queued_at"],
        unique=False,
        postgresql_where=sa.text("dispatch = 'QUEUED'"),
    )
    op.create_index(
        "ix_step_attempt_ready",
        "step_attempt",
        ["partition"],
        unique=False,
        postgresql_where=sa.text("dispatch = 'READY'"),
    )
    op.create_table(
        "step_log",
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("run_uid", sa.Uuid(), nullable=False),
        sa.Column("step_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False, comment="order within the attempt and token"),
        sa.Column("create_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "run_uid", "step_id", "attempt", "token", "seq", name=op.f("pk_step_log")),
    )
    op.create_table(
        "step_type",
        sa.Column("name", sa.Text(), nullable=False, comment="every step type that any worker ever registered"),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_step_type")),
    )
    op.create_table(
        "workflow",
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("internal_id", sa.Uuid(), nullable=False),
        sa.Column("active_version", sa.BigInteger(), nullable=True, comment="null: deactivated"),
        sa.Column("latest_version", sa.BigInteger(), nullable=False),
        sa.Column("last_instance_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("run_strategy", sa.Text(), server_default="SEQUENTIAL", nullable=False),
        sa.Column("workflow_concurrency", sa.Integer(), server_default="1", nullable=False),
        sa.Column(
            "properties",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="the current properties snapshot",
        ),
        sa.Column("create_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("modify_time_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("active_version <= latest_version", name=op.f("ck_workflow_active_exists")),
        sa.CheckConstraint("workflow_concurrency BETWEEN 1 AND 1000", name=op.f("ck_workflow_concurrency_range")),
        sa.PrimaryKeyConstraint("workflow_id", name=op.f("pk_workflow")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "workflow_instance",
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("run_uid", sa.Uuid(), nullable=False, comment="the internal key of one run of one instance"),
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("instance_id", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "row_version",
            sa.BigInteger(),
            server_default="1",
            nullable=False,
            comment="every UPDATE carries the one it read",
        ),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column(
            "execution_id",
            sa.Uuid(),
            nullable=True,
            comment="set at admission: CREATED with one is about to run, without one is queued",
        ),
        sa.Column("workflow_uuid", sa.Text(), nullable=False, comment="the request id"),
        sa.Column("workflow_version", sa.BigInteger(), nullable=False),
        sa.Column("definition_uid", sa.Uuid(), nullable=False),
        sa.Column(
            "scope", sa.Text(), server_default="", nullable=False, comment="foreach step ids joined by /; '' for a root"
        ),
        sa.Column("correlation_id", sa.Text(), nullable=False),
        sa.Column("depth", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("root_workflow_id", sa.Text(), nullable=False, comment="the tenant of fair dispatch"),
        sa.Column("parent_partition", sa.SmallInteger(), nullable=True),
        sa.Column("parent_run_uid", sa.Uuid(), nullable=True),
        sa.Column("parent_step_id", sa.Text(), nullable=True),
        sa.Column("parent_attempt", sa.Integer(), nullable=True),
        sa.Column(
            "loop_values",
            sa.JSON(),
            nullable=True,
            comment="of a foreach iteration; its other params are the parent's, by reference",
        ),
        sa.Column("initiator", sa.JSON(), nullable=False),
        sa.Column(
            "params",
            sa.JSON(),
            nullable=True,
            comment="evaluated workflow params of a root: name to Parameter; null for an iteration",
        ),
        sa.Column("run_config", sa.JSON(), nullable=True, comment="runtime_tags, run_params as posted"),
        sa.Column("request_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("create_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("start_time_ms", sa.BigInteger(), nullable=True),
        sa.Column("end_time_ms", sa.BigInteger(), nullable=True),
        sa.Column("modify_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True, comment="start + timeout"),
        sa.Column(
            "stop_target",
            sa.Text(),
            nullable=True,
            comment="STOPPED, FAILED or TIMED_OUT once somebody asked the run to end so",
        ),
        sa.Column(
            "quarantine_reason",
            sa.Text(),
            nullable=True,
            comment="set when an event of the run went to the dead letters",
        ),
        sa.Column("timeline", sa.JSON(), nullable=True, comment="the last 32 events (specification 5.5)"),
        sa.CheckConstraint(
            "(end_time_ms IS NULL) = (status IN ('CREATED','IN_PROGRESS','PAUSED'))",
            name=op.f("ck_workflow_instance_ended_exactly_when_terminal"),
        ),
        sa.CheckConstraint(
            "(parent_run_uid IS NULL) = (scope = '')", name=op.f("ck_workflow_instance_iteration_has_parent")
        ),
        sa.CheckConstraint(
            "status IN ('CREATED','IN_PROGRESS','PAUSED','SUCCEEDED','FAILED','STOPPED','TIMED_OUT')",
            name=op.f("ck_workflow_instance_status_known"),
        ),
        sa.PrimaryKeyConstraint("partition", "run_uid", name=op.f("pk_workflow_instance")),
        sa.UniqueConstraint(
            "workflow_id", "instance_id", "run_id", name=op.f("uq_workflow_instance_workflow_id_instance_id_run_id")
        ),
        postgresql_with={
            "fillfactor": "70",
            "autovacuum_vacuum_scale_factor": "0.02",
            "autovacuum_vacuum_cost_delay": "0",
        },
    )
    op.create_index(
        "ix_workflow_instance_deadline",
        "workflow_instance",
        ["partition", "deadline_at"],
        unique=False,
        postgresql_where=sa.text("deadline_at IS NOT NULL AND end_time_ms IS NULL"),
    )
    op.create_index(
        "ix_workflow_instance_live",
        "workflow_instance",
        ["workflow_id", "instance_id"],
        unique=False,
        postgresql_where=sa.text("end_time_ms IS NULL"),
    )
    op.create_index(
        "ix_workflow_instance_queued",
        "workflow_instance",
        ["workflow_id", "instance_id", "run_id"],
        unique=False,
        postgresql_where=sa.text("end_time_ms IS NULL AND execution_id IS NULL AND scope = ''"),
    )
    op.create_index(
        "ix_workflow_instance_running",
        "workflow_instance",
        ["workflow_id"],
        unique=False,
        postgresql_where=sa.text("end_time_ms IS NULL AND execution_id IS NOT NULL AND scope = ''"),
    )
    op.create_table(
        "workflow_timeline",
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("log", sa.Text(), nullable=False),
        sa.Column("create_time_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workflow_id", "id", name=op.f("pk_workflow_timeline")),
    )
    op.create_table(
        "workflow_version",
        sa.Column("definition_uid", sa.Uuid(), nullable=False, comment="immutable: caches key by it"),
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("workflow_version", sa.BigInteger(), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False, comment="native form, canonical; what the engine compiles"),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("activate_time_ms", sa.BigInteger(), nullable=True),
        sa.Column("activated_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("definition_uid", name=op.f("pk_workflow_version")),
        sa.UniqueConstraint(
            "workflow_id", "workflow_version", name=op.f("uq_workflow_version_workflow_id_workflow_version")
        ),
    )
    # What no day of `storage.event_days` takes.
    op.execute("CREATE TABLE event_log_default PARTITION OF event_log DEFAULT")
    op.execute("INSERT INTO engine_partition (partition) SELECT generate_series(0, 63)")


def downgrade() -> None:
    op.drop_table("workflow_version")
    op.drop_table("workflow_timeline")
    op.drop_index(
        "ix_workflow_instance_running",
        table_name="workflow_instance",
        postgresql_where=sa.text("end_time_ms IS NULL AND execution_id IS NOT NULL AND scope = ''"),
    )
    op.drop_index(
        "ix_workflow_instance_queued",
        table_name="workflow_instance",
        postgresql_where=sa.text("end_time_ms IS NULL AND execution_id IS NULL AND scope = ''"),
    )
    op.drop_index(
        "ix_workflow_instance_live", table_name="workflow_instance", postgresql_where=sa.text("end_time_ms IS NULL")
    )
    op.drop_index(
        "ix_workflow_instance_deadline",
        table_name="workflow_instance",
        postgresql_where=sa.text("deadline_at IS NOT NULL AND end_time_ms IS NULL"),
    )
    op.drop_table("workflow_instance")
    op.drop_table("workflow")
    op.drop_table("step_type")
    op.drop_table("step_log")
    op.drop_index("ix_step_attempt_ready", table_name="step_attempt", postgresql_where=sa.text("dispatch = 'READY'"))
    op.drop_index("ix_step_attempt_queued", table_name="step_attempt", postgresql_where=sa.text("dispatch = 'QUEUED'"))
    op.drop_index(
        "ix_step_attempt_deadline",
        table_name="step_attempt",
        postgresql_where=sa.text("dispatch = 'CLAIMED' AND deadline_at IS NOT NULL"),
    )
    op.drop_index(
        "ix_step_attempt_claimed", table_name="step_attempt", postgresql_where=sa.text("dispatch = 'CLAIMED'")
    )
    op.drop_table("step_attempt")
    op.drop_table("start_request")
    op.drop_index(op.f("ix_signal_trigger_name_next_seq"), table_name="signal_trigger")
    op.drop_table("signal_trigger")
    op.drop_table("signal_pending")
    op.drop_table("signal_name")
    op.drop_table("signal_instance")
    op.drop_table("process")
    op.drop_table("foreach_items")
    op.drop_table("event_log")
    op.drop_index("ix_engine_timer_fire", table_name="engine_timer")
    op.drop_table("engine_timer")
    op.drop_table("engine_partition")
    op.drop_table("engine_inbox")
    op.drop_index(op.f("ix_engine_dead_letter_run_uid"), table_name="engine_dead_letter")
    op.drop_table("engine_dead_letter")
    op.execute("DROP SEQUENCE IF EXISTS event_log_id_seq")
