"""Check that what literals refer to can be known when they are evaluated (specification 4.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from maestro_py.model.forms.graph_checks import find_cycle, spell_cycle, suggestion
from maestro_py.model.forms.outline import Level, Node, Outline
from maestro_py.model.forms.problems import Problems
from maestro_py.model.templates import Location, Mention, Reference

#: Parameters that every run has (specification 4.5, as far as they exist).
SYSTEM_PARAMS: Final = frozenset({"RUN_TS", "owner", "workflow_id"})
_LOOP_PARAMS: Final = frozenset({"loop_index", "index"})


def check_references(outline: Outline, problems: Problems) -> None:
    """Add every reference that names nothing to *problems*."""
    for at, text in outline.malformed:
        problems.add(at, f"${{{text}}} is not written as ${{step.output.name}}; write $${{ for the text itself")
    _check_workflow_params(outline, problems)
    steps = {node.id: node for node in _all_nodes(outline.level)}
    known = SYSTEM_PARAMS | outline.params.keys()
    stack = [_View(outline.level, (), known, is_open=False)]
    while stack:
        view = stack.pop()
        upstream = _Upstream(view.level)
        for node in view.level.nodes:
            reachable = (*view.upstream, (upstream, node.id))
            names = view.names | node.params
            sight = _Sight(node, reachable, names, steps)
            for at, mention in node.mentions:
                _check_mention(at, mention, sight, problems)
            for at, mention in node.program_mentions:
                _check_mention(at, mention, sight, problems)
                if not view.is_open and not problems.is_full:
                    _check_program(at, mention, sight, problems)
            for at, mention in node.workflow_mentions:
                _refuse_outputs(at, mention, names, problems)
            if node.level is not None:
                inner = names | node.loop | _LOOP_PARAMS
                stack.append(_View(node.level, reachable, inner, is_open=view.is_open or node.is_open))


@dataclass(frozen=True, slots=True)
class _View:
    """A level, what is upstream of it, and the parameters that its steps inherit."""

    level: Level
    upstream: tuple[tuple[_Upstream, str], ...]
    names: frozenset[str]
    is_open: bool  #: Whether a foreach around it may add names that are known only in a run.


@dataclass(frozen=True, slots=True)
class _Sight:
    """What one step can see."""

    node: Node
    upstream: tuple[tuple[_Upstream, str], ...]
    names: frozenset[str]
    steps: Mapping[str, Node]

    def sees(self, step_id: str) -> bool:
        return any(upstream.has(node_id, step_id) for upstream, node_id in self.upstream)


class _Upstream:
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


def _check_mention(at: Location, mention: Mention, sight: _Sight, problems: Problems) -> None:
    *outputs, param = mention.alternatives
    if _is_param(param, sight.names):
        return
    if not outputs:
        _check_plain(at, mention, sight, problems)
    elif not any(sight.sees(reference.step_id or "") for reference in outputs):
        problems.add(at, f"'{mention.text}': {_why_unseen(outputs, sight)}")


def _check_plain(at: Location, mention: Mention, sight: _Sight, problems: Problems) -> None:
    """Refuse ``${step.name}``, which was meant as an output.  Other names may be given at the start."""
    for name, way in mention.alternatives[0].readings():
        if way and name in sight.steps:
            meant = ".".join(part for part in way if part not in ("", "output")) or "name"
            problems.add(at, f"'{mention.text}' is no parameter; write ${{{name}.output.{meant}}}")
            return


def _check_program(at: Location, mention: Mention, sight: _Sight, problems: Problems) -> None:
    """
    Refuse ``${NAME}`` in a program that names nothing known.

    Elsewhere such a name may be given at the start; here it is likelier to be a variable of the program.
    """
    if len(mention.alternatives) > 1 or _is_param(mention.alternatives[0], sight.names):
        return
    if any(way and name in sight.steps for name, way in mention.alternatives[0].readings()):
        return  # said already: it was meant as an output
    own = f"write $${{{mention.text}}} for a variable of the program itself"
    problems.add(at, f"'{mention.text}' names no parameter{suggestion(mention.text, sight.names)}; {own}")


def _why_unseen(outputs: list[Reference], sight: _Sight) -> str:
    known = [reference.step_id for reference in outputs if reference.step_id in sight.steps]
    if not known:
        step_id = outputs[0].step_id or ""
        return f"there is no step '{step_id}'{suggestion(step_id, sight.steps)}"
    step_id = known[0] or ""
    if step_id == sight.node.id:
        return "a step cannot read its own outputs"
    level = sight.upstream[-1][0]
    if any(upstream.has_step(step_id) for upstream, _ in sight.upstream):
        return (
            f"step '{step_id}' does not run before '{sight.node.id}'; make it a dependency"
            if level.has_step(step_id)
            else f"step '{step_id}' does not run before the foreach around '{sight.node.id}'"
        )
    return f"step '{step_id}' runs inside a foreach; the outputs of an iteration stay with it"


def _is_param(reference: Reference, names: frozenset[str]) -> bool:
    return any(name in names for name, _ in reference.readings())


def _refuse_outputs(at: Location, mention: Mention, names: frozenset[str], problems: Problems) -> None:
    if len(mention.alternatives) > 1 and not _is_param(mention.alternatives[-1], names):
        problems.add(at, f"'{mention.text}': only workflow parameters may be used here")


def _check_workflow_params(outline: Outline, problems: Problems) -> None:
    names = SYSTEM_PARAMS | outline.params.keys()
    needs: dict[str, list[str]] = {name: [] for name in outline.params}
    for param, mentions in outline.params.items():
        for at, mention in mentions:
            found = next((name for name, _ in mention.alternatives[-1].readings() if name in names), None)
            if found is None:
                problems.add(at, f"'{mention.text}' names no workflow parameter{suggestion(mention.text, names)}")
            else:
                needs[param].append(found)
    for at, mention in outline.mentions:
        if not _is_param(mention.alternatives[-1], names):
            problems.add(at, f"'{mention.text}' names no workflow parameter{suggestion(mention.text, names)}")
    cycle = find_cycle(needs)
    if cycle is not None:
        problems.add((*outline.params_at, cycle[0]), f"the parameters need one another: {spell_cycle(cycle)}")


def _all_nodes(level: Level) -> Iterator[Node]:
    levels = [level]
    while levels:
        current = levels.pop()
        yield from current.nodes
        levels.extend(node.level for node in current.nodes if node.level is not None)
