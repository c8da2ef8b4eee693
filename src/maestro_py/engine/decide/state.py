"""
The working copy of a run that `decide` is handed and may change in place.

The shell drops the copy whenever a commit fails, so a half-done change never outlives the batch it belongs to.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping
from operator import attrgetter
from typing import Any, Final, NamedTuple
from uuid import UUID

from maestro_py.engine.decide.graph import Graph, Node
from maestro_py.model.effects import Effect
from maestro_py.model.ids import inline_workflow_id
from maestro_py.model.statuses import InstanceStatus, StepStatus
from maestro_py.params import DECISION_VISITS, Budget, Parameter

#: Iterations launched by one effect, and told to stop by one effect, at most.
CHUNK: Final = 500


class ParentRef(NamedTuple):
    """Whose iteration a run is."""

    partition: int
    run_uid: UUID
    step_id: str
    attempt: int


class OuterParams(NamedTuple):
    """What the iterations of one foreach see of the outside; one copy for all of them."""

    values: Mapping[str, Any]  #: Evaluated params of the parent and of the foreach step, as plain values.
    outputs: Mapping[str, Mapping[str, Any]]  #: Outputs of outer steps that the body mentions.


class ForeachState:
    """Counters of one foreach; their size does not depend on the number of iterations."""

    __slots__ = ("counts", "held", "launched", "running", "total")

    def __init__(self, total: int, launched: int = 0, running: int = 0, counts: dict[str, int] | None = None) -> None:
        self.total = total
        self.launched = launched  #: Iterations 1 to this one have rows.
        self.running = running  #: Launched and not finished.
        self.counts: dict[str, int] = counts or {}  #: Terminal status to number of iterations.
        self.held = False  #: No further launches: an iteration failed, or somebody stopped the run.

    def document(self) -> dict[str, Any]:
        """Return the JSON of ``step_attempt.runtime``."""
        return {
            "total": self.total,
            "launched": self.launched,
            "running": self.running,
            "counts": self.counts,
            "held": self.held,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ForeachState:
        """Return what `document` was made of."""
        state = cls(document["total"], document["launched"], document["running"], dict(document["counts"]))
        state.held = document["held"]
        return state


class StepState:
    """The latest attempt of one step."""

    __slots__ = (
        "attempt",
        "dispatched",
        "edges",
        "error_retries",
        "foreach",
        "intent",
        "is_evaluated",
        "is_new",
        "message",
        "node",
        "outputs",
        "params",
        "platform_retries",
        "seq",
        "status",
        "step_id",
        "task",
        "timeout_ms",
        "timeout_retries",
        "times",
    )

    def __init__(self, node: Node, attempt: int, seq: int) -> None:
        self.node = node
        self.step_id = node.step.id
        self.attempt = attempt
        self.seq = seq
        self.status = StepStatus.NOT_CREATED
        self.times: dict[str, int] = {}
        self.error_retries = 0
        self.platform_retries = 0
        self.timeout_retries = 0
        self.params: dict[str, Parameter] = {}
        self.edges: dict[str, bool] | None = None
        self.foreach: ForeachState | None = None
        self.intent: StepStatus | None = None
        self.message: str | None = None
        self.outputs: Mapping[str, Any] | None = None
        self.task: dict[str, Any] | None = None
        self.timeout_ms: int | None = None
        self.dispatched = False
        self.is_new = True
        self.is_evaluated = False  #: This batch worked out what a new attempt usually has from the start.

    @property
    def is_live(self) -> bool:
        """Say whether the run waits for this step: it is not terminal, or a retry follows."""
        return not self.status.is_terminal or self.status.is_retried


class Run:
    """One run of one instance, as far as deciding is concerned."""

    __slots__ = (
        "changed",
        "correlation_id",
        "deadline_ms",
        "definition_uid",
        "depth",
        "end_time_ms",
        "failed",
        "fails_fast",
        "gates",
        "graph",
        "initiator",
        "instance_id",
        "internal_id",
        "is_dirty",
        "live",
        "loop_values",
        "next_seq",
        "outer",
        "params",
        "parent",
        "partition",
        "quarantine_reason",
        "records",
        "root_workflow_id",
        "row_version",
        "run_id",
        "run_uid",
        "scope",
        "start_time_ms",
        "status",
        "steps",
        "stop_target",
        "stopped",
        "timed_out",
        "timeline",
        "workflow_id",
        "workflow_version",
    )

    def __init__(
        self,
        *,
        partition: int,
        run_uid: UUID,
        workflow_id: str,
        instance_id: int,
        run_id: int,
        graph: Graph,
        workflow_version: int = 1,
        definition_uid: UUID | None = None,
        internal_id: str = "",
        correlation_id: str = "",
        depth: int = 0,
        root_workflow_id: str = "",
        parent: ParentRef | None = None,
        outer: OuterParams | None = None,
        loop_values: Mapping[str, Any] | None = None,
        params: Mapping[str, Parameter] | None = None,
        status: InstanceStatus = InstanceStatus.CREATED,
        row_version: int = 1,
    ) -> None:
        self.partition = partition
        self.run_uid = run_uid
        self.workflow_id = workflow_id
        self.instance_id = instance_id
        self.run_id = run_id
        self.graph = graph
        self.scope = graph.scope
        self.workflow_version = workflow_version
        self.definition_uid = definition_uid
        self.internal_id = internal_id  #: Of the root workflow, for inline workflow ids.
        self.correlation_id = correlation_id
        self.depth = depth
        self.root_workflow_id = root_workflow_id or workflow_id
        self.parent = parent
        self.outer = outer
        self.loop_values: Mapping[str, Any] = loop_values or {}
        self.params: Mapping[str, Parameter] = params or {}
        self.status = status
        self.row_version = row_version
        self.initiator = b"{}"  #: JSON, handed on to iterations.
        self.start_time_ms: int | None = None
        self.end_time_ms: int | None = None
        self.deadline_ms: int | None = None
        self.stop_target: InstanceStatus | None = None
        self.quarantine_reason: str | None = None
        self.timeline: list[dict[str, Any]] = []
        self.steps: dict[str, StepState] = {}
        self.gates: dict[str, list[Any]] = {}  #: Step id to [predecessors still open, any edge true].
        self.live = 0
        self.failed = 0
        self.fails_fast = False  #: A step failed for good under FAIL_IMMEDIATELY.
        self.timed_out = 0
        self.stopped = 0
        self.next_seq = 1
        # what the batch changed, read and cleared by the shell
        self.is_dirty = False
        self.changed: dict[tuple[str, int], StepState] = {}
        self.records: list[tuple[str, int, str, str, int]] = []  #: (step, attempt, old, new, ms); "" for the run.

    def iterations_id(self, step_id: str) -> str:
        """Return the workflow id under which the iterations of the foreach *step_id* run."""
        return inline_workflow_id(self.internal_id, self.instance_id, self.workflow_id, step_id)

    @property
    def is_closing(self) -> bool:
        """Say whether no further step may begin."""
        return self.fails_fast or self.stop_target is not None

    @property
    def has_iterations(self) -> bool:
        """Say whether a foreach of it has begun."""
        return any(step_id in self.steps for step_id in self.graph.loops)

    def note(self, message: str, now_ms: int, level: str = "INFO") -> None:
        """Add *message* to the timeline of the run, which keeps the last 32 entries (specification 5.5)."""
        entry = {"type": "LOG", "timestamp": now_ms, "level": level, "message": message}
        self.timeline = [*self.timeline[-31:], entry]
        self.is_dirty = True

    def restore(self, steps: list[StepState]) -> None:
        """Take over the latest attempts that the store holds, and work out what follows from them."""
        # As they were created, as in memory: then a stop, say, meets them in the same order.
        for step in sorted(steps, key=attrgetter("seq")):
            step.is_new = False
            self.steps[step.step_id] = step
            self.next_seq = max(self.next_seq, step.seq + 1)
        for step in self.steps.values():
            self.live += step.is_live
            self.count_end(step)
            if step.status.is_complete:
                self.open_gates(step)

    def count_end(self, step: StepState) -> None:
        """Remember the kind of end that decides how the run ends (specification 5.1)."""
        if step.status in (StepStatus.FATALLY_FAILED, StepStatus.INTERNALLY_FAILED):
            self.failed += 1
            self.fails_fast = self.fails_fast or (
                step.node.fails_immediately and step.status is StepStatus.FATALLY_FAILED
            )
        elif step.status is StepStatus.TIMED_OUT:
            self.timed_out += 1
        elif step.status is StepStatus.STOPPED:
            self.stopped += 1

    def open_gates(self, step: StepState) -> list[tuple[Node, bool]]:
        """Count *step* as complete at its successors; return those with no open predecessor, and if any edge passed."""
        opened: list[tuple[Node, bool]] = []
        nodes = self.graph.nodes
        for successor, _ in step.node.successors:
            node = nodes[successor]
            passes = True if step.edges is None else step.edges.get(successor, True)
            gate = self.gates.get(successor)
            if gate is None:
                gate = self.gates[successor] = [node.predecessor_count, False]
            gate[0] -= 1
            gate[1] = gate[1] or passes
            if gate[0] == 0:
                opened.append((node, gate[1]))
        return opened


def set_status(run: Run, step: StepState, status: StepStatus, now_ms: int) -> None:
    """Give *step* its new *status*, with its time, and remember the change for the event log."""
    new = str(status)  # as plain text, which JSON needs as a key; `.value` takes seven times as long
    run.changed[step.step_id, step.attempt] = step
    run.records.append((step.step_id, step.attempt, str(step.status), new, now_ms))
    step.status = status
    step.times[new] = now_ms


class Decision:
    """What one decision has gathered so far."""

    __slots__ = ("budget", "effects", "now_ms", "ready", "stop_others")

    def __init__(self, now_ms: int, budget: Budget | None = None) -> None:
        self.now_ms = now_ms
        self.budget = budget or Budget(DECISION_VISITS)  #: Of all expressions of the decision together.
        self.effects: list[Effect] = []
        #: Steps to begin: (node, whether any incoming edge was true, the failed attempt it retries).
        self.ready: deque[tuple[Node, bool, StepState | None]] = deque()
        self.stop_others = False  #: A step failed under FAIL_IMMEDIATELY.


def step_uuid(run_uid: UUID, step_id: str, attempt: int) -> UUID:
    """Return the UUID of an attempt, derived from its key so that deciding draws no random numbers."""
    digest = hashlib.md5(run_uid.bytes + f"{step_id}:{attempt}".encode(), usedforsecurity=False).digest()
    return UUID(bytes=digest, version=4)
