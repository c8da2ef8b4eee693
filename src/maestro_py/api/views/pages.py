"""The public form of a page (specification 0)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from maestro_py.ports.api_records import Page

T = TypeVar("T")


def page_document(page: Page[T], render: Callable[[T], Any]) -> dict[str, Any]:
    """Return *page* with its elements rendered; counts are of ids, not of rows."""
    if not page.ids:
        return {
            "page_info": {"has_previous_page": False, "has_next_page": False, "start_index": 0},
            "total_count": 0,
            "elements": [],
        }
    start, end = page.ids[0], page.ids[-1]
    return {
        "page_info": {
            "start_cursor": str(start),
            "end_cursor": str(end),
            "has_previous_page": start < page.newest_id,
            "has_next_page": end > page.oldest_id,
            "start_index": page.newest_id - start + 1,
        },
        "total_count": page.newest_id - page.oldest_id + 1,
        "elements": [render(element) for element in page.elements],
    }
