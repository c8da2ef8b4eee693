"""A small HTTP server whose every byte the test chooses, and that remembers what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

#: A key and a certificate of the name service.test, which nobody else has.
CERTIFICATE = Path(__file__).with_name("service_test.pem")


@dataclass(frozen=True)
class Received:
    """One request."""

    method: str
    target: str
    headers: dict[str, str]  #: Names in lower case.
    body: bytes


def answer(status: int = 200, body: bytes = b"", reason: str = "Fine", **headers: str) -> bytes:
    """Return an answer; underscores in the names of *headers* are dashes."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    fields = {"content-length": str(len(body)), "connection": "close", **given}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} {reason}\r\n{head}\r\n".encode() + body


@dataclass
class Service:
    """The server; *answers* says what each target is answered, `hang` is answered never."""

    host: str = "127.0.0.1"
    port: int = 0
    answers: dict[str, bytes | Callable[[Received], bytes]] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)  #: Asked for in TLS handshakes.
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{self.host}:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            method, target, _ = first.split(" ")
            request = Received(method, target, headers, body)
            self.received.append(request)
            given = self.answers.get(request.target, answer())
            data = given(request) if callable(given) else given
            if data == HANG:
                await reader.read()  # until the other side lets go
            writer.write(data)
            await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


HANG = b""


@asynccontextmanager
async def running_service(
    host: str = "127.0.0.1", *, tls: bool = False, **answers: bytes | Callable[[Received], bytes]
) -> AsyncIterator[Service]:
    """Serve until the block ends; the keys of *answers* are targets without their slash."""
    service = Service(host, answers={f"/{name}": given for name, given in answers.items()})
    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        context.sni_callback = lambda _, name, __: service.names.append(name)
    server = await asyncio.start_server(service.serve, host, 0, ssl=context)
    service.port = server.sockets[0].getsockname()[1]
    try:
        yield service
    finally:
        server.close()
        await asyncio.gather(*service.serving)
