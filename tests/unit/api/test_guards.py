"""What stands before every request, without anything behind it."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_py.api.guards import BodyLimit, Message, Receive, RequestGuard, Scope, Send


class Behind:
    """What is guarded: reads the body and says what it got."""

    def __init__(self) -> None:
        self.body: bytes | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.body = b""
        while True:
            message = await receive()
            self.body += message.get("body", b"")
            if not message.get("more_body"):
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})


async def status_of(
    app: Any, *chunks: bytes, method: str = "POST", path: str = "/", query: bytes = b"", **headers: str
) -> int:
    """Return the status that a request is answered with."""
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})
    sent: list[Message] = []

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query,
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    await app(scope, receive, send)
    status: int = sent[0]["status"]
    return status


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:3000", "https://localhost"])
async def test_a_page_of_another_origin_may_not_change_anything(origin: str) -> None:
    """Anybody's page can have a browser send a POST to this machine; a pushed definition runs commands."""
    guard = RequestGuard(Behind(), [])

    assert 403 == await status_of(guard, host="localhost:8080", origin=origin)
    assert 200 == await status_of(guard, method="GET", host="localhost:8080", origin=origin)


async def test_our_own_pages_and_whoever_is_no_browser_may() -> None:
    guard = RequestGuard(Behind(), ["maestro.example"])

    assert 200 == await status_of(guard, host="localhost:8080")
    assert 200 == await status_of(guard, host="127.0.0.1:8080", origin="http://127.0.0.1:8080")
    assert 200 == await status_of(guard, host="Maestro.example", origin="https://maestro.example")


@pytest.mark.parametrize("where", [{"path": "/a\0b"}, {"query": b"cursor=%00"}])
async def test_an_address_with_a_character_that_nothing_is_named_with_is_refused(where: dict[str, Any]) -> None:
    assert 400 == await status_of(RequestGuard(Behind(), []), host="localhost", **where)


async def test_every_name_is_ours_if_the_operator_says_so() -> None:
    assert 200 == await status_of(RequestGuard(Behind(), ["*"]), host="anything.example")
    assert 400 == await status_of(RequestGuard(Behind(), []), host="anything.example")
    assert 400 == await status_of(RequestGuard(Behind(), []))


async def test_a_body_that_states_too_great_a_length_is_never_read_by_anybody() -> None:
    behind = Behind()

    assert 413 == await status_of(BodyLimit(behind, 10), b"x" * 11, content_length="11")
    assert behind.body is None


async def test_a_body_within_the_limit_passes_in_its_pieces() -> None:
    behind = Behind()

    assert 200 == await status_of(BodyLimit(behind, 10), b"12345", b"67890", content_length="10")
    assert b"1234567890" == behind.body
