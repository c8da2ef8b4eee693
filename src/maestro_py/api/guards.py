"""What stands before every request: whom it is for and where it comes from is checked, and how large it is."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, Final

from maestro_py.api.errors import BodyTooLarge, Forbidden, RequestInvalid, answer_to
from maestro_py.model.errors import MaestroError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOOPBACK: Final = frozenset({"localhost", "localhost.localdomain"})
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: What is still read of a body that was refused, so that the client gets to see the answer, in limits.
_DRAINED_LIMITS: Final = 4


class RequestGuard:
    """
    Refuses requests that a page of another site makes a browser send, and those that name what nothing can be named.

    The Host header must name us: a page elsewhere could have a name of its own point here.  A request that changes
    something must not say that it comes from a page of another origin: whoever can push a definition can run commands.

    Args:
        app: What is guarded.
        names: Names we answer to besides loopback; ``*`` allows every name.  Addresses are always allowed: only a
            name can be made to point somewhere else.
    """

    def __init__(self, app: App, names: Collection[str]) -> None:
        self._app = app
        self._names = _LOOPBACK | {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        problem = self._problem(scope) if scope["type"] == "http" else None
        if problem is not None:
            await answer_to(problem)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _problem(self, scope: Scope) -> MaestroError | None:
        host = _header(scope, b"host").lower()
        if not self._is_ours(host):
            return RequestInvalid("the Host header names no host of ours")
        if scope["method"] not in _SAFE_METHODS and not _is_same_origin(_header(scope, b"origin").lower(), host):
            return Forbidden("pages of other origins may not change anything here")
        if "\0" in scope["path"] or b"%00" in scope.get("query_string", b""):
            return RequestInvalid("the address holds a character that nothing here is named with (U+0000)")
        return None

    def _is_ours(self, host: str) -> bool:
        if "*" in self._names:
            return True
        name = host.rsplit("]", 1)[0].removeprefix("[") if host.startswith("[") else host.split(":", 1)[0]
        return name in self._names or _is_address(name)


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


def _is_same_origin(origin: str, host: str) -> bool:
    """Say whether a page of *origin* is one of ours; only browsers say where a request comes from."""
    return not origin or origin in (f"http://{host}", f"https://{host}")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
