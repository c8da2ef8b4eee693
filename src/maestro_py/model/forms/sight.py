"""Say what one step of a definition can see: the steps that are complete when it begins, parameters, signals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from maestro_py.model.forms.outline import Level, Node, Outline


@dataclass(frozen=True, slots=True)
class Around:
    """What all steps of a definition have around them."""

    steps: Mapping[str, Node]  #: Every step, nested ones too, by its id.
    foreach_of: Mapping[str, str]  #: A step inside a foreach to the foreach right around it.
    signals: frozenset[str]  #: That start the workflow.

    @classmethod
    def of(cls, outline: Outline) -> Around:
        """Return what the steps of *outline* have around them."""
        nodes = list(_all_nodes(outline.level))
        foreach_of = {inner.id: node.id for node in nodes if node.level is not None for inner in node.level.nodes}
        return cls({node.id: node for node in nodes}, foreach_of, outline.signals)


@dataclass(frozen=True, slots=True)
class Sight:
    """What one step can see."""

    node: Node
    upstream: tuple[tuple[Upstream, str], ...]
    names: frozenset[str]
    around: Around
    completed: str | None = None  #: The step itself, where its end is over.

    @property
    def steps(self) -> Mapping[str, Node]:
        """Every step of the definition by its id."""
        return self.around.steps

    def sees(self, step_id: str) -> bool:
        """Say whether *step_id* is a signal, or a step that is complete, here or around the foreach around this one."""
        if step_id in self.around.signals or step_id == self.completed:
            return True
        return any(upstream.has(node_id, step_id) for upstream, node_id in self.upstream)

    def sees_beside(self, step_id: str) -> bool:
        """Say whether *step_id* is complete and stands at the level of this step."""
        upstream, node_id = self.upstream[-1]
        return step_id == self.completed or upstream.has(node_id, step_id)

    def is_inside(self, step_id: str) -> bool:
        """Say whether this step stands in the foreach *step_id*."""
        return any(node_id == step_id for _, node_id in self.upstream[:-1])


class Upstream:
    """Which steps of one level are upstream of which: one bit each, computed when first asked for."""

    def __init__(self, level: Level) -> None:
        self._level = level
        self._bit = {node.id: 1 << index for index, node in enumerate(level.nodes)}
        self._ancestors: dict[str, int] | None = None

    def has(self, node_id: str, step_id: str) -> bool:
        """Say whether *step_id* is at this level and upstream of *node_id*."""
        if step_id not in self._bit:
            return False
        if self._ancestors is None:
            self._ancestors = self._compute()
        return bool(self._ancestors.get(node_id, 0) & self._bit[step_id])

    def has_step(self, step_id: str) -> bool:
        """Say whether *step_id* is at this level."""
        return step_id in self._bit

    def _compute(self) -> dict[str, int]:
        targets: dict[str, list[str]] = {name: [] for name in self._bit}
        waiting = dict.fromkeys(self._bit, 0)
        for edge in self._level.edges:
            if edge.source in targets and edge.target in waiting:
                targets[edge.source].append(edge.target)
                waiting[edge.target] += 1
        ancestors = dict.fromkeys(self._bit, 0)
        ready = [name for name, count in waiting.items() if not count]
        while ready:
            current = ready.pop()
            for target in targets[current]:
                ancestors[target] |= ancestors[current] | self._bit[current]
                waiting[target] -= 1
                if not waiting[target]:
                    ready.append(target)
        return ancestors  # steps of a cycle lack some; the cycle itself is reported


def _all_nodes(level: Level) -> Iterator[Node]:
    levels = [level]
    while levels:
        current = levels.pop()
        yield from current.nodes
        levels.extend(node.level for node in current.nodes if node.level is not None)
