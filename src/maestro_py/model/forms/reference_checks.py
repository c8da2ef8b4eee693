"""Check that what literals refer to can be known when they are evaluated (specification 4.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from maestro_py.model.forms.edges import is_word
from maestro_py.model.forms.graph_checks import find_cycle, spell_cycle
from maestro_py.model.forms.outline import Level, Node, Outline
from maestro_py.model.forms.output_checks import why_lookup_fails, why_unread
from maestro_py.model.forms.problems import Problems
from maestro_py.model.forms.sight import Around, Sight, Upstream
from maestro_py.model.given_names import STEP_PARAMS, SYSTEM_PARAMS
from maestro_py.model.suggestions import suggestion
from maestro_py.model.templates import Location, Mention, Reference, mention_of

_LOOP_PARAMS: Final = frozenset({"loop_index", "index"})


class ExpressionNames(NamedTuple):
    """What an expression needs of its parameters and of the world."""

    variables: frozenset[str]
    parameters: frozenset[str]  #: Asked for as ``params.get('x')``.
    #: Calls of ``params.getFrom...``: the function and its arguments; None for one that is computed.
    lookups: frozenset[tuple[str, tuple[str | None, ...]]] = frozenset()
    unserved: tuple[str, ...] = ()  #: What is wrong with those that can give nothing in this version.


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
    around = Around.of(outline)
    # A trigger gives its parameters to the run.
    given = {name for trigger in outline.triggers for name in trigger.params}
    known = SYSTEM_PARAMS | outline.params.keys() | given
    stack = [_View(outline.level, (), known, is_open=outline.is_open)]
    while stack:
        view = stack.pop()
        upstream = Upstream(view.level)
        for node in view.level.nodes:
            reachable = (*view.upstream, (upstream, node.id))
            names = view.names | node.params | STEP_PARAMS.keys()
            sight = Sight(node, reachable, names, around)
            _refuse_reserved(node, problems)
            for at, text in node.expressions:
                _check_expression(at, text, sight, problems, names_of, all_known=_is_of_loop(at, node, view))
            for at, mention in node.mentions:
                _check_mention(at, mention, sight, problems, all_known=_is_of_loop(at, node, view))
            for at, mention in node.program_mentions:
                _check_mention(at, mention, sight, problems)
                if not view.is_open and not problems.is_full:
                    _check_program(at, mention, sight, problems)
            for at, mention in node.workflow_mentions:
                if not view.is_open:
                    _check_of_workflow(at, mention, view.names, problems)
            if node.level is not None:
                inner = names | node.loop | _LOOP_PARAMS
                stack.append(_View(node.level, reachable, inner, is_open=view.is_open or node.is_open))
        _check_conditions(view, upstream, around, problems, names_of)


@dataclass(frozen=True, slots=True)
class _View:
    """A level, what is upstream of it, and the parameters that its steps inherit."""

    level: Level
    upstream: tuple[tuple[Upstream, str], ...]
    names: frozenset[str]
    is_open: bool  #: Whether the start, or a foreach around it, may add names that are known only in a run.


def _is_of_loop(at: Location, node: Node, view: _View) -> bool:
    """Say whether what stands at *at* says what *node* loops over, and every name that it may use is known."""
    return node.loop_at is not None and at[: len(node.loop_at)] == node.loop_at and not view.is_open


def _refuse_reserved(node: Node, problems: Problems) -> None:
    for name in sorted(STEP_PARAMS.keys() & node.params):
        problems.add((*node.at, "params", name), "Cannot modify param with system mode [RESERVED]")


def _check_mention(
    at: Location, mention: Mention, sight: Sight, problems: Problems, *, all_known: bool = False
) -> None:
    *outputs, param = mention.alternatives
    if _is_param(param, sight.names):
        return
    if not outputs:
        _check_plain(at, mention, sight, problems, all_known=all_known)
    elif (why := why_unread(outputs, sight)) is not None:
        problems.add(at, f"'{mention.text}': {why}")


def _check_conditions(view: _View, upstream: Upstream, around: Around, problems: Problems, names_of: NamesOf) -> None:
    for at, message in view.level.unjudged:
        problems.add(at, message)
    nodes = {node.id: node for node in view.level.nodes}
    for edge in view.level.edges:
        node = nodes.get(edge.source)
        if node is not None and not is_word(edge.condition):
            reachable = (*view.upstream, (upstream, node.id))
            names = view.names | node.params | node.outputs | STEP_PARAMS.keys()
            sight = Sight(node, reachable, names, around, node.id)
            known = not view.is_open
            _check_expression(edge.condition_at, edge.condition, sight, problems, names_of, all_known=known)


def _check_expression(
    at: Location, text: str, sight: Sight, problems: Problems, names_of: NamesOf, *, all_known: bool
) -> None:
    """Check what an expression of a step says; unless *all_known*, a name that nothing has may come with the start."""
    names = names_in(at, text, problems, names_of)
    for function, arguments in sorted(names.lookups, key=str):
        if (why := why_lookup_fails(function, arguments, sight)) is not None:
            problems.add(at, f"params.{function}: {why}")
    for mention in map(mention_of, sorted(names.variables)):
        *outputs, param = mention.alternatives
        own = any(ref.step_id == sight.node.id and ref.name in sight.node.params for ref in outputs)
        if own or param.name in sight.names:
            continue
        if not outputs:
            if all_known:
                _refuse_unknown(at, mention, sight, problems)
        elif (why := why_unread(outputs, sight)) is not None:
            problems.add(at, f"'{mention.text}': {why}")


def names_in(at: Location, text: str, problems: Problems, names_of: NamesOf) -> ExpressionNames:
    """Return what an expression needs; if it is none, or asks for what this version has not, that is a problem."""
    try:
        names = names_of(text)
    except ValueError as exc:
        problems.add(at, str(exc))
        return names_unread(text)
    for why in names.unserved:
        problems.add(at, why)
    return names


def _refuse_unknown(at: Location, mention: Mention, sight: Sight, problems: Problems) -> None:
    """Refuse a name that nothing has; in a condition it may have been meant as an output."""
    if problems.is_full:
        return
    near = suggestion(mention.text, sight.names)
    if not near and sight.completed is not None and sight.node.level is None:
        near = f"; write {sight.completed}__{mention.text} for an output of step '{sight.completed}'"
    problems.add(at, f"'{mention.text}' names no parameter{near}")


def _check_plain(at: Location, mention: Mention, sight: Sight, problems: Problems, *, all_known: bool) -> None:
    """Refuse ``${step.name}``, which was meant as an output.  Other names may be given at the start."""
    for name, way in mention.alternatives[0].readings():
        if way and name in sight.steps:
            problems.add(at, f"'{mention.text}' is no parameter; write {_meant(sight.steps[name], way)}")
            return
    if all_known:
        _refuse_unknown(at, mention, sight, problems)


def _meant(node: Node, way: Sequence[str]) -> str:
    """Return what the author who wrote *way* behind the step's id probably meant."""
    parts = [part for part in way if part not in ("", "output")]
    step = node.id
    if node.level is not None and parts and any(inner.id == parts[0] for inner in node.level.nodes):
        step = f"{node.id}.{parts.pop(0)}"
    return f"${{{step}.output.{'.'.join(parts) or 'name'}}}"


def _check_program(at: Location, mention: Mention, sight: Sight, problems: Problems) -> None:
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


def _is_param(reference: Reference, names: frozenset[str]) -> bool:
    return any(name in names for name, _ in reference.readings())


def _check_of_workflow(at: Location, mention: Mention, names: frozenset[str], problems: Problems) -> None:
    """Refuse, in a timeout or a retry policy, what is none of *names*, which are those of the workflow."""
    if not _is_param(mention.alternatives[-1], names) and not problems.is_full:
        near = suggestion(mention.text, names)
        problems.add(at, f"'{mention.text}' names no workflow parameter, and only those may be used here{near}")


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
    for param, at, text in (
        (param, *found) for param, several in outline.param_expressions.items() for found in several
    ):
        expression = names_in(at, text, problems, names_of)
        if any(function == "getFromForeach" for function, _ in expression.lookups):
            problems.add(at, "params.getFromForeach: the workflow's parameters are evaluated before any step runs")
        for name in sorted(expression.variables):
            need(param, at, mention_of(name))
    for at, mention in outline.mentions:
        if not outline.is_open and not _is_param(mention.alternatives[-1], names):
            problems.add(at, f"'{mention.text}' names no workflow parameter{suggestion(mention.text, names)}")
    cycle = find_cycle(needs)
    if cycle is not None:
        problems.add((*outline.params_at, cycle[0]), f"the parameters need one another: {spell_cycle(cycle)}")
