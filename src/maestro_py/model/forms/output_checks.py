"""Say why an output that a text refers to can never be known: of a step, or of one in the iterations of a foreach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from maestro_py.model.forms.outline import Node
from maestro_py.model.forms.sight import Sight
from maestro_py.model.given_names import STEP_PARAMS
from maestro_py.model.suggestions import suggestion
from maestro_py.model.templates import Reference, steps_inside

#: What the service tells of any step.
_OF_ANY_STEP: Final = frozenset({*STEP_PARAMS, "MAESTRO_STEP_STATUS", "MAESTRO_STEP_END_TIME"})


def why_unread(outputs: Sequence[Reference], sight: Sight) -> str | None:
    """Return what is wrong if none of *outputs*, the ways to read one reference, can be known where *sight* stands."""
    found: list[str] = []
    for reference in outputs:
        why = _why_unread(reference, sight)
        if why is None:
            return None
        if reference.step_id in sight.steps:
            found.insert(0, why)
        else:
            found.append(why)
    return found[0]


def why_lookup_fails(function: str, arguments: Sequence[str | None], sight: Sight) -> str | None:
    """Return what is wrong with a call of ``params.<function>``, as far as its arguments are constant."""
    match function, arguments:
        case "getFromForeach", (str(foreach), inner, name):
            node = sight.steps.get(foreach)
            if node is None or node.level is None:
                loops = [step.id for step in sight.steps.values() if step.level is not None]
                return f"there is no foreach '{foreach}'{suggestion(foreach, loops)}"
            return _why_no_results(node, inner, name, sight)
        case "getFromStep", (str(step_id), str(name)):
            if _is_of_loop(step_id, sight):
                return _why_unread(Reference(step_id, name), sight)
    return None


def _is_of_loop(step_id: str, sight: Sight) -> bool:
    """Say whether an output of *step_id* is one of a foreach, or of a step in its iterations."""
    ids = [step_id] if step_id in sight.steps else [foreach for foreach, _ in steps_inside(step_id)]
    return any(name in sight.steps and sight.steps[name].level is not None for name in ids)


def _why_unread(reference: Reference, sight: Sight) -> str | None:
    step_id, name = reference.step_id or "", reference.name
    node = sight.steps.get(step_id)
    if node is None:
        for foreach, inner in steps_inside(step_id):
            around = sight.steps.get(foreach)
            if around is not None and around.level is not None:
                return _why_no_results(around, inner, name, sight)
        return None if sight.sees(step_id) else f"there is no step '{step_id}'{suggestion(step_id, sight.steps)}"
    own = {*node.params, "loop_params", *_OF_ANY_STEP}
    is_param = any(reading in own for reading, _ in reference.readings())
    if node.level is not None and not is_param:
        return _why_no_results_of_only(node, name, sight)
    return None if sight.sees(step_id) else _why_unseen(step_id, name, sight)


def _why_unseen(step_id: str, name: str, sight: Sight) -> str:
    """Return why the step, which exists, is not complete when this one begins."""
    if step_id == sight.node.id:
        return "a step cannot read its own outputs"
    level = sight.upstream[-1][0]
    if any(upstream.has_step(step_id) for upstream, _ in sight.upstream):
        return (
            f"step '{step_id}' does not run before '{sight.node.id}'; make it a dependency"
            if level.has_step(step_id)
            else f"step '{step_id}' does not run before the foreach around '{sight.node.id}'"
        )
    foreach = sight.around.foreach_of[step_id]
    if level.has_step(foreach):
        all_of_them = f"${{{foreach}.{step_id}.output.{name}}}"
        return f"step '{step_id}' runs inside a foreach; write {all_of_them} for the list of all iterations"
    return f"step '{step_id}' runs inside a foreach; the outputs of an iteration stay with it"


# --- results of a foreach ----------------------------------------------------------------------------------


def _why_no_results_of_only(foreach: Node, name: str, sight: Sight) -> str | None:
    """Return why the output *name* of the only step of *foreach* cannot be collected."""
    assert foreach.level is not None
    if foreach.level.size == 1 and foreach.level.nodes:
        return _why_no_results(foreach, foreach.level.nodes[0].id, name, sight)
    if (why := _why_incomplete(foreach, "STEP", name, sight)) is not None:
        return why
    several = " or ".join(f"${{{foreach.id}.{node.id}.output.{name}}}" for node in foreach.level.nodes[:5])
    return f"foreach '{foreach.id}' has no parameter '{name}', and {foreach.level.size} steps; write {several}"


def _why_no_results(foreach: Node, inner: str | None, name: str | None, sight: Sight) -> str | None:
    """Return why what *name* is in *inner* in each iteration of *foreach* cannot be collected; None is not known."""
    assert foreach.level is not None
    if (why := _why_incomplete(foreach, inner or "STEP", name or "NAME", sight)) is not None:
        return why
    if inner is None:
        return None
    node = next((node for node in foreach.level.nodes if node.id == inner), None)
    if node is None:
        within = sight.around.foreach_of.get(inner)
        place = f"; '{inner}' stands in '{within}'" if within is not None else ""
        names = [node.id for node in foreach.level.nodes]
        return f"foreach '{foreach.id}' has no step '{inner}' of its own{place or suggestion(inner, names)}"
    return None if name is None else _why_not_scalar(node, name)


def _why_incomplete(foreach: Node, inner: str, name: str, sight: Sight) -> str | None:
    if sight.sees_beside(foreach.id):
        return None
    if foreach.id == sight.node.id or sight.is_inside(foreach.id):
        return f"the results of foreach '{foreach.id}' are complete only when it has ended"
    if sight.sees(foreach.id):
        around = sight.upstream[-2][1]
        hint = f'"params": {{"all": "${{{foreach.id}.{inner}.output.{name}}}"}}'
        return f"results of foreach '{foreach.id}' are read beside it; give '{around}' {hint} and write ${{all}} here"
    return _why_unseen(foreach.id, name, sight)


def _why_not_scalar(node: Node, name: str) -> str | None:
    known = name if name in node.params | node.outputs else name.split(".")[0]
    if known in node.compound:
        return f"'{known}' of step '{node.id}' is a list or a map; only scalars are collected"
    if not node.reports and known not in node.params | node.outputs:
        names = node.params | node.outputs
        return f"step '{node.id}' has no parameter or output '{known}'{suggestion(known, names)}"
    return None
