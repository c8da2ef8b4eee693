"""The public form of what happened to a run or an attempt (specification 5.5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Event = Mapping[str, Any]


def logged(timestamp: int, message: str, level: str = "INFO") -> dict[str, Any]:
    """Return a LOG event at *timestamp* (UTC epoch ms)."""
    return {"type": "LOG", "timestamp": timestamp, "level": level, "message": message}


def acted(timestamp: int, action: str, author: str, message: str) -> dict[str, Any]:
    """Return an ACTION event at *timestamp* (UTC epoch ms)."""
    return {"type": "ACTION", "timestamp": timestamp, "action": action, "author": author, "message": message}


def became(timestamp: int, status: str) -> dict[str, Any]:
    """Return a STATUS event at *timestamp* (UTC epoch ms)."""
    return {"type": "STATUS", "timestamp": timestamp, "status": status}


def in_order(events: Iterable[Event]) -> list[Event]:
    """Return *events* by their times; those of one time keep their order, equal neighbours collapse."""
    ordered: list[Event] = []
    for event in sorted(events, key=lambda event: event["timestamp"]):
        if not ordered or _said(ordered[-1]) != _said(event):
            ordered.append(event)
    return ordered


def _said(event: Event) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "timestamp"}
