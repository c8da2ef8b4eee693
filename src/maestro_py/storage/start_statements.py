"""The statements that start and dequeue runs, each of which looks its rows up by key (DESIGN section 10)."""

from __future__ import annotations

from typing import Final

#: Returns the workflow rows, locked: of two who start runs of a workflow the second waits here.
LOCK: Final = """
SELECT workflow_id, active_version, latest_version, last_instance_id, run_strategy, workflow_concurrency,
       coalesce((properties->>'signal_trigger_disabled')::boolean, false),
       coalesce((properties->>'time_trigger_disabled')::boolean, false)
FROM workflow WHERE workflow_id = ANY(%s) ORDER BY workflow_id FOR NO KEY UPDATE
"""

#: Returns what stands of each workflow.  A statement of its own: it must see what committed before the lock was ours.
STANDING: Final = """
SELECT w.id,
       (SELECT count(*) FROM (SELECT 1 FROM workflow_instance i
         WHERE i.workflow_id = w.id AND i.end_time_ms IS NULL AND i.execution_id IS NOT NULL AND i.scope = ''
         LIMIT 1000) AS held),
       EXISTS (SELECT 1 FROM workflow_instance i
         WHERE i.workflow_id = w.id AND i.end_time_ms IS NULL AND i.execution_id IS NULL AND i.scope = ''),
       (SELECT i.workflow_id || ':' || i.instance_id || ':' || i.run_id FROM workflow_instance i
         WHERE i.workflow_id = w.id AND i.end_time_ms IS NULL AND i.execution_id IS NOT NULL AND i.scope = ''
         LIMIT 1)
FROM unnest(%s::text[]) AS w(id)
"""

#: Returns the request ids that started a run before, with that run.
KNOWN: Final = """
SELECT s.workflow_id, s.request_id, s.run_uid
FROM unnest(%s::text[], %s::text[]) AS asked(workflow_id, request_id)
CROSS JOIN LATERAL (SELECT * FROM start_request r WHERE r.workflow_id = asked.workflow_id
                    AND r.request_id = asked.request_id AND r.create_time_ms > %s) AS s
"""

#: Returns the ids of runs that an earlier try of ours stored, its COMMIT unknown.
STORED: Final = """
SELECT i.run_uid, i.workflow_version, i.instance_id, i.run_id, i.partition, i.status
FROM unnest(%s::uuid[]) AS u(run_uid)
CROSS JOIN engine_partition p
CROSS JOIN LATERAL (SELECT * FROM workflow_instance w
                    WHERE w.partition = p.partition AND w.run_uid = u.run_uid) AS i
"""

#: Writes everything that makes the runs exist, in one statement.
WRITE: Final = """
WITH r AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%s::json) AS r(
        partition smallint, run_uid uuid, workflow_id text, instance_id bigint, status text, execution_id uuid,
        workflow_uuid text, workflow_version bigint, definition_uid uuid, correlation_id text, initiator json,
        params json, run_config json, request_time_ms bigint, create_time_ms bigint, end_time_ms bigint,
        timeline json, event json)
), counted AS (
    UPDATE workflow SET last_instance_id = (%s::jsonb->>workflow_id)::bigint WHERE workflow_id = ANY(%s)
), remembered AS (
    INSERT INTO start_request (workflow_id, request_id, run_uid, create_time_ms)
    SELECT workflow_id, workflow_uuid, run_uid, create_time_ms FROM r
    ON CONFLICT (workflow_id, request_id)
    DO UPDATE SET run_uid = excluded.run_uid, create_time_ms = excluded.create_time_ms
), told AS (
    INSERT INTO engine_inbox (partition, class, run_uid, payload)
    SELECT partition, 2, run_uid, %s::json FROM r WHERE execution_id IS NOT NULL
), published AS (
    INSERT INTO event_log (partition, create_time_ms, event) SELECT partition, create_time_ms, event FROM r
)
INSERT INTO workflow_instance (partition, run_uid, workflow_id, instance_id, run_id, status, execution_id,
    workflow_uuid, workflow_version, definition_uid, correlation_id, root_workflow_id, initiator, params, run_config,
    request_time_ms, create_time_ms, end_time_ms, modify_time_ms, timeline)
SELECT partition, run_uid, workflow_id, instance_id, 1, status, execution_id, workflow_uuid, workflow_version,
    definition_uid, correlation_id, workflow_id, initiator, params, run_config, request_time_ms, create_time_ms,
    end_time_ms, create_time_ms, timeline
FROM r
"""

#: Marks the oldest queued runs as admitted, tells the engine of each, and returns their workflows and partitions; no
#: partition of one that somebody has stopped meanwhile, so that its slot is for another.
DEQUEUE: Final = """
WITH oldest AS (
    SELECT w.id, c.partition, c.run_uid
    FROM unnest(%s::text[], %s::integer[]) AS w(id, free)
    CROSS JOIN LATERAL (
        SELECT i.partition, i.run_uid FROM workflow_instance i
        WHERE i.workflow_id = w.id AND i.end_time_ms IS NULL AND i.execution_id IS NULL AND i.scope = ''
        ORDER BY i.instance_id, i.run_id LIMIT w.free) AS c
), locked AS (
    -- In the order of the key, as everybody locks instances.
    SELECT i.partition, i.run_uid FROM oldest o
    JOIN workflow_instance i ON i.partition = o.partition AND i.run_uid = o.run_uid
    ORDER BY i.partition, i.run_uid FOR NO KEY UPDATE OF i
), admitted AS (
    UPDATE workflow_instance i
    SET execution_id = gen_random_uuid(), row_version = i.row_version + 1, modify_time_ms = %s
    FROM locked l
    WHERE i.partition = l.partition AND i.run_uid = l.run_uid
      -- Somebody may have stopped it meanwhile.
      AND i.execution_id IS NULL AND i.end_time_ms IS NULL
    RETURNING i.partition, i.run_uid
), told AS (
    INSERT INTO engine_inbox (partition, class, run_uid, payload)
    SELECT partition, 2, run_uid, %s::json FROM admitted
)
SELECT o.id, a.partition FROM oldest o LEFT JOIN admitted a ON a.partition = o.partition AND a.run_uid = o.run_uid
"""
