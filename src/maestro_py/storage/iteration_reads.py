"""
Find an iteration of loops that stand in one another by its numbers, and say where a step is that is not found.

Under which id and number an iteration runs is computed, so all of them on the way are read by one statement, by key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from maestro_py.model.definition import Step, Workflow
from maestro_py.model.errors import NotFound
from maestro_py.model.loops import addresses, iteration_id, way_to
from maestro_py.ports.api_records import RunRecord
from maestro_py.ports.api_store import IterationMismatch
from maestro_py.storage.instance_reads import LISTED_COLUMNS, read_internal_id, run_record
from maestro_py.storage.retries import Connection

#: Returns the latest run of each instance, in their order; those that do not exist are left out.
PASSED: Final = f"""
SELECT {LISTED_COLUMNS} FROM unnest(%s::text[], %s::bigint[]) WITH ORDINALITY AS way (workflow_id, instance_id, ordinal)
CROSS JOIN LATERAL (
    SELECT * FROM workflow_instance w
    WHERE w.workflow_id = way.workflow_id AND w.instance_id = way.instance_id ORDER BY w.run_id DESC LIMIT 1) AS i
ORDER BY way.ordinal
"""  # noqa: S608  # our own text


async def read_passed(
    conn: Connection, run: RunRecord, workflow: Workflow, step_id: str, path: Sequence[int]
) -> tuple[tuple[RunRecord, ...], bool]:
    """
    Return the iteration of each loop on the way to a step, and whether the step stands in the last of them.

    Otherwise the step is itself the loop of the last iteration.

    Raises:
        NotFound: there is no such step, or one of the iterations has not begun.
        IterationMismatch: *path* has too many or too few numbers.
    """
    way = _way(run, workflow, step_id)
    loops = way if way[-1].is_foreach and len(path) == len(way) else way[:-1]
    if len(path) != len(loops):
        raise IterationMismatch(_mismatch(way, path))
    names = [loop.id for loop in loops]
    internal_id = await read_internal_id(conn, run.root_workflow_id)
    found = addresses(str(internal_id), run.workflow_id, run.instance_id, names, path)
    cursor = await conn.execute(PASSED, ([a[0] for a in found], [a[1] for a in found]))
    passed = tuple(run_record(row) for row in await cursor.fetchall())
    for number, (record, address) in enumerate(zip((*passed, None), found, strict=False)):
        if record is None or (record.workflow_id, record.instance_id) != address:
            which = f"iteration {iteration_id(path[: number + 1])} of the loop {names[number]!r}"
            raise NotFound(f"{run.workflow_id}:{run.instance_id}:{run.run_id} has no {which} yet")
    return passed, loops is not way


def missing_step(run: RunRecord, workflow: Workflow, step_id: str) -> NotFound:
    """Return the error that says why a run has no attempt of the step."""
    try:
        loops = _way(run, workflow, step_id)[:-1]
    except NotFound as exc:
        return exc
    name = f"{run.workflow_id}:{run.instance_id}:{run.run_id}"
    if not loops:
        return NotFound(f"{name} has no step {step_id!r} yet")
    return NotFound(
        f"step {step_id!r} of {name} runs in {_named(loops)}, once in each iteration:"
        f" say which one by --iteration {_example(loops)}, or by /api/v3/views/flatten/…/iterations/{_example(loops)}"
    )


def _way(run: RunRecord, workflow: Workflow, step_id: str) -> tuple[Step, ...]:
    """Return the loops of the run around the step, the outermost first, and the step."""
    way = way_to(workflow.steps, step_id)
    scope = run.scope.split("/") if run.scope else []
    if [step.id for step in way[: len(scope)]] != scope or len(way) == len(scope):
        where = f"workflow {run.root_workflow_id!r} version {run.workflow_version}"
        inside = f", inside of the loop {scope[-1]!r}" if scope else ""
        raise NotFound(f"{where} has no step {step_id!r}{inside}")
    return way[len(scope) :]


def _mismatch(way: Sequence[Step], path: Sequence[int]) -> str:
    loops = way[:-1]
    given = iteration_id(path)
    if not loops:
        return f"step {way[-1].id!r} is in no loop, so it has no iteration {given}"
    return f"step {way[-1].id!r} is in {_named(loops)}: iteration {given} should be like {_example(loops)}"


def _named(loops: Sequence[Step]) -> str:
    names = " and in it ".join(repr(loop.id) for loop in loops)
    return f"the loop {names}"


def _example(loops: Sequence[Step]) -> str:
    return iteration_id((3, *range(12, 11 + len(loops))))
