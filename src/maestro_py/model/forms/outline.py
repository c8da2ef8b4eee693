"""
The shape of a document, read leniently: steps, edges and references, each with its place as the author wrote it.

It exists beside the pydantic models so that a wrong field hides no wrong edge: what is not as it should be is left
out here, and the models name it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from maestro_py.model.forms.edges import ALWAYS, NEVER, SeveralRead, as_expression, conditions_of
from maestro_py.model.forms.simple import is_foreach
from maestro_py.model.forms.step_words import is_program, spelled_type
from maestro_py.model.given_names import outputs_of_type
from maestro_py.model.templates import Location, Mention, escape_program, lone_mention, malformed_reference, mentions_in

Mentions = list[tuple[Location, Mention]]
Expressions = list[tuple[Location, str]]

#: Fields of a step that see workflow parameters only (specification 2.7, 4.4).
_WORKFLOW_ONLY: Final = ("timeout", "retry_policy", "retries")
#: Types that the engine runs itself: they report nothing.
_RUN_BY_ENGINE: Final = ("NoOp", "Sleep")
_PLAIN_WORDS: Final = (ALWAYS, NEVER)
#: Fields of a step of the simple form that are no literals, or (params) are looked at by themselves.
_SIMPLE_PLAIN: Final = frozenset(
    {"id", "type", "name", "description", "dependencies", "when", "params", "steps", "tags", "queue", "outputs"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """*source* runs before *target*; the author wrote *named*, one of the two, at *at*."""

    source: str
    target: str
    named: str
    at: Location
    condition: str = ALWAYS  #: An expression, which sees what *source* sees once it has completed.
    condition_at: Location = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One step."""

    id: str
    at: Location
    level: Level | None = None  #: The steps inside a foreach.
    params: frozenset[str] = frozenset()  #: Names of its parameters.
    outputs: frozenset[str] = frozenset()  #: Names of the outputs that it declares.
    compound: frozenset[str] = frozenset()  #: Those of its parameters and outputs that are lists or maps.
    reports: bool = True  #: Whether it may report outputs that it does not declare.
    loop: frozenset[str] = frozenset()  #: Names of its loop parameters.
    spread: bool = False  #: Whether other names may be loop values, too.
    is_open: bool = False  #: Whether those names are known only in a run.
    loop_at: Location | None = None  #: Where it says what it loops over.
    mentions: Mentions = field(default_factory=list)
    program_mentions: Mentions = field(default_factory=list)  #: In the text of a program, each once.
    expressions: Expressions = field(default_factory=list)
    workflow_mentions: Mentions = field(default_factory=list)  #: Where only workflow parameters are visible.
    predecessors: tuple[Location, tuple[str, ...]] | None = None  #: As declared.


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The steps that stand beside one another."""

    at: Location
    size: int  #: Elements of the list, also those that are no steps.
    nodes: list[Node]
    edges: list[Edge]
    unjudged: list[tuple[Location, str]] = field(default_factory=list)  #: Conditions that no edge can judge, and why.


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A signal trigger."""

    at: Location
    signals: tuple[str, ...]  #: Their names.
    params: Mapping[str, Mentions]  #: What each refers to.
    param_expressions: Mapping[str, Expressions]
    expressions: Expressions  #: Its condition, and what its request ids are made from.


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A document's shape."""

    level: Level
    params: Mapping[str, Mentions]  #: Of the workflow: what each refers to.
    param_expressions: Mapping[str, Expressions]  #: Of the workflow, by parameter.
    params_at: Location
    triggers: list[Trigger]
    signals: frozenset[str]  #: Names of signals that start the workflow.
    mentions: Mentions  #: Elsewhere in the workflow, such as its timeout.
    malformed: list[tuple[Location, str]]  #: References that would stay as they are.
    #: Whether names that the definition does not know are left to the start, as the native form always left them: a
    #: definition may be written for what its starts, or the workflows that call it, hand over.
    is_open: bool


def outline_native(document: Mapping[str, Any]) -> Outline:
    """Return the outline of a push in native form."""
    workflow = _object(document.get("workflow"))
    return _outline(workflow, ("workflow",), _native_level, is_open=True)


def outline_simple(document: Mapping[str, Any]) -> Outline:
    """Return the outline of a push in simple form."""
    return _outline(document, (), _simple_level, is_open=False)


def _outline(
    workflow: Mapping[str, Any], at: Location, read_level: Callable[[Any, Location], Level], *, is_open: bool
) -> Outline:
    params = _object(workflow.get("params"))
    triggers = list(_triggers(workflow, at))
    return Outline(
        level=read_level(workflow.get("steps"), (*at, "steps")),
        params={name: list(_param_mentions(value, (*at, "params", name))) for name, value in params.items()},
        param_expressions={
            name: list(_param_expressions(value, (*at, "params", name))) for name, value in params.items()
        },
        params_at=(*at, "params"),
        triggers=triggers,
        signals=frozenset(name for trigger in triggers for name in trigger.signals),
        mentions=list(mentions_in(workflow.get("timeout"), (*at, "timeout"))),
        malformed=list(_malformed(workflow, at)),
        is_open=is_open,
    )


def _native_level(steps: Any, at: Location) -> Level:
    level = Level(at=at, size=len(_list(steps)), nodes=[], edges=[])
    for index, element in enumerate(_list(steps)):
        for kind, step in _object(element).items():
            if isinstance(step, dict) and isinstance(name := step.get("id"), str):
                _add_native(level, name, step, (*at, index, kind))
    return level


def _add_native(level: Level, name: str, step: Mapping[str, Any], at: Location) -> None:
    transition = _object(step.get("transition"))
    params = _object(step.get("params"))
    loop = _object(_object(params.get("loop_params")).get("value"))
    predecessors = transition.get("predecessors")
    level.nodes.append(
        Node(
            id=name,
            at=at,
            level=_native_level(step["steps"], (*at, "steps")) if "steps" in step else None,
            params=frozenset(params),
            outputs=frozenset(_declared_outputs(step)),
            compound=_compound(params, _declared_outputs(step)),
            reports=step.get("undeclared_outputs") is True,
            loop=frozenset(loop),
            spread=step.get("spread_items") is True,
            is_open="steps" in step and (step.get("spread_items") is True or not loop),
            loop_at=(*at, "params", "loop_params") if "steps" in step else None,
            mentions=_params_mentions(params, (*at, "params")),
            expressions=_params_expressions(params, (*at, "params")),
            workflow_mentions=_workflow_mentions(step, at),
            predecessors=((*at, "transition", "predecessors"), tuple(_texts(predecessors))) if predecessors else None,
        )
    )
    for target, condition in _object(transition.get("successors")).items():
        edge_at = (*at, "transition", "successors", target)
        judged = condition if isinstance(condition, str) else ALWAYS
        level.edges.append(
            Edge(source=name, target=target, named=target, at=edge_at, condition=judged, condition_at=edge_at)
        )


def _simple_level(steps: Any, at: Location) -> Level:
    level = Level(at=at, size=len(_list(steps)), nodes=[], edges=[])
    for index, step in enumerate(_list(steps)):
        if isinstance(step, dict) and isinstance(name := step.get("id"), str):
            _add_simple(level, name, step, (*at, index))
    return level


def _add_simple(level: Level, name: str, step: dict[str, Any], at: Location) -> None:
    literals = {key: value for key, value in step.items() if key not in _SIMPLE_PLAIN and key not in _WORKFLOW_ONLY}
    kind = spelled_type(step["type"]) if isinstance(step.get("type"), str) else ""
    params = _object(step.get("params"))
    programs = {key: literals.pop(key) for key in list(literals) if is_program(kind, key)}
    level.nodes.append(
        Node(
            id=name,
            at=at,
            level=_simple_level(step["steps"], (*at, "steps")) if "steps" in step else None,
            params=frozenset(params),
            outputs=frozenset(_declared_outputs(step)),
            compound=_compound(params, _declared_outputs(step)),
            reports=_reports(step),
            loop=frozenset({"item", *_keys_of_items(step.get("items"))}) if is_foreach(step) else frozenset(),
            spread=is_foreach(step),
            is_open=is_foreach(step) and _is_open(step.get("items")),
            loop_at=(*at, "items") if is_foreach(step) else None,
            mentions=[*mentions_in(literals, at), *_params_mentions(params, (*at, "params"))],
            expressions=_params_expressions(params, (*at, "params")),
            program_mentions=[found for key, text in programs.items() for found in _in_program(text, (*at, key))],
            workflow_mentions=_workflow_mentions(step, at),
        )
    )
    when = step.get("when")
    judged = as_expression(when) if isinstance(when, str) and when.strip().lower() not in _PLAIN_WORDS else ALWAYS
    conditions: Mapping[str, str] = {}
    try:
        conditions = conditions_of(judged, _texts(step.get("dependencies")))
    except SeveralRead as exc:
        level.unjudged.append(((*at, "when"), str(exc)))
    for index, source in enumerate(_list(step.get("dependencies"))):
        if isinstance(source, str):
            level.edges.append(
                Edge(
                    source=source,
                    target=name,
                    named=source,
                    at=(*at, "dependencies", index),
                    condition=conditions.get(source, ALWAYS),
                    condition_at=(*at, "when"),
                )
            )


def _reports(step: Mapping[str, Any]) -> bool:
    kind = step.get("type")
    return "steps" not in step and not (isinstance(kind, str) and spelled_type(kind) in _RUN_BY_ENGINE)


def _declared_outputs(step: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the outputs that *step* declares or has by its type, each with the word for what it is."""
    outputs, kind = step.get("outputs"), step.get("type")
    of_type = outputs_of_type(spelled_type(kind)) if isinstance(kind, str) else {}
    own = dict.fromkeys(_texts(outputs), "JSON") if isinstance(outputs, list) else _object(outputs)
    return {**of_type, **own}


def _compound(params: Mapping[str, Any], outputs: Mapping[str, Any]) -> frozenset[str]:
    """Return the names that are never a scalar; where an output has the name of a parameter, it counts."""
    words = {name: _type_word(value) for name, value in params.items()} | {
        k: str(v).upper() for k, v in outputs.items()
    }
    return frozenset(name for name, word in words.items() if word.endswith(("_ARRAY", "MAP")))


def _type_word(document: Any) -> str:
    """Return the type of a plain value, or of a definition; JSON where only a run knows it."""
    if isinstance(document, dict) and "type" in document and ("value" in document or "expression" in document):
        return str(document["type"]).upper()
    if isinstance(document, list | dict):
        return "MAP"
    return "JSON"


def _in_program(text: Any, at: Location) -> Iterator[tuple[Location, Mention]]:
    found = mentions_in(escape_program(text) if isinstance(text, str) else text, at)
    return iter(dict.fromkeys(found))


def _keys_of_items(items: Any) -> Iterator[str]:
    """Yield the names under which the iterations see the values of objects among *items*."""
    for item in _list(items):
        yield from _object(item)


def _is_open(items: Any) -> bool:
    """Say whether *items*, or one of them, is known only in a run."""
    return not isinstance(items, list) or any(lone_mention(item) is not None for item in items)


def _params_mentions(params: Mapping[str, Any], at: Location) -> Mentions:
    return [found for name, document in params.items() for found in _param_mentions(document, (*at, name))]


def _params_expressions(params: Mapping[str, Any], at: Location) -> Expressions:
    return [found for name, document in params.items() for found in _param_expressions(document, (*at, name))]


def _param_expressions(document: Any, at: Location) -> Iterator[tuple[Location, str]]:
    """Yield the expression of a definition, or those in the value of a MAP."""
    if not isinstance(document, dict) or "type" not in document:
        return
    if isinstance(document.get("expression"), str):
        yield (*at, "expression"), document["expression"]
    elif isinstance(value := document.get("value"), dict) and str(document["type"]).upper() == "MAP":
        for name, inner in value.items():
            yield from _param_expressions(inner, (*at, "value", name))


def _param_mentions(document: Any, at: Location) -> Iterator[tuple[Location, Mention]]:
    """Yield the mentions in a plain value, or in the value of a definition: the rest of that is no literal."""
    if isinstance(document, dict) and "type" in document and document.get("expression") is not None:
        return
    if not isinstance(document, dict) or "value" not in document or "type" not in document:
        yield from mentions_in(document, at)
    elif isinstance(value := document["value"], dict) and str(document["type"]).upper() == "MAP":
        for name, inner in value.items():
            yield from _param_mentions(inner, (*at, "value", name))
    else:
        yield from mentions_in(value, (*at, "value"))


def _triggers(workflow: Mapping[str, Any], at: Location) -> Iterator[Trigger]:
    """Yield the signal triggers of a workflow, in either form."""
    for index, trigger in enumerate(_list(workflow.get("signal_triggers"))):
        yield _trigger(_object(trigger), (*at, "signal_triggers", index))
    for index, trigger in enumerate(_list(workflow.get("triggers"))):
        yield _trigger(_object(trigger), (*at, "triggers", index))
    if "trigger" in workflow:
        yield _trigger(_object(workflow["trigger"]), (*at, "trigger"))


def _trigger(trigger: Mapping[str, Any], at: Location) -> Trigger:
    params = _object(trigger.get("params"))
    name = trigger.get("signal_name")
    signals = (name,) if isinstance(name, str) else tuple(_object(trigger.get("definitions")))
    expressions = [((*at, key), trigger[key]) for key in ("condition", "dedup_expr", "dedup") if key in trigger]
    return Trigger(
        at=at,
        signals=signals,
        params={name: list(_param_mentions(value, (*at, "params", name))) for name, value in params.items()},
        param_expressions={
            name: list(_param_expressions(value, (*at, "params", name))) for name, value in params.items()
        },
        expressions=[(place, as_expression(text)) for place, text in expressions if isinstance(text, str)],
    )


def _workflow_mentions(step: Mapping[str, Any], at: Location) -> Mentions:
    return [found for key in _WORKFLOW_ONLY for found in mentions_in(step.get(key), (*at, key))]


def _malformed(value: Any, at: Location) -> Iterator[tuple[Location, str]]:
    if isinstance(value, str):
        if (text := malformed_reference(value)) is not None:
            yield at, text
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _malformed(inner, (*at, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _malformed(inner, (*at, index))


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    return [text for text in _list(value) if isinstance(text, str)]
