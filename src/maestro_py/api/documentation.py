"""What /docs says of the routes beside their docstrings: titles, names for generated clients, groups."""

from __future__ import annotations

import re
from typing import Any, Final

from fastapi import APIRouter
from fastapi.routing import APIRoute

#: The groups, in the order in which they are shown.
TAGS: Final[list[dict[str, Any]]] = [
    {"name": "definitions", "description": "Push, check and activate the definitions of workflows."},
    {"name": "workflows", "description": "Read workflows, their versions and their history."},
    {"name": "start", "description": "Start instances, one or many."},
    {"name": "stop and kill", "description": "End instances before their time."},
    {"name": "instances", "description": "Read instances and their runs."},
    {"name": "steps", "description": "Read steps, their attempts, what they printed, and the iterations of loops."},
    {"name": "iterations", "description": "Find an iteration by its numbers, in loops that stand in one another."},
    {"name": "signals", "description": "Announce signals, which start what waits for them."},
    {"name": "expressions", "description": "Try expressions."},
    {"name": "dead letters", "description": "Events that the engine could not apply."},
    {"name": "health", "description": "For whoever runs this process."},
]

#: Where the title of a route ends in the first sentence of its docstring.
_TITLE: Final = re.compile(r"[^.;:,(]+")


def describe_routes(router: APIRouter) -> None:
    """Give each route a title, the beginning of its docstring, and the name of its function for generated clients."""
    for route in router.routes:
        if isinstance(route, APIRoute):
            title = _TITLE.match(route.description)
            route.summary = (title[0] if title else route.name).replace("`", "").strip()
            route.operation_id = route.name
