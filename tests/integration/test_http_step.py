"""HTTP steps against real servers: what is sent, what the answer means, and where no trick leads."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import socket
import ssl
from collections.abc import Sequence
from typing import Any

import pytest

from maestro_py.model.statuses import Outcome
from maestro_py.ports.step_type import StepReport, StepTypeConfig
from maestro_py.workers.steps import http_exchange, http_guard
from maestro_py.workers.steps.http import HttpStep
from tests.integration.http_service import CERTIFICATE, HANG, Received, Service, answer, running_service
from tests.unit.workers.recording_context import RecordingContext, a_task


class Names:
    """Resolves names as the test says: each time to the next of its answers."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self._answers = {name.replace("_", "."): list(given) for name, given in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        given = self._answers[host]
        return given.pop(0) if len(given) > 1 else given[0]


async def call(step: HttpStep, url: str, **own: Any) -> StepReport:
    return await step.run(a_task("http", {"url": url, **own}), RecordingContext())


def allowing(*hosts: str, resolve: Any = http_exchange.resolve_host, tls: ssl.SSLContext | None = None) -> HttpStep:
    step = HttpStep(resolve, tls)
    step.configure(StepTypeConfig(http_allow=hosts))
    return step


def to(service: Service) -> HttpStep:
    """Return a step type that may reach only *service*."""
    return allowing(f"127.0.0.1:{service.port}")


@pytest.fixture
def public_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let 127.0.0.1 stand for the public internet; every other address is judged as it is."""
    judged = http_guard.why_not_public
    public = ipaddress.ip_address("127.0.0.1")
    monkeypatch.setattr(http_guard, "why_not_public", lambda address: None if address == public else judged(address))


async def test_the_status_and_the_body_are_outputs() -> None:
    async with running_service(day=answer(201, "größe".encode(), content_type="text/plain; charset=utf-8")) as service:
        context = RecordingContext()
        report = await to(service).run(a_task("http", {"url": f"{service.url}/day"}), context)

    assert StepReport(Outcome.DONE, {"status_code": 201, "response_body": "größe"}) == report
    assert f"GET {service.url}/day at 127.0.0.1: 201 Fine, 5 characters" in context.logged


async def test_what_is_sent() -> None:
    async with running_service() as service:
        url = f"{service.url}/a%20b/ü?q=1&r=#part"
        await call(to(service), url, method="put", body={"day": 3}, headers={"X-Team": "ünited"})

    (request,) = service.received
    assert ("PUT", "/a%20b/%C3%BC?q=1&r=", b'{"day":3}') == (request.method, request.target, request.body)
    assert f"127.0.0.1:{service.port}" == request.headers["host"]
    assert "application/json" == request.headers["content-type"]
    assert "w/1/2/s/3" == request.headers["idempotency-key"]
    assert "ünited" == request.headers["x-team"].encode("latin-1").decode()


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.DONE),
        (204, Outcome.DONE),
        (299, Outcome.DONE),
        (304, Outcome.USER_ERROR),
        (400, Outcome.FATAL_ERROR),
        (404, Outcome.FATAL_ERROR),
        (429, Outcome.FATAL_ERROR),
        (500, Outcome.USER_ERROR),
        (503, Outcome.USER_ERROR),
    ],
)
async def test_what_a_status_means(status: int, outcome: Outcome) -> None:
    async with running_service(x=answer(status)) as service:
        report = await call(to(service), f"{service.url}/x")

    assert (outcome, status) == (report.outcome, (report.outputs or {})["status_code"])


async def test_a_failure_says_what_the_server_said() -> None:
    async with running_service() as service:
        service.answers["/x?token=secret"] = answer(500, b"no such table" + b"!" * 1000, "Oops")
        report = await call(to(service), f"{service.url}/x?token=secret")

    assert report.message.startswith(f"GET {service.url}/x?…: 500 Oops\nno such table!!!")
    assert len(report.message) < 700


@pytest.mark.parametrize("how", ["declared", "undeclared", "chunked", "compressed"])
async def test_a_body_beyond_the_bound_is_fatal(how: str) -> None:
    """It is not silently cut; a small answer that unpacks to a large one counts as large."""
    large = b"x" * (http_exchange.BODY_LIMIT_BYTES + 1)
    head = b"HTTP/1.1 200 OK\r\n"
    chunk = f"{len(large):x}\r\n".encode() + large + b"\r\n0\r\n\r\n"
    bombs = {
        "declared": answer(200, large),
        "undeclared": head + b"\r\n" + large,
        "chunked": head + b"transfer-encoding: chunked\r\n\r\n" + chunk,
        "compressed": answer(200, gzip.compress(b"\0" * (50 << 20), 1), content_encoding="gzip"),
    }
    async with running_service(x=bombs[how]) as service:
        report = await call(to(service), f"{service.url}/x")

    assert Outcome.FATAL_ERROR is report.outcome
    assert "1048576" in report.message
    assert report.outputs is None


async def test_a_failure_with_a_large_page_is_still_that_failure() -> None:
    """A retry may help as with any other answer of its status."""
    async with running_service(x=answer(503, b"x" * (2 << 20))) as service:
        report = await call(to(service), f"{service.url}/x")

    assert Outcome.USER_ERROR is report.outcome
    assert {"status_code": 503, "response_body": None} == report.outputs


async def test_a_body_of_just_the_bound_is_whole() -> None:
    async with running_service(x=answer(200, b"x" * http_exchange.BODY_LIMIT_BYTES)) as service:
        report = await call(to(service), f"{service.url}/x")

    assert http_exchange.BODY_LIMIT_BYTES == len((report.outputs or {})["response_body"])


@pytest.mark.parametrize(
    ("body", "headers", "text"),
    [
        (gzip.compress(b"packed", mtime=0), {"content_encoding": "gzip"}, "packed"),
        ("é".encode("latin-1"), {"content_type": "text/plain; charset=ISO-8859-1"}, "é"),
        ("é".encode(), {"content_type": "text/plain; charset=punycode"}, "é"),
        (b"\xff", {}, "\ufffd"),
    ],
)
async def test_a_body_becomes_text(body: bytes, headers: dict[str, str], text: str) -> None:
    async with running_service(x=answer(200, body, **headers)) as service:
        report = await call(to(service), f"{service.url}/x")

    assert text == (report.outputs or {})["response_body"]


@pytest.mark.parametrize(
    ("body", "encoding"), [(b"?", "br"), (b"no gzip", "gzip"), (gzip.compress(b"packed" * 99, mtime=0)[:-9], "gzip")]
)
async def test_a_body_that_cannot_be_unpacked_is_said(body: bytes, encoding: str) -> None:
    async with running_service(x=answer(200, body, content_encoding=encoding)) as service:
        report = await call(to(service), f"{service.url}/x")

    assert Outcome.FATAL_ERROR is report.outcome
    assert encoding in report.message


async def test_the_answer_to_head_has_no_body() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\nconnection: close\r\n\r\n"
    async with running_service(x=head) as service:
        report = await call(to(service), f"{service.url}/x", method="HEAD")

    assert StepReport(Outcome.DONE, {"status_code": 200, "response_body": ""}) == report


@pytest.mark.parametrize(
    "given",
    [HANG, b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n"],
    ids=["no answer", "half a body", "nonsense", "half a head"],
)
async def test_no_whole_answer_is_the_platforms_error(given: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_exchange, "ANSWER_SECONDS", 0.3)
    async with running_service(x=given) as service:
        report = await call(to(service), f"{service.url}/x")

    assert Outcome.PLATFORM_ERROR is report.outcome


async def test_a_body_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """However regularly its bytes come."""
    monkeypatch.setattr(http_exchange, "BODY_SECONDS", 0.3)

    ended = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not reader.at_eof():
            writer.write(b"x")
            try:
                await asyncio.wait_for(reader.read(1 << 16), 0.05)
            except TimeoutError:
                continue
        writer.close()
        await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        report = await call(allowing("127.0.0.1"), f"http://127.0.0.1:{port}/")
        await ended.wait()

    assert Outcome.PLATFORM_ERROR is report.outcome
    assert "no complete answer in time" in report.message


async def test_a_host_that_cannot_be_found_or_reached_is_the_platforms_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        refused = await call(allowing("127.0.0.1"), f"http://127.0.0.1:{port}/")
    unknown = await call(allowing("nowhere.invalid"), "http://nowhere.invalid/")

    assert [Outcome.PLATFORM_ERROR] * 2 == [refused.outcome, unknown.outcome]
    assert "ConnectError" in refused.message
    assert "nowhere.invalid cannot be resolved" in unknown.message


async def test_a_lookup_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_exchange, "CONNECT_SECONDS", 0.1)

    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    report = await call(HttpStep(never), "http://a.test/")

    assert Outcome.PLATFORM_ERROR is report.outcome
    assert "were not found in time" in report.message


async def test_the_next_address_is_tried_when_one_cannot_be_connected_to() -> None:
    """As long as nothing was sent: the request arrives once."""
    async with running_service() as service:
        names = Names(a_test=[["127.0.0.9", "127.0.0.1"]])
        report = await call(allowing("a.test", resolve=names), f"http://a.test:{service.port}/")

    assert Outcome.DONE is report.outcome
    assert 1 == len(service.received)


# --- redirects ---------------------------------------------------------------------------------------------


async def test_a_redirect_is_followed() -> None:
    async with running_service(a=answer(302, location="/b?x=1"), b=answer(404)) as service:
        service.answers["/b?x=1"] = answer(200, b"there")
        report = await call(to(service), f"{service.url}/a", method="POST", body="x", headers={"Authorization": "s"})

    assert "there" == (report.outputs or {})["response_body"]
    assert [("POST", b"x"), ("GET", b"")] == [(request.method, request.body) for request in service.received]
    assert "s" == service.received[1].headers["authorization"]


async def test_secrets_stay_behind_on_the_way_to_another_host() -> None:
    async with running_service() as other, running_service() as service:
        service.answers["/a"] = answer(307, location=f"{other.url}/b")
        step = allowing(f"127.0.0.1:{service.port}", f"127.0.0.1:{other.port}")
        await call(step, f"{service.url}/a", method="POST", body="x", headers={"Authorization": "s", "Cookie": "c"})

    (request,) = other.received
    assert {"authorization", "cookie"}.isdisjoint(request.headers)
    assert ("POST", b"x") == (request.method, request.body)


async def test_five_redirects_are_enough() -> None:
    def next_one(request: Received) -> bytes:
        return answer(302, location=f"/r?{len(service.received)}")

    async with running_service() as service:
        service.answers.update({"/r": next_one, **{f"/r?{number}": next_one for number in range(1, 9)}})
        report = await call(to(service), f"{service.url}/r")

    assert Outcome.USER_ERROR is report.outcome
    assert "more than 5 redirects" in report.message
    assert 6 == len(service.received)


async def test_cookies_are_not_kept() -> None:
    async with running_service(a=answer(302, location="/b", set_cookie="s=1; Path=/")) as service:
        await call(to(service), f"{service.url}/a")

    assert "cookie" not in service.received[1].headers


async def test_a_redirect_without_a_place_is_an_answer() -> None:
    async with running_service(a=answer(302)) as service:
        report = await call(to(service), f"{service.url}/a")

    assert (Outcome.USER_ERROR, 302) == (report.outcome, (report.outputs or {})["status_code"])


@pytest.mark.usefixtures("public_loopback")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_a_forbidden_address_is_refused(status: int) -> None:
    """It is fatal, and the address hears nothing of it."""
    async with running_service("127.0.0.2") as private, running_service() as service:
        service.answers["/a"] = answer(status, location=f"{private.url}/latest/meta-data")
        report = await call(HttpStep(), f"{service.url}/a")

    assert Outcome.FATAL_ERROR is report.outcome
    assert "127.0.0.2 is a loopback address" in report.message
    assert (1, 0) == (len(service.received), len(private.received))


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://a/", "http://u:p@127.0.0.1/", "gopher://127.0.0.1/"])
async def test_a_redirect_away_from_http_is_refused(location: str) -> None:
    async with running_service(a=answer(302, location=location)) as service:
        report = await call(to(service), f"{service.url}/a")

    assert Outcome.FATAL_ERROR is report.outcome


async def test_a_redirect_to_a_host_that_is_not_on_the_list_is_refused() -> None:
    async with running_service() as other, running_service() as service:
        service.answers["/a"] = answer(302, location=f"{other.url}/b")
        report = await call(to(service), f"{service.url}/a")

    assert Outcome.FATAL_ERROR is report.outcome
    assert "is not among the hosts that MAESTRO_HTTP_ALLOW names" in report.message
    assert [] == other.received


# --- addresses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "0177.0.0.01", "0", "localhost"),
        *("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "127.0.0.1.", "LOCALHOST", "[0:0:0:0:0:0:0:1]", "[::]"),
        *("[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::127.0.0.1]", "①②⑦.⓪.⓪.①"),
    ],
)
async def test_no_spelling_leads_to_this_machine(host: str) -> None:
    """Whoever resolves it, what is judged is the address that the connection would go to."""
    async with running_service() as service:
        report = await call(HttpStep(), f"http://{host}:{service.port}/")

    assert report.outcome in (Outcome.FATAL_ERROR, Outcome.PLATFORM_ERROR)  # some systems do not resolve all of them
    assert [] == service.received


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "10.0.0.1", "192.168.0.1", "fd00::1", "fe80::1", "::ffff:10.0.0.1"]
)
async def test_a_name_of_a_private_address_is_refused(address: str) -> None:
    report = await call(HttpStep(Names(metadata_test=[[address]])), "http://metadata.test/")

    assert Outcome.FATAL_ERROR is report.outcome
    assert f"refused: metadata.test is at {address}, which is " in report.message


@pytest.mark.usefixtures("public_loopback")
async def test_a_name_with_public_and_private_addresses_is_refused() -> None:
    async with running_service() as service:
        report = await call(HttpStep(Names(both_test=[["127.0.0.1", "10.0.0.1"]])), f"http://both.test:{service.port}/")

    assert Outcome.FATAL_ERROR is report.outcome
    assert [] == service.received


@pytest.mark.usefixtures("public_loopback")
async def test_a_name_that_resolves_twice_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection goes to the very address that was judged: nobody resolves anything after it."""

    def no_second_look(*_: object, **__: object) -> None:
        raise AssertionError("resolved again")

    monkeypatch.setattr(socket, "getaddrinfo", no_second_look)
    names = Names(rebind_test=[["127.0.0.1"], ["127.0.0.2"]])
    async with running_service() as public, running_service("127.0.0.2") as private:
        private_twin = await asyncio.start_server(private.serve, "127.0.0.2", public.port)
        async with private_twin:
            report = await call(HttpStep(names), f"http://rebind.test:{public.port}/")

    assert Outcome.DONE is report.outcome
    assert ["rebind.test"] == names.asked
    assert (1, 0) == (len(public.received), len(private.received))
    assert f"rebind.test:{public.port}" == public.received[0].headers["host"]


@pytest.mark.usefixtures("public_loopback")
async def test_a_name_is_judged_again_at_each_redirect() -> None:
    names = Names(rebind_test=[["127.0.0.1"], ["127.0.0.2"]])
    async with running_service(a=answer(302, location="/b")) as service:
        report = await call(HttpStep(names), f"http://rebind.test:{service.port}/a")

    assert Outcome.FATAL_ERROR is report.outcome
    assert "rebind.test is at 127.0.0.2, which is a loopback address" in report.message
    assert ["/a"] == [request.target for request in service.received]


async def test_a_list_opens_only_what_it_names() -> None:
    """A private host on it may be reached; another spelling of it may not."""
    async with running_service() as service:
        named = await call(to(service), service.url)
        spelled = await call(to(service), f"http://2130706433:{service.port}/")
        beside = await call(to(service), "http://example.com/")

    assert [Outcome.DONE, Outcome.FATAL_ERROR, Outcome.FATAL_ERROR] == [r.outcome for r in (named, spelled, beside)]
    assert 1 == len(service.received)


async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_service() as proxy, running_service() as service:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy"):
            monkeypatch.setenv(name, proxy.url)
        report = await call(to(service), service.url)

    assert Outcome.DONE is report.outcome
    assert (0, 1) == (len(proxy.received), len(service.received))


# --- TLS ---------------------------------------------------------------------------------------------------


def believing(certificate: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate)


async def test_the_certificate_must_be_that_of_the_name() -> None:
    """The address is only where the name was found: the handshake asks for the name, and believes no other."""
    names = Names(service_test=[["127.0.0.1"]], other_test=[["127.0.0.1"]])
    step = allowing("service.test", "other.test", resolve=names, tls=believing(str(CERTIFICATE)))
    async with running_service(tls=True) as service:
        right = await call(step, f"https://service.test:{service.port}/")
        wrong = await call(step, f"https://other.test:{service.port}/")

    assert [Outcome.DONE, Outcome.PLATFORM_ERROR] == [right.outcome, wrong.outcome]
    assert ["service.test", "other.test"] == service.names
    assert "certificate" in wrong.message.lower()
    assert [f"service.test:{service.port}"] == [request.headers["host"] for request in service.received]


async def test_a_certificate_that_nobody_vouches_for_is_not_believed() -> None:
    step = allowing("service.test", resolve=Names(service_test=[["127.0.0.1"]]))
    async with running_service(tls=True) as service:
        report = await call(step, f"https://service.test:{service.port}/")

    assert Outcome.PLATFORM_ERROR is report.outcome
    assert [] == service.received


async def test_a_redirect_from_https_to_http_is_refused() -> None:
    step = allowing("service.test", resolve=Names(service_test=[["127.0.0.1"]]), tls=believing(str(CERTIFICATE)))
    async with running_service(tls=True) as service:
        service.answers["/a"] = answer(302, location=f"http://service.test:{service.port}/b")
        report = await call(step, f"https://service.test:{service.port}/a")

    assert (Outcome.FATAL_ERROR, "refused: redirected from https to http") == (report.outcome, report.message)
