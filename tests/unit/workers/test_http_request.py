"""What an HTTP step asks for, and where a redirect may lead."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_py.workers.steps.http_guard import HostRefused
from maestro_py.workers.steps.http_request import HttpRequest, read_request, redirected
from maestro_py.workers.steps.own_words import WordWrong
from tests.unit.workers.recording_context import a_task


def request(url: str = "https://api.example/v1?day=3", **own: Any) -> HttpRequest:
    return read_request(a_task("http", {"url": url, **own}))


def test_a_url_is_enough() -> None:
    asked = request()

    assert ("GET", "api.example", 443, None) == (asked.method, asked.host, asked.port, asked.body)
    assert {
        "accept": "application/json",
        "content-type": "application/json",
        "idempotency-key": "w/1/2/s/3",
        "user-agent": "maestro-py",
        "accept-encoding": "identity",
    } == dict(asked.headers)


def test_headers_take_the_place_of_defaults_in_any_case() -> None:
    headers = request(headers={"ACCEPT": "text/csv", "Idempotency-Key": "mine", "X-Number": 3, "x-flag": True}).headers

    assert ("text/csv", "mine", "3", "true") == tuple(
        headers[name] for name in ("accept", "idempotency-key", "x-number", "x-flag")
    )


@pytest.mark.parametrize(
    ("body", "sent"), [("text", b"text"), ("", b""), ({"a": [1]}, b'{"a":[1]}'), ([], b"[]"), (3, b"3"), (None, None)]
)
def test_a_text_is_sent_as_it_is_and_anything_else_as_json(body: Any, sent: bytes | None) -> None:
    assert sent == request(method="post", body=body).body


@pytest.mark.parametrize(
    "url",
    ["HTTP://EXAMPLE.com", "http://example.com./", "http://example.com:80/x", "http://example.com/#fragment"],
)
def test_a_host_is_read_in_any_spelling(url: str) -> None:
    assert ("example.com", 80) == (request(url).host, request(url).port)


@pytest.mark.parametrize(
    ("url", "host"), [("http://[0::1]:8080/", "::1"), ("http://bücher.example/", "xn--bcher-kva.example")]
)
def test_other_spellings_of_hosts(url: str, host: str) -> None:
    assert host == request(url).host


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://example.com/", "a URL begins with http:// or https://"),
        ("file:///etc/passwd", "a URL begins with http:// or https://"),
        ("//example.com/", "a URL begins with http:// or https://"),
        ("example.com", "a URL begins with http:// or https://"),
        ("http://user:secret@example.com/", "may hold no user or password"),
        ("http://allowed.example@169.254.169.254/", "may hold no user or password"),
        ("http://allowed.example\\@169.254.169.254/", "may hold no user or password"),
        ("http://allowed.example%2f@10.0.0.1/", "may hold no user or password"),
        ("http://", "cannot be used"),
        ("http:///path", "cannot be used"),
        ("http://exa mple.com/", "cannot be used"),
        ("http://example.com%00.evil.example/", "cannot be used"),
        ("http://example.com\r\nX: y/", "cannot be used"),
        ("http://[fe80::1%25eth0]/", "cannot be used"),
        ("http://example.com:0/", "cannot be used"),
        ("http://example.com:65536/", "cannot be used"),
        ("http://a,b/", "cannot be used"),
    ],
)
def test_a_url_that_misleads_is_refused(url: str, said: str) -> None:
    with pytest.raises(HostRefused) as refused:
        request(url)

    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({}, "an http step has a url"),
        ({"url": 3}, "url must be a text"),
        ({"url": "http://h", "method": "CONNECT"}, "method 'CONNECT' is none"),
        ({"url": "http://h", "method": "TRACE"}, "method 'TRACE' is none"),
        ({"url": "http://h", "method": "GET / HTTP/1.1\r\nX:"}, "is none that a step may use"),
        ({"url": "http://h", "timeout": 3}, "http steps have no 'timeout'"),
        ({"url": "http://h", "state_expr": "x"}, "state_expr is not supported yet"),
        ({"url": "http://h", "headers": ["a"]}, "headers must be an object"),
        ({"url": "http://h", "headers": {"X": [1]}}, "headers.X: must be a text, not a list"),
        ({"url": "http://h", "headers": {"X": "a\r\nHost: b"}}, "headers.X: may hold no line break"),
        ({"url": "http://h", "headers": {"X": "a\nb"}}, "headers.X: may hold no line break"),
        ({"url": "http://h", "headers": {"X": "a\0b"}}, "headers.X: may hold no line break"),
        ({"url": "http://h", "headers": {"X: y\r\nHost": "b"}}, "is no name of a header"),
        ({"url": "http://h", "headers": {"X ": "b"}}, "is no name of a header"),
        ({"url": "http://h", "headers": {"": "b"}}, "is no name of a header"),
        ({"url": "http://h", "headers": {"hOst": "internal"}}, "headers.hOst: is set by the worker"),
        ({"url": "http://h", "headers": {"Transfer-Encoding": "chunked"}}, "is set by the worker"),
        ({"url": "http://h", "headers": {"Content-Length": "1"}}, "is set by the worker"),
    ],
)
def test_what_cannot_be_asked_for_is_said(own: dict[str, Any], said: str) -> None:
    with pytest.raises(WordWrong) as wrong:
        read_request(a_task("http", own))

    assert said in str(wrong.value)


def test_a_state_expression_among_the_parameters_is_refused_by_name() -> None:
    with pytest.raises(WordWrong, match="state_expr is not supported yet"):
        read_request(a_task("http", {"url": "http://h"}, state_expr="x"))


def test_what_is_shown_of_a_request_holds_no_query() -> None:
    assert "GET https://api.example/v1?…" == request().shown


@pytest.mark.parametrize(
    ("status", "method", "expected"),
    [
        (301, "POST", ("GET", None)),
        (302, "PUT", ("GET", None)),
        (303, "DELETE", ("GET", None)),
        (303, "HEAD", ("HEAD", b"{}")),
        (307, "POST", ("POST", b"{}")),
        (308, "PATCH", ("PATCH", b"{}")),
    ],
)
def test_the_status_of_a_redirect_says_what_is_asked_next(
    status: int, method: str, expected: tuple[str, bytes | None]
) -> None:
    followed = redirected(request(method=method, body={}), status, "/next")

    assert expected == (followed.method, followed.body)
    assert "https://api.example/next" == str(followed.url)


@pytest.mark.parametrize(
    ("url", "location", "keeps"),
    [
        ("https://a.test/x", "y", True),
        ("https://a.test/x", "https://A.test:443/y", True),
        ("http://a.test/x", "https://a.test/y", True),
        ("https://a.test/x", "https://b.test/y", False),
        ("https://a.test/x", "//a.test:444/y", False),
        ("http://a.test:8080/x", "https://a.test/y", False),
    ],
)
def test_secrets_are_not_told_to_somebody_else(url: str, location: str, keeps: bool) -> None:
    """Headers that a step gives follow a redirect to the same host, and only there."""
    asked = request(url, headers={"Authorization": "Bearer x", "X-Api-Key": "y", "Accept": "text/csv"})
    followed = redirected(asked, 302, location)

    assert (keeps, keeps) == ("authorization" in followed.headers, "x-api-key" in followed.headers)
    assert ("text/csv", "w/1/2/s/3") == (followed.headers["accept"], followed.headers["idempotency-key"])


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("http://api.example/", "from https to http"),
        ("file:///etc/passwd", "begins with http"),
        ("https://user:pass@api.example/", "may hold no user or password"),
        ("https://exa mple/", "cannot be used"),
        ("https://[::1", ""),
        ("\x00", ""),
    ],
)
def test_a_redirect_that_may_not_be_followed_is_refused(location: str, said: str) -> None:
    with pytest.raises(HostRefused) as refused:
        redirected(request(), 302, location)

    assert said in str(refused.value)
