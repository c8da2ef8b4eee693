"""Check that what signal triggers compute can be known when they fire (specification 8.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from maestro_py.model.forms.graph_checks import find_cycle, spell_cycle
from maestro_py.model.forms.outline import Outline, Trigger
from maestro_py.model.forms.problems import Problems
from maestro_py.model.forms.reference_checks import NamesOf, names_in, names_unread
from maestro_py.model.suggestions import suggestion
from maestro_py.model.templates import Location, Mention, mention_of

_OF_STEPS: Final = frozenset({"getFromStep", "getFromForeach"})
_OF_SIGNALS: Final = frozenset({"getFromSignal", "getFromSignalOrDefault"})


def check_triggers(outline: Outline, problems: Problems, names_of: NamesOf = names_unread) -> None:
    """Add every name in a trigger that means nothing, and every expression that is none, to *problems*."""
    for trigger in outline.triggers:
        for name in trigger.params:
            if name in trigger.signals:
                problems.add((*trigger.at, "params", name), f"'{name}' is the name of the signal; choose another")
        needs: dict[str, list[str]] = {name: [] for name in trigger.params}
        for name in trigger.params:
            for at, mention in _mentions(trigger, name, problems, names_of):
                needs[name] += _named(trigger, at, mention, problems)
        cycle = find_cycle(needs)
        if cycle is not None:
            at = (*trigger.at, "params", cycle[0])
            problems.add(at, f"the parameters need one another: {spell_cycle(cycle)}")
        for at, text in trigger.expressions:
            for mention in _asked(trigger, at, text, problems, names_of):
                _named(trigger, at, mention, problems)


def _mentions(trigger: Trigger, name: str, problems: Problems, names_of: NamesOf) -> Iterator[tuple[Location, Mention]]:
    yield from trigger.params[name]
    for at, text in trigger.param_expressions[name]:
        for mention in _asked(trigger, at, text, problems, names_of):
            yield at, mention


def _asked(trigger: Trigger, at: Location, text: str, problems: Problems, names_of: NamesOf) -> list[Mention]:
    """Return the variables of an expression; what it asks of steps, or of other signals, is a problem."""
    names = names_in(at, text, problems, names_of)
    for function, arguments in sorted(names.lookups, key=str):
        if function in _OF_STEPS:
            problems.add(at, f"params.{function}: a trigger is evaluated before any step runs")
        elif function in _OF_SIGNALS and len(arguments) > 1 and arguments[0] not in (None, *trigger.signals):
            known = ", ".join(trigger.signals)
            problems.add(at, f"params.{function}: the trigger does not wait for '{arguments[0]}', but for {known}")
    return [mention_of(name) for name in sorted(names.variables)]


def _named(trigger: Trigger, at: Location, mention: Mention, problems: Problems) -> list[str]:
    """Return the parameter of the trigger that *mention* names; nothing, if it names a parameter of a signal."""
    *outputs, param = mention.alternatives
    found = next((name for name, _ in param.readings() if name in trigger.params), None)
    if found is not None:
        return [found]
    if not any(reference.step_id in trigger.signals for reference in outputs):
        problems.add(at, f"'{mention.text}' names no parameter of the trigger{_meant(mention, trigger)}")
    return []


def _meant(mention: Mention, trigger: Trigger) -> str:
    close = suggestion(mention.text, trigger.params)
    return close or "".join(
        f"; a parameter of the signal is {_spelled(signal, mention)}" for signal in trigger.signals[:1]
    )


def _spelled(signal: str, mention: Mention) -> str:
    # `other.output.day` and `other__day` mean `day` of a signal, but not of this one.
    name = mention.alternatives[0].name
    if mention.text.endswith(f".output.{name}"):
        return f"{signal}.output.{name}"
    return f"{signal}__{name}" if signal.isidentifier() else f"params.getFromSignal('{signal}', '{name}')"
