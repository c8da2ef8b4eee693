"""Check that what literals refer to can be known when they are evaluated (specification 4.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from maestro_py.model.forms.graph_checks import find_cycle, spell_cycle, suggestion
from maestro_py.model.forms.outline import Level, Node, Outline
from maestro_py.model.forms.problems import Problems
from maestro_py.model.templates import Location, Mention, Reference, mention_of

#: Parameters that every run has (specification 4.5, as far as they exist).
SYSTEM_PARAMS: Final = frozenset(
    {
        *("RUN_TS", "owner", "workflow_id", "DSL_DEFAULT_TZ", "WORKFLOW_CRON_TIMEZONE"),
        *("TARGET_RUN_DATE", "TARGET_RUN_HOUR", "DERIVED_RUN_TS"),
        *("DERIVED_RUN_DATE_US_PACIFIC", "DERIVED_RUN_DATE_US_PACIFIC_MINUS_ONE"),
        *("DERIVED_RUN_DATE_UTC", "DERIVED_RUN_DATE_UTC_MINUS_ONE", "DERIVED_RUN_DATE_UTC_PLUS_ONE"),
        *("DERIVED_RUN_DATE_UTC_MINUS_ONE_HOUR", "DERIVED_RUN_DATE_UTC_PLUS_ONE_HOUR"),
        *("DERIVED_RUN_HOUR_US_PACIFIC", "DERIVED_RUN_HOUR_UTC"),
        *("DERIVED_RUN_HOUR_UTC_MINUS_ONE_HOUR", "DERIVED_RUN_HOUR_UTC_PLUS_ONE_HOUR"),
        *("LOCAL_RUN_DATE", "RUN_DATE", "RUN_DATE_MINUS_1", "RUN_DATE_MINUS_7"),
    }
)
_LOOP_PARAMS: Final = frozenset({"loop_index", "index"})


class ExpressionNames(NamedTuple):
    """What an expression needs of its parameters."""

    variables: frozenset[str]
    parameters: frozenset[str]  #: Asked for as ``params.get('x')``.


NamesOf = Callable[[str], ExpressionNames]
"""Returns the names in an expression; raises ValueError with what is wrong if it is not of the language."""


def names_unread(_: str) -> ExpressionNames:
    """Return no names, for whoever only wants the shape of a definition."""
    return ExpressionNames(frozenset(), frozenset())


def check_references(outline: Outline, problems: Problems, names_of: NamesOf = names_unread) -> None:
    """Add every reference that names nothing, and every expression that is none, to *problems*."""
    for at, text in outline.malformed:
        problems.add(at, f"${{{text}}} is not written as ${{step.output.name}}; write $${{ for the text itself")
    _check_workflow_params(outline, problems, names_of)
    steps = {node.id: node for node in _all_nodes(outline.level)}
    known = SYSTEM_PARAMS | outline.params.keys()
    stack = [_View(outline.level, (), known, is_open=False)]
    while stack:
        view = stack.pop()
        upstream = _Upstream(view.level)
        for node in view.level.nodes:
            reachable = (*view.upstream, (upstream, node.id))
            names = view.names | node.params
            sight = _Sight(node, reachable, names, steps, outline.signals)
            for at, text in node.expressions:
                _check_expression(at, text, sight, problems, names_of)
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
        _check_conditions(view, upstream, _Around(known=steps, signals=outline.signals), problems, names_of)


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
    signals: frozenset[str] = frozenset()
    completed: str | None = None  #: The step itself, where its end is over.

    def sees(self, step_id: str) -> bool:
        if step_id in self.signals or step_id == self.completed:
            return True
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


class _Around(NamedTuple):
    """What all steps of a definition have around them."""

    known: Mapping[str, Node]
    signals: frozenset[str]


def _check_conditions(view: _View, upstream: _Upstream, around: _Around, problems: Problems, names_of: NamesOf) -> None:
    for at, message in view.level.unjudged:
        problems.add(at, message)
    nodes = {node.id: node for node in view.level.nodes}
    for edge in view.level.edges:
        node = nodes.get(edge.source)
        if node is not None and edge.condition not in ("true", "false"):
            reachable = (*view.upstream, (upstream, node.id))
            sight = _Sight(node, reachable, view.names | node.params, around.known, around.signals, node.id)
            _check_expression(edge.condition_at, edge.condition, sight, problems, names_of)


def _check_expression(at: Location, text: str, sight: _Sight, problems: Problems, names_of: NamesOf) -> None:
    """Check what an expression of a step says; a name that nothing has may still be given at the start."""
    for mention in _names_in(at, text, problems, names_of):
        *outputs, param = mention.alternatives
        own = any(ref.step_id == sight.node.id and ref.name in sight.node.params for ref in outputs)
        if not outputs or own or param.name in sight.names:
            continue
        if not any(sight.sees(reference.step_id or "") for reference in outputs):
            problems.add(at, f"'{mention.text}': {_why_unseen(outputs, sight)}")


def _names_in(at: Location, text: str, problems: Problems, names_of: NamesOf) -> list[Mention]:
    """Return the variables of an expression; if it is none, that is a problem."""
    try:
        return [mention_of(name) for name in sorted(names_of(text).variables)]
    except ValueError as exc:
        problems.add(at, str(exc))
        return []


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


def _check_workflow_params(outline: Outline, problems: Problems, names_of: NamesOf) -> None:
    names = SYSTEM_PARAMS | outline.params.keys()
    needs: dict[str, list[str]] = {name: [] for name in outline.params}

    def need(param: str, at: Location, mention: Mention) -> None:
        found = next((name for name, _ in mention.alternatives[-1].readings() if name in names), None)
        if found is not None:
            needs[param].append(found)
        elif not any(reference.step_id in outline.signals for reference in mention.alternatives):
            problems.add(at, f"'{mention.text}' names no workflow parameter{suggestion(mention.text, names)}")

    for param, mentions in outline.params.items():
        for at, mention in mentions:
            need(param, at, mention)
    for param, expressions in outline.param_expressions.items():
        for at, text in expressions:
            for mention in _names_in(at, text, problems, names_of):
                need(param, at, mention)
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
