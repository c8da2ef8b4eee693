"""
Send one request to an address that has been checked, and read the answer within bounds.

A name is resolved once, every address that it has is checked, and the connection goes to one of just these: a name
that resolves to something else the second time is never asked a second time.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import threading
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import httpx2

from maestro_py.workers.steps.http_guard import AllowedHost, check_addresses, check_host
from maestro_py.workers.steps.http_request import HttpRequest

#: What is kept of the body of an answer, in bytes.
BODY_LIMIT_BYTES: Final = 1 << 20
#: For each: finding the host and connecting to it; sending the request and the answer's beginning; the answer's body.
CONNECT_SECONDS: Final = 30.0
ANSWER_SECONDS: Final = 30.0
BODY_SECONDS: Final = 30.0
#: Of a host with many addresses, this many are tried.
_ADDRESSES_TRIED: Final = 4

_CHARSET: Final = re.compile(
    r"(us-)?ascii|utf-?(8|16|32)(-?[bl]e)?|iso-?8859-?\d+|latin-?1|windows-\d+|cp\d+|gbk|gb2312|gb18030|big5"
    r"|shift_jis|euc-jp|euc-kr|iso-2022-jp|koi8-[ru]"
)

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Return the addresses of a host and port, in the order of preference; OSError: there are none."""


class NoAnswer(Exception):
    """The host was not found or reached, or it did not answer; another time it may.  The text says what happened."""


class BodyTooLarge(Exception):
    """The body of the answer is larger than its bound."""


class BodyUnreadable(Exception):
    """The body of the answer is encoded in a way that was not asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """What came back."""

    status: int
    reason: str
    location: str | None
    body: str | None  #: None: it could not be kept, as `body_fault` says.
    body_fault: str = ""
    address: str = ""  #: Who answered.


async def exchange(
    request: HttpRequest, allowed: frozenset[AllowedHost], resolve: Resolve, tls: ssl.SSLContext
) -> HttpAnswer:
    """
    Return the answer to *request*; redirects are answers like others.

    Raises:
        HostRefused: the host, or an address of it, may not be reached.
        NoAnswer: it could not be reached, or did not answer in time.
    """
    check_host(request.host, request.port, allowed)
    addresses = await _addresses(request, resolve)
    check_addresses(request.host, addresses, allowed)
    transport = httpx2.AsyncHTTPTransport(verify=tls, trust_env=False)
    try:
        async with transport:
            response, address = await _first_answer(transport, request, addresses[:_ADDRESSES_TRIED])
            async with contextlib.aclosing(response):
                return await _read_answer(request, response, address)
    except TimeoutError as exc:
        raise NoAnswer(f"{request.shown}: no complete answer in time") from exc
    except httpx2.HTTPError as exc:
        raise NoAnswer(f"{request.shown}: {_spell(exc)}") from exc


async def resolve_host(host: str, port: int) -> Sequence[str]:
    """
    Return the addresses that the system finds for a host, the preferred first.

    Raises:
        OSError: there are none.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Sequence[str]] = loop.create_future()

    def settle(addresses: Sequence[str], error: OSError | None) -> None:
        if found.done():
            return
        if error is None:
            found.set_result(addresses)
        else:
            found.set_exception(error)

    def look_up() -> None:
        addresses: Sequence[str] = ()
        error: OSError | None = None
        try:
            results = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = list(dict.fromkeys(str(result[4][0]) for result in results))
        except OSError as exc:
            error = exc
        except UnicodeError as exc:
            error = OSError(f"no name of a host: {exc}")
        with contextlib.suppress(RuntimeError):  # the worker has ended meanwhile
            loop.call_soon_threadsafe(settle, addresses, error)

    # A thread of its own: a look-up cannot be broken off, and in a pool a few slow ones would hold up all others.
    threading.Thread(target=look_up, name="http-lookup", daemon=True).start()
    return await found


async def _addresses(request: HttpRequest, resolve: Resolve) -> Sequence[str]:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            addresses = await resolve(request.host, request.port)
    except TimeoutError as exc:
        raise NoAnswer(f"the addresses of {request.host} were not found in time") from exc
    except OSError as exc:
        raise NoAnswer(f"{request.host} cannot be resolved: {exc.strerror or exc}") from exc
    if not addresses:
        raise NoAnswer(f"{request.host} has no address")
    return addresses


async def _first_answer(
    transport: httpx2.AsyncHTTPTransport, request: HttpRequest, addresses: Sequence[str]
) -> tuple[httpx2.Response, str]:
    """Return the answer of the first address that can be connected to, and the address."""
    connect_seconds = CONNECT_SECONDS / len(addresses)
    for address in addresses[:-1]:
        try:
            return await _send(transport, request, address, connect_seconds), address
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            continue  # nothing has been sent
    return await _send(transport, request, addresses[-1], connect_seconds), addresses[-1]


async def _send(
    transport: httpx2.AsyncHTTPTransport, request: HttpRequest, address: str, connect_seconds: float
) -> httpx2.Response:
    headers = {"host": request.url.netloc.decode("ascii"), **request.headers}
    sent = httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=[(name.encode("ascii"), value.encode("utf-8", "replace")) for name, value in headers.items()],
        content=request.body,
        extensions={
            # The certificate must be the host's: the address is only where it was found.
            "sni_hostname": request.host,
            "timeout": {"connect": connect_seconds, "read": ANSWER_SECONDS, "write": ANSWER_SECONDS, "pool": None},
        },
    )
    async with asyncio.timeout(connect_seconds + ANSWER_SECONDS):
        return await transport.handle_async_request(sent)


async def _read_answer(request: HttpRequest, response: httpx2.Response, address: str) -> HttpAnswer:
    body: str | None = None
    fault = ""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            # The length that an answer to HEAD declares is that of a body which does not come.
            data = b"" if request.method == "HEAD" else await _read_body(response)
        body = _text_of(data, response.charset_encoding)
    except (BodyTooLarge, BodyUnreadable) as exc:
        fault = str(exc)
    location = response.headers.get("location")
    return HttpAnswer(
        status=response.status_code,
        reason=response.reason_phrase,
        location=location,
        body=body,
        body_fault=fault,
        address=address,
    )


async def _read_body(response: httpx2.Response) -> bytes:
    declared = response.headers.get("content-length", "")
    if declared.isdigit() and len(declared) < 20 and int(declared) > BODY_LIMIT_BYTES:
        raise BodyTooLarge(f"the body has {declared} bytes; {BODY_LIMIT_BYTES} are allowed")
    body = bytearray()
    async for data in _decoded(response):
        body += data
        if len(body) > BODY_LIMIT_BYTES:
            raise BodyTooLarge(f"the body is larger than the {BODY_LIMIT_BYTES} bytes that are allowed")
    return bytes(body)


async def _decoded(response: httpx2.Response) -> AsyncIterator[bytes]:
    """Yield the body without its encoding; never much more than the bound at a time."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity":
        async for data in response.aiter_raw():
            yield data
    elif encoding in ("gzip", "x-gzip", "deflate"):
        # Not asked for, but some stores keep their files so.
        decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)
        try:
            async for data in response.aiter_raw():
                yield decoder.decompress(data, BODY_LIMIT_BYTES + 1)
        except zlib.error as exc:
            raise BodyUnreadable(f"the body is no {encoding}: {exc}") from exc
        if not decoder.eof or decoder.unused_data:
            raise BodyUnreadable(f"the body is not one whole {encoding}")
    else:
        raise BodyUnreadable(f"the body is encoded as {encoding[:32]!r}, which was not asked for")


def _text_of(data: bytes, charset: str | None) -> str:
    # Python knows codecs beside these that are no charsets, and some that take a minute for a megabyte.
    is_known = charset is not None and _CHARSET.fullmatch(charset.lower())
    try:
        return data.decode(charset if is_known and charset else "utf-8", "replace")
    except LookupError:
        return data.decode("utf-8", "replace")


def _spell(exc: httpx2.HTTPError) -> str:
    kind = type(exc).__name__
    return f"{kind}: {exc}" if str(exc) else kind
