"""Compile a definition into the graphs that deciding walks: one for the workflow, one for each foreach body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maestro_py.model.definition import Step, Workflow
from maestro_py.model.statuses import FailureMode
from maestro_py.params import Reference, references


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One step with what deciding needs of its surroundings, worked out once."""

    step: Step
    ordinal: int  #: 1-based position in the graph.
    successors: tuple[tuple[str, str], ...]  #: (step id, condition)
    predecessor_count: int
    backend_keys: tuple[str, ...]  #: What a worker must serve to run it.
    window: int  #: foreach: iterations running at a time, at most.
    outer_references: frozenset[Reference]  #: foreach: outputs of outer steps that its body mentions.
    has_conditions: bool  #: Whether any outgoing edge is other than "true".

    @property
    def ignores_failure(self) -> bool:
        """Say whether the DAG goes on when the step fails for good."""
        return self.step.failure_mode is FailureMode.IGNORE_FAILURE

    @property
    def fails_immediately(self) -> bool:
        """Say whether the other steps are stopped when the step fails for good."""
        return self.step.failure_mode is FailureMode.FAIL_IMMEDIATELY


@dataclass(frozen=True, slots=True)
class Graph:
    """The steps of one scope."""

    workflow: Workflow
    scope: str
    nodes: Mapping[str, Node]
    roots: tuple[Node, ...]
    loops: tuple[str, ...]  #: Ids of those that are a foreach.
    family: Mapping[str, Graph]  #: Every graph of the definition by its scope, this one too.


def compile_graphs(workflow: Workflow, *, default_window: int) -> dict[str, Graph]:
    """
    Return the graph of each scope: ``""`` for the workflow, and the foreach ids joined by ``/`` for each body.

    Args:
        workflow: A definition that the door has checked: acyclic, with known successors.
        default_window: Iterations that run at a time in a foreach that states no concurrency.
    """
    graphs: dict[str, Graph] = {}
    pending: list[tuple[str, Sequence[Step]]] = [("", workflow.steps)]
    while pending:
        scope, steps = pending.pop()
        graphs[scope] = _compile_scope(workflow, scope, steps, default_window, graphs)
        pending.extend((f"{scope}/{step.id}" if scope else step.id, step.steps) for step in steps if step.is_foreach)
    return graphs


def _compile_scope(
    workflow: Workflow, scope: str, steps: Sequence[Step], default_window: int, family: Mapping[str, Graph]
) -> Graph:
    counts = dict.fromkeys((step.id for step in steps), 0)
    for step in steps:
        for successor in step.successors:
            counts[successor] += 1
    nodes = {
        step.id: Node(
            step=step,
            ordinal=ordinal,
            successors=tuple(step.successors.items()),
            predecessor_count=counts[step.id],
            backend_keys=backend_keys(step),
            window=step.concurrency or default_window,
            outer_references=_outer_references(step) if step.is_foreach else frozenset(),
            has_conditions=any(condition != "true" for condition in step.successors.values()),
        )
        for ordinal, step in enumerate(steps, 1)
    }
    roots = tuple(node for node in nodes.values() if not node.predecessor_count)
    loops = tuple(step.id for step in steps if step.is_foreach)
    return Graph(workflow, scope, nodes, roots, loops, family)


def backend_keys(step: Step) -> tuple[str, ...]:
    """Return what can run *step*: its type, or a backend mapped to its image or to its id (DESIGN section 6)."""
    keys = [step.type, f"{step.type}:step={step.id}"]
    own = step.params.get(step.type.lower())
    image = own.value.get("image") if own is not None and isinstance(own.value, dict) else None
    literal = image.get("value") if isinstance(image, dict) else image
    if isinstance(literal, str):
        keys.append(f"{step.type}:image={literal}")
    return tuple(keys)


def _outer_references(foreach: Step) -> frozenset[Reference]:
    mentioned: set[Reference] = set()
    inner: set[str] = set()
    stack = list(foreach.steps)
    while stack:
        step = stack.pop()
        inner.add(step.id)
        mentioned |= references(step.params, step.successors.values())
        stack.extend(step.steps)
    return frozenset(reference for reference in mentioned if reference.step_id and reference.step_id not in inner)
