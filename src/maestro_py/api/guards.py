"""What stands before every request: the Host header is checked, and no body grows beyond its limit."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, Final

from maestro_py.api.errors import BodyTooLarge, RequestInvalid, answer_to

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOOPBACK: Final = frozenset({"localhost", "localhost.localdomain"})
#: What is still read of a body that was refused, so that the client gets to see the answer, in limits.
_DRAINED_LIMITS: Final = 4


class HostGuard:
    """
    Refuses requests for a host that we are not: a page elsewhere cannot reach us by having its name point at us.

    Args:
        app: What is guarded.
        names: Names we answer to besides loopback; ``*`` allows every name.  Addresses are always allowed: only a
            name can be made to point somewhere else.
    """

    def __init__(self, app: App, names: Collection[str]) -> None:
        self._app = app
        self._names = _LOOPBACK | {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 400."""
        if scope["type"] == "http" and not self._is_allowed(_header(scope, b"host")):
            await answer_to(RequestInvalid("the Host header names no host of ours"))(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_allowed(self, header: str) -> bool:
        if "*" in self._names:
            return True
        host = header.lower().rsplit("]", 1)[0].removeprefix("[") if header.startswith("[") else _without_port(header)
        return host in self._names or _is_address(host)


class BodyLimit:
    """Refuses bodies above *limit* bytes before anything reads them, whether or not they say their length."""

    def __init__(self, app: App, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a body that is counted, or answer 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        stated = _header(scope, b"content-length")
        if stated.isdigit() and int(stated) > self._limit:
            await _drain(receive, self._limit * _DRAINED_LIMITS)
            await answer_to(self._error())(scope, receive, send)
            return
        await self._app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Receive:
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._limit:
                await _drain(receive, self._limit * _DRAINED_LIMITS, first=message)
                raise self._error()
            return message

        return counted

    def _error(self) -> BodyTooLarge:
        return BodyTooLarge(f"the body is larger than {self._limit} bytes")


async def _drain(receive: Receive, limit: int, first: Message | None = None) -> None:
    """Read on, up to *limit* bytes, and forget it: a client that is still sending would not see an answer."""
    message = first or await receive()
    read = 0
    while message["type"] == "http.request" and message.get("more_body") and read < limit:
        message = await receive()
        read += len(message.get("body", b""))


def _header(scope: Scope, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return ""


def _without_port(header: str) -> str:
    return header.lower().split(":", 1)[0]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
