"""Check the graph of the steps: ids, edges, cycles, sizes (specification 2.2, 2.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from maestro_py.model.forms.outline import Level, Node, Outline
from maestro_py.model.forms.problems import Problems
from maestro_py.model.suggestions import suggestion
from maestro_py.model.templates import Location, spell_location

#: A foreach may stand in another so deep.
MAX_NESTING: Final = 10
_SHOWN_IN_CYCLE: Final = 12


def check_size(outline: Outline, max_steps: int, problems: Problems) -> None:
    """Add to *problems* if there are more than *max_steps* steps, or too deep a nesting."""
    levels = [(outline.level, 0)]
    count = 0
    while levels:
        level, depth = levels.pop()
        count += level.size
        if depth >= MAX_NESTING:
            problems.add(level.at, f"steps may be nested at most {MAX_NESTING} levels deep")
            continue
        levels.extend((node.level, depth + 1) for node in level.nodes if node.level is not None)
    if count > max_steps:
        problems.add(outline.level.at, f"{count} steps, nested ones included, are more than {max_steps}")


def check_graph(outline: Outline, problems: Problems) -> None:
    """Add everything that is wrong with the ids and edges of *outline* to *problems*."""
    places: dict[str, Location] = {}
    levels = [(outline.level, frozenset[str]())]
    found = []
    while levels:
        level, loops = levels.pop()
        found.append(level)
        inner = []
        for node in level.nodes:
            if node.id in places:
                problems.add((*node.at, "id"), f"'{node.id}' is also the id of {spell_location(places[node.id])}")
            places.setdefault(node.id, node.at)
            if node.level is not None:
                _check_loop_names(node, loops, problems)
                inner.append((node.level, loops | node.loop))
        levels.extend(reversed(inner))
    for level in found:
        _check_edges(level, places, problems)
        _check_predecessors(level, problems)
        _check_cycle(level, problems)


def _check_loop_names(node: Node, loops: frozenset[str], problems: Problems) -> None:
    if node.spread:
        return  # `item` of an inner foreach hides that of the outer one, as a reader expects
    for name in sorted(node.loop & loops):
        at = (*node.at, "params", "loop_params", "value", name)
        problems.add(at, f"'{name}' is also a loop parameter of an enclosing foreach")


def _check_edges(level: Level, places: Mapping[str, Location], problems: Problems) -> None:
    here = {node.id for node in level.nodes}
    seen: set[tuple[str, str]] = set()
    for edge in level.edges:
        if edge.named not in here:
            if edge.named in places:
                problems.add(edge.at, f"step '{edge.named}' is not at the same level: {_where(edge.named, places)}")
            else:
                problems.add(edge.at, f"there is no step '{edge.named}'{suggestion(edge.named, here)}")
        elif (edge.source, edge.target) in seen:
            problems.add(edge.at, f"'{edge.named}' stands twice")
        seen.add((edge.source, edge.target))


def _where(name: str, places: Mapping[str, Location]) -> str:
    return f"it is {spell_location(places[name])}"


def _check_predecessors(level: Level, problems: Problems) -> None:
    derived: dict[str, set[str]] = {node.id: set() for node in level.nodes}
    for edge in level.edges:
        derived.get(edge.target, set()).add(edge.source)
    for node in level.nodes:
        if node.predecessors is None:
            continue
        at, given = node.predecessors
        if set(given) != derived[node.id]:
            expected = ", ".join(sorted(derived[node.id])) or "none"
            problems.add(at, f"must be left out, or name the steps whose successor this is: {expected}")


def _check_cycle(level: Level, problems: Problems) -> None:
    successors: dict[str, list[str]] = {node.id: [] for node in level.nodes}
    for edge in level.edges:
        if edge.source in successors and edge.target in successors:
            successors[edge.source].append(edge.target)
    cycle = find_cycle(successors)
    if cycle is not None:
        problems.add(level.at, f"the steps form a cycle: {spell_cycle(cycle)}")


def find_cycle(successors: Mapping[str, Iterable[str]]) -> list[str] | None:
    """Return the nodes of one cycle in order, the first again at the end, or None.  Not recursive."""
    done: set[str] = set()
    for root in successors:
        path: dict[str, Iterable[str]] = {}
        if root in done:
            continue
        path[root] = iter(successors[root])
        while path:
            current = next(reversed(path))
            following = next(iter(path[current]), None)
            if following is None:
                done.add(current)
                del path[current]
            elif following in path:
                nodes = [*path]
                return [*nodes[nodes.index(following) :], following]
            elif following not in done and following in successors:
                path[following] = iter(successors[following])
    return None


def spell_cycle(cycle: list[str]) -> str:
    """Return a cycle as text, its middle left out if it is long."""
    shown = cycle if len(cycle) <= _SHOWN_IN_CYCLE else [*cycle[:6], f"… {len(cycle) - 11} more …", *cycle[-5:]]
    return " -> ".join(shown)
