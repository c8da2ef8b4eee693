"""
The statements of an engine's batch, each of which looks its rows up by key (DESIGN section 10).

Rows come in as one JSON document a statement.  A statement that must change as many rows as it was given divides by
zero otherwise, so that all of a batch, its COMMIT included, goes to the server in one round trip.
"""

from __future__ import annotations

from functools import cache
from typing import Final, LiteralString

#: Delete and return the oldest events of some partitions; a number of each class, so that no class starves another.
TAKE_EVENTS: Final = """
WITH taken AS MATERIALIZED (
    SELECT i.partition, i.class, i.id
    FROM unnest(%(partitions)s::smallint[]) AS p (partition)
    CROSS JOIN unnest(%(classes)s::smallint[], %(limits)s::int[]) AS c (class, most)
    CROSS JOIN LATERAL (
        SELECT e.partition, e.class, e.id FROM engine_inbox e
        WHERE e.partition = p.partition AND e.class = c.class AND (e.run_uid <> ALL (%(excluded)s::uuid[])) IS NOT FALSE
          AND (%(only)s::uuid[] IS NULL OR e.run_uid = ANY (%(only)s::uuid[]))
        ORDER BY e.id LIMIT c.most
    ) i
)
DELETE FROM engine_inbox e USING taken t
WHERE e.partition = t.partition AND e.class = t.class AND e.id = t.id
RETURNING e.partition, e.class, e.id, e.run_uid, e.workflow_id, e.payload::text
"""

#: Delete and return the timers that are due.
TAKE_TIMERS: Final = """
WITH due AS MATERIALIZED (
    SELECT t.partition, t.id
    FROM unnest(%(partitions)s::smallint[]) AS p (partition)
    CROSS JOIN LATERAL (
        SELECT e.partition, e.id FROM engine_timer e
        WHERE e.partition = p.partition AND e.fire_at <= to_timestamp(%(now_ms)s / 1000.0)
          AND e.run_uid <> ALL (%(excluded)s::uuid[])
          AND (%(only)s::uuid[] IS NULL OR e.run_uid = ANY (%(only)s::uuid[]))
        ORDER BY e.fire_at LIMIT %(limit)s
    ) t
)
DELETE FROM engine_timer e USING due d
WHERE e.partition = d.partition AND e.id = d.id
RETURNING e.partition, 0::smallint, 0::bigint, e.run_uid, NULL::text, e.payload::text
"""

LOAD_RUNS: Final = """
SELECT r.partition, r.run_uid, r.row_version, r.workflow_id, r.instance_id, r.run_id, r.status, r.workflow_version,
       r.definition_uid, r.scope, r.correlation_id, r.depth, r.root_workflow_id, r.parent_partition, r.parent_run_uid,
       r.parent_step_id, r.parent_attempt, r.loop_values::text, r.initiator::text, r.params::text, r.start_time_ms,
       r.end_time_ms, (extract(epoch FROM r.deadline_at) * 1000)::bigint, r.stop_target, r.quarantine_reason,
       r.timeline::text
FROM unnest(%(partitions)s::smallint[], %(runs)s::uuid[]) AS k (partition, run_uid)
JOIN LATERAL (
    SELECT * FROM workflow_instance w WHERE w.partition = k.partition AND w.run_uid = k.run_uid
) r ON true
"""

#: The newest attempt of each step of some runs; with what it reported only if that came to be of its parameters.
LOAD_ATTEMPTS: Final = """
SELECT a.partition, a.run_uid, a.step_id, a.attempt, a.step_seq, a.status, a.times::text, a.error_retries,
       a.platform_retries, a.timeout_retries, a.params::text, a.edges::text, a.runtime::text, a.intent, a.message,
       CASE WHEN a.status = 'SUCCEEDED' OR (a.status = 'FINISHING' AND a.intent = 'SUCCEEDED') THEN a.outputs::text END,
       a.dispatch IS NOT NULL
FROM unnest(%(partitions)s::smallint[], %(runs)s::uuid[]) AS k (partition, run_uid)
JOIN LATERAL (
    SELECT DISTINCT ON (s.step_id) s.* FROM step_attempt s
    WHERE s.partition = k.partition AND s.run_uid = k.run_uid
    ORDER BY s.step_id, s.attempt DESC
) a ON true
"""

LOAD_OUTER: Final = """
SELECT a.partition, a.run_uid, a.step_id, a.attempt, a.task::text
FROM unnest(%(partitions)s::smallint[], %(runs)s::uuid[], %(steps)s::text[], %(attempts)s::int[])
     AS k (partition, run_uid, step_id, attempt)
JOIN LATERAL (
    SELECT * FROM step_attempt s
    WHERE s.partition = k.partition AND s.run_uid = k.run_uid AND s.step_id = k.step_id AND s.attempt = k.attempt
) a ON true
"""

LOAD_ITEMS: Final = """
SELECT i.chunk, i.loop_values::text
FROM unnest(%(chunks)s::int[]) AS k (chunk)
JOIN LATERAL (
    SELECT f.chunk, f.loop_values FROM foreach_items f
    WHERE f.partition = %(partition)s AND f.run_uid = %(run_uid)s AND f.step_id = %(step_id)s
      AND f.attempt = %(attempt)s AND f.chunk = k.chunk
) i ON true
"""

#: The values of one output in some iterations of a foreach, joined by commas if each is a scalar and all are not larger
#: than allowed; their size; and of each kind of value the first iteration that has it, with the end of its step.
LOOP_RESULTS: Final = """
WITH found AS MATERIALIZED (
    SELECT n.iteration, s.status, v.value::text AS value,
           CASE WHEN v.value IS NULL THEN 'absent'
                WHEN json_typeof(v.value) <> 'number' THEN json_typeof(v.value)
                WHEN v.value::text ~ '[.eE]' THEN 'decimal' ELSE 'whole' END AS kind
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n (iteration)
    LEFT JOIN LATERAL (
        SELECT w.partition, w.run_uid FROM workflow_instance w
        WHERE w.workflow_id = %(workflow_id)s AND w.instance_id = n.iteration
        ORDER BY w.run_id DESC LIMIT 1
    ) r ON true
    LEFT JOIN LATERAL (
        SELECT a.status, a.outputs, a.params FROM step_attempt a
        WHERE a.partition = r.partition AND a.run_uid = r.run_uid AND a.step_id = %(step_id)s
        ORDER BY a.attempt DESC LIMIT 1
    ) s ON true
    LEFT JOIN LATERAL (
        SELECT coalesce(CASE WHEN s.status = 'SUCCEEDED' THEN s.outputs->%(name)s END,
                        s.params->%(name)s->'evaluated_result') AS value
        WHERE s.status IN ('SUCCEEDED', 'SKIPPED', 'COMPLETED_WITH_ERROR')
    ) v ON true
), kinds AS MATERIALIZED (
    SELECT DISTINCT ON (kind) kind, iteration, status FROM found ORDER BY kind, iteration
), size AS MATERIALIZED (
    SELECT coalesce(sum(octet_length(value) + 1), 0)::bigint AS bytes FROM found
)
SELECT CASE WHEN size.bytes <= %(bytes)s
             AND NOT EXISTS (SELECT 1 FROM kinds WHERE kind IN ('absent', 'null', 'object', 'array'))
       THEN (SELECT string_agg(value, ',' ORDER BY iteration) FROM found) END,
       size.bytes, (SELECT json_agg(json_build_array(kind, iteration, status)) FROM kinds)::text
FROM size
"""

SEND: Final = """
INSERT INTO engine_inbox (partition, class, run_uid, payload)
VALUES (%(partition)s, %(class)s, %(run_uid)s, %(payload)s::json)
"""

#: Tell a chunk of the live iterations of a foreach something.
STOP_CHUNK: Final = """
WITH live AS MATERIALIZED (
    SELECT partition, run_uid, instance_id FROM workflow_instance
    WHERE workflow_id = %(workflow_id)s AND instance_id > %(after)s AND end_time_ms IS NULL
    ORDER BY instance_id LIMIT %(limit)s
), told AS (
    INSERT INTO engine_inbox (partition, class, run_uid, payload)
    SELECT partition, 1, run_uid, %(payload)s::json FROM live
)
SELECT partition, instance_id FROM live ORDER BY instance_id
"""

#: What a batch writes to most tables, as parts that `save_statement` joins into one statement.  The first three must
#: change as many rows as they are given.
SAVE_PARTS: Final[dict[str, LiteralString]] = {
    "runs": """
    UPDATE workflow_instance w
    SET row_version = w.row_version + 1, status = r.s, start_time_ms = r.b, end_time_ms = r.e,
        deadline_at = to_timestamp(r.d / 1000.0), stop_target = r.g, quarantine_reason = r.q, timeline = r.t,
        modify_time_ms = r.m
    FROM json_to_recordset(%(runs)s::json)
         AS r (p smallint, u uuid, v bigint, s text, b bigint, e bigint, d bigint, g text, q text, t json, m bigint)
    WHERE w.partition = r.p AND w.run_uid = r.u AND w.row_version = r.v
    RETURNING 1
""",
    "attempts": """
    UPDATE step_attempt a
    SET status = r.s, times = r.t, edges = r.e, runtime = r.r, intent = r.w, message = r.m
    FROM json_to_recordset(%(attempts)s::json)
         AS r (p smallint, u uuid, i text, n int, s text, t json, e json, r json, w text, m text)
    WHERE a.partition = r.p AND a.run_uid = r.u AND a.step_id = r.i AND a.attempt = r.n
    RETURNING 1
""",
    "evaluated": """
    UPDATE step_attempt a
    SET status = r.s, times = r.t, params = r.a, edges = r.e, runtime = r.r, intent = r.w, message = r.m,
        dispatch = r.d, queue = r.q, backend_keys = r.k, task = r.j, timeout_ms = r.l,
        queued_at = CASE WHEN r.d = 'QUEUED' THEN now() END
    FROM json_to_recordset(%(evaluated)s::json)
         AS r (p smallint, u uuid, i text, n int, s text, t json, a json, e json, r json, w text, m text, d text,
               q text, k text[], j json, l bigint)
    WHERE a.partition = r.p AND a.run_uid = r.u AND a.step_id = r.i AND a.attempt = r.n
    RETURNING 1
""",
    "new_attempts": """
    INSERT INTO step_attempt (partition, run_uid, step_id, attempt, step_seq, step_uuid, status, times, step_type,
                              error_retries, platform_retries, timeout_retries, params, edges, runtime, intent,
                              message, dispatch, queue, backend_keys, task, timeout_ms, queued_at)
    SELECT r.p, r.u, r.i, r.n, r.o, r.x, r.s, r.t, r.y, r.re, r.rp, r.rt, r.a, r.e, r.r, r.w, r.m, r.d, r.q, r.k, r.j,
           r.l, CASE WHEN r.d = 'QUEUED' THEN now() END
    FROM json_to_recordset(%(new_attempts)s::json)
         AS r (p smallint, u uuid, i text, n int, o int, x uuid, s text, t json, y text, re smallint, rp smallint,
               rt smallint, a json, e json, r json, w text, m text, d text, q text, k text[], j json, l bigint)
""",
    "timers": """
    INSERT INTO engine_timer (partition, run_uid, fire_at, payload)
    SELECT r.p, r.u, to_timestamp(r.f / 1000.0), r.e FROM json_to_recordset(%(timers)s::json)
           AS r (p smallint, u uuid, f bigint, e json)
""",
    "inbox": """
    INSERT INTO engine_inbox (partition, class, run_uid, workflow_id, payload)
    SELECT r.p, r.c, r.u, r.w, r.e FROM json_to_recordset(%(inbox)s::json)
           AS r (p smallint, c smallint, u uuid, w text, e json)
""",
    "events": """
    INSERT INTO event_log (partition, create_time_ms, event)
    SELECT r.p, r.m, r.e FROM json_to_recordset(%(events)s::json) AS r (p smallint, m bigint, e json)
""",
}


@cache
def save_statement(parts: tuple[str, ...]) -> LiteralString:
    """
    Return one statement that writes *parts* (keys of `SAVE_PARTS`), at least one.

    One statement rather than six: for the small batches of an idle system their overhead is most of the cost.
    """
    joined: LiteralString = ", ".join(f"{part} AS ({SAVE_PARTS[part]})" for part in SAVE_PARTS if part in parts)
    counts: LiteralString = " + ".join(
        f"1 / CASE WHEN (SELECT count(*) FROM {part}) = %({part}_expected)s THEN 1 ELSE 0 END"  # noqa: S608  # table names of ours
        for part in ("runs", "attempts", "evaluated")
        if part in parts
    )
    return "WITH " + joined + " SELECT " + (counts or "1")


INSERT_ITEMS: Final = """
INSERT INTO foreach_items (partition, run_uid, step_id, attempt, chunk, loop_values)
SELECT r.p, r.u, r.i, r.n, r.c, r.l FROM json_to_recordset(%(rows)s::json)
       AS r (p smallint, u uuid, i text, n int, c int, l json)
"""

#: Not by one JSON document, as the others: that would refuse the very payload that PostgreSQL has refused before.
INSERT_DEAD_LETTERS: Final = """
INSERT INTO engine_dead_letter (partition, class, inbox_id, run_uid, workflow_id, payload, reason, create_time_ms)
SELECT * FROM unnest(%(p)s::smallint[], %(c)s::smallint[], %(x)s::bigint[], %(u)s::uuid[], %(w)s::text[],
                     %(e)s::json[], %(r)s::text[], %(m)s::bigint[])
"""

#: Mark runs that cannot be read; whoever has one of them in memory notices by its version.
QUARANTINE: Final = """
UPDATE workflow_instance w
SET quarantine_reason = r.q, row_version = w.row_version + 1, modify_time_ms = r.m
FROM json_to_recordset(%(rows)s::json) AS r (p smallint, u uuid, q text, m bigint)
WHERE w.partition = r.p AND w.run_uid = r.u
"""

#: Create iterations, those that have not begun with the event that starts them.
LAUNCH: Final = """
WITH child AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(rows)s::json)
    AS r (p smallint, u uuid, i bigint, l json, s text, b bigint, e bigint, d bigint, g text, q text, t json)
), created AS (
    INSERT INTO workflow_instance (
        partition, run_uid, workflow_id, instance_id, run_id, status, execution_id, workflow_uuid, workflow_version,
        definition_uid, scope, correlation_id, depth, root_workflow_id, parent_partition, parent_run_uid,
        parent_step_id, parent_attempt, loop_values, initiator, request_time_ms, create_time_ms, modify_time_ms,
        start_time_ms, end_time_ms, deadline_at, stop_target, quarantine_reason, timeline)
    SELECT c.p, c.u, %(workflow_id)s, c.i, 1, coalesce(c.s, 'CREATED'), c.u, c.u::text, %(workflow_version)s,
           %(definition_uid)s, %(scope)s, %(correlation_id)s, %(depth)s, %(root_workflow_id)s, %(parent_partition)s,
           %(parent_run_uid)s, %(parent_step_id)s, %(parent_attempt)s, c.l, %(initiator)s::json, %(now_ms)s, %(now_ms)s,
           %(now_ms)s, c.b, c.e, to_timestamp(c.d / 1000.0), c.g, c.q, c.t
    FROM child c
)
INSERT INTO engine_inbox (partition, class, run_uid, payload)
SELECT c.p, 2, c.u, '{"kind":"RunStarted"}' FROM child c WHERE c.s IS NULL
"""

#: Take attempts back before a claim, with the event that says so; ask the workers that hold the others to cancel.
#: One guarded UPDATE decides for each row which of the two it is, on its newest version: no claim slips between.
#: An attempt that waits for a worker to attach to its job outside stays: whoever claims it cancels that job.
CANCEL: Final = """
WITH hit AS (
    UPDATE step_attempt a
    SET dispatch = CASE WHEN a.dispatch = 'CLAIMED' OR a.external_handle IS NOT NULL THEN a.dispatch
                        ELSE 'REVOKED' END,
        cancel_requested_at = CASE WHEN a.dispatch = 'CLAIMED' OR a.external_handle IS NOT NULL
                              THEN coalesce(a.cancel_requested_at, now()) END
    FROM json_to_recordset(%(rows)s::json) AS r (p smallint, u uuid, i text, n int)
    WHERE a.partition = r.p AND a.run_uid = r.u AND a.step_id = r.i AND a.attempt = r.n
      -- A CASE, so that the planner neither takes a partial index for the key nor thinks that almost no row fits.
      AND CASE WHEN a.dispatch IN ('READY', 'QUEUED', 'CLAIMED') THEN true ELSE false END
    RETURNING a.partition, a.run_uid, a.step_id, a.attempt, a.dispatch, a.worker
), told AS (
    INSERT INTO engine_inbox (partition, class, run_uid, payload)
    SELECT partition, 0, run_uid,
           json_build_object('kind', 'AttemptRevoked', 'step_id', step_id, 'attempt', attempt)
    FROM hit WHERE dispatch = 'REVOKED'
)
SELECT DISTINCT worker FROM hit WHERE dispatch = 'CLAIMED'
"""

#: Offer attempts to the workers.
OFFER: Final = """
UPDATE step_attempt a SET dispatch = 'QUEUED', queued_at = now()
FROM json_to_recordset(%(rows)s::json) AS r (p smallint, u uuid, i text, n int)
WHERE a.partition = r.p AND a.run_uid = r.u AND a.step_id = r.i AND a.attempt = r.n
  -- A CASE, as in CANCEL.
  AND CASE WHEN a.dispatch = 'READY' THEN true ELSE false END
"""

#: Partitions with events for runs, and partitions with events for the aggregates of workflows.
BACKLOG: Final = """
SELECT p.partition, false FROM unnest(%(partitions)s::smallint[]) AS p (partition)
CROSS JOIN LATERAL (
    SELECT 1 FROM engine_inbox e WHERE e.partition = p.partition AND e.class < 3 LIMIT 1
) any_event
UNION ALL
SELECT p.partition, true FROM unnest(%(partitions)s::smallint[]) AS p (partition)
CROSS JOIN LATERAL (
    SELECT 1 FROM engine_inbox e WHERE e.partition = p.partition AND e.class = 3 LIMIT 1
) any_event
"""

NEXT_TIMERS: Final = """
SELECT (extract(epoch FROM t.fire_at) * 1000)::bigint, p.partition
FROM unnest(%(partitions)s::smallint[]) AS p (partition)
CROSS JOIN LATERAL (
    SELECT e.fire_at FROM engine_timer e
    WHERE e.partition = p.partition AND e.fire_at <= to_timestamp(%(until_ms)s / 1000.0)
    ORDER BY e.fire_at LIMIT 20
) t
"""

READY: Final = """
SELECT a.partition, a.run_uid, a.step_id, a.attempt, a.queue, a.backend_keys, w.root_workflow_id,
       coalesce((a.times->>'CREATED')::bigint, 0)
FROM step_attempt a
CROSS JOIN LATERAL (
    SELECT i.root_workflow_id FROM workflow_instance i WHERE i.partition = a.partition AND i.run_uid = a.run_uid
) w
WHERE a.dispatch = 'READY' AND a.partition = ANY (%(partitions)s::smallint[])
"""

#: QUEUED attempts of all engines by queue, and CLAIMED ones by worker, are few: about twice the slots there are.
DISPATCHED: Final = """
SELECT d.queue, d.backend_keys, count(*)
FROM (
    SELECT queue, backend_keys FROM step_attempt
    WHERE dispatch = 'QUEUED' AND partition = ANY (%(partitions)s::smallint[])
    UNION ALL
    SELECT queue, backend_keys FROM step_attempt
    WHERE dispatch = 'CLAIMED' AND partition = ANY (%(partitions)s::smallint[])
) d
GROUP BY d.queue, d.backend_keys
"""

#: Runs of which somebody else has a row locked.
CONTENDED: Final = """
SELECT k.run_uid
FROM unnest(%(partitions)s::smallint[], %(runs)s::uuid[]) AS k (partition, run_uid)
CROSS JOIN LATERAL (
    SELECT 1 FROM workflow_instance w WHERE w.partition = k.partition AND w.run_uid = k.run_uid
) there
LEFT JOIN LATERAL (
    SELECT true AS free FROM workflow_instance w WHERE w.partition = k.partition AND w.run_uid = k.run_uid
    FOR NO KEY UPDATE SKIP LOCKED
) r ON true
WHERE r.free IS NULL OR (
    SELECT count(*) FROM step_attempt a WHERE a.partition = k.partition AND a.run_uid = k.run_uid
) <> (
    SELECT count(*) FROM (
        SELECT 1 FROM step_attempt a WHERE a.partition = k.partition AND a.run_uid = k.run_uid
        FOR NO KEY UPDATE SKIP LOCKED
    ) free
)
"""

#: Lock the rows of workflows that nobody else has locked; says of each that exists whether it is ours.
LOCK_FREE_WORKFLOWS: Final = """
SELECT there.workflow_id, coalesce(mine.free, false)
FROM unnest(%(workflow_ids)s::text[]) AS k (workflow_id)
CROSS JOIN LATERAL (SELECT w.workflow_id FROM workflow w WHERE w.workflow_id = k.workflow_id) there
LEFT JOIN LATERAL (
    SELECT true AS free FROM workflow w WHERE w.workflow_id = k.workflow_id
    -- SKIP LOCKED: whoever starts runs of one workflow, or was stopped while doing so, delays no other workflow.
    FOR NO KEY UPDATE SKIP LOCKED
) mine ON true
"""

#: Every statement of a batch by its name, for the test that explains each of them.
HOT_STATEMENTS: Final[dict[str, LiteralString]] = {
    **{name: text for name, text in list(globals().items()) if name.isupper() and isinstance(text, str)},
    "SAVE": save_statement(tuple(SAVE_PARTS)),
}
