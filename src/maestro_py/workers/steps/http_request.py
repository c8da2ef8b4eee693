"""Read what an HTTP step asks for, and follow a redirect of it by the rules.  Pure: nothing is sent here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx2
import msgspec

from maestro_py.model.literals import spell_kind, text_of
from maestro_py.ports.step_type import StepTask
from maestro_py.workers.steps.http_guard import HostRefused, normal_host
from maestro_py.workers.steps.own_words import WordWrong, check_words, object_word, text_word

_WORDS: Final = frozenset({"url", "method", "headers", "body"})
_METHOD: Final = re.compile(r"[A-Z][A-Z-]{0,31}")
_REFUSED_METHODS: Final = frozenset({"CONNECT", "TRACE"})
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL: Final = re.compile(r"[\0-\x08\x0a-\x1f\x7f]")
#: What would change where the request goes, or where the next one on the connection begins.
_OUR_HEADERS: Final = frozenset(
    {
        *("host", "content-length", "transfer-encoding", "te", "trailer", "connection", "keep-alive", "upgrade"),
        *("expect", "proxy-authorization", "proxy-connection"),
    }
)
_DEFAULT_HEADERS: Final = {
    "content-type": "application/json",
    "accept": "application/json",
    "user-agent": "maestro-py",
    # The bound of the body is one of what is kept, and compressed bytes may stand for a thousand times as many.
    "accept-encoding": "identity",
}
#: What may follow a redirect to somebody else; anything else may be a secret.
_HARMLESS_HEADERS: Final = frozenset(
    {"accept", "accept-encoding", "accept-language", "content-type", "idempotency-key", "user-agent"}
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_LAST_PORT: Final = 65_535
#: Redirects that ask for the same request again; the others ask for a GET.
_SAME_AGAIN: Final = frozenset({307, 308})
#: Answers that a Location turns into a redirect.
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One request."""

    method: str
    url: httpx2.URL  #: With a scheme of ours and without credentials.
    host: str  #: As `normal_host` spells it.
    port: int
    headers: Mapping[str, str]  #: Names in lower case.
    body: bytes | None = None

    @property
    def shown(self) -> str:
        """Return what it asks for, fit for a log: a query may hold secrets."""
        query = "?…" if self.url.query else ""
        return f"{self.method} {self.url.copy_with(query=None, fragment=None)}{query}"


def read_request(task: StepTask) -> HttpRequest:
    """
    Return the request of an HTTP step.

    Raises:
        WordWrong: a parameter is missing, unknown or wrong.
        HostRefused: the URL is one that no step may ask for.
    """
    own = task.own_params
    if "state_expr" in (*own, *task.params):
        raise WordWrong("state_expr is not supported yet: 2xx is success, 4xx is fatal, anything else may be retried")
    check_words("http", own, _WORDS)
    method = text_word(own, "method", "GET").upper()
    if not _METHOD.fullmatch(method) or method in _REFUSED_METHODS:
        raise WordWrong(f"method {method!r} is none that a step may use")
    if not (text := text_word(own, "url")):
        raise WordWrong("an http step has a url")
    url, host, port = _read_url(text)
    headers = {**_DEFAULT_HEADERS, "idempotency-key": task.idempotency_key, **_read_headers(own)}
    return HttpRequest(method=method, url=url, host=host, port=port, headers=headers, body=_read_body(own.get("body")))


def redirected(request: HttpRequest, status: int, location: str) -> HttpRequest:
    """
    Return the request that an answer with *status* and *location* asks for.

    Raises:
        HostRefused: it may not be followed.
    """
    try:
        joined = str(request.url.join(location))
    except httpx2.InvalidURL as exc:
        raise HostRefused(f"redirected to what is no URL: {exc}") from exc
    url, host, port = _read_url(joined)
    if request.url.scheme == "https" and url.scheme == "http":
        raise HostRefused("redirected from https to http")
    headers, method, body = dict(request.headers), request.method, request.body
    is_upgrade = (request.host, request.port, request.url.scheme, port, url.scheme) == (host, 80, "http", 443, "https")
    if (url.scheme, host, port) != (request.url.scheme, request.host, request.port) and not is_upgrade:
        headers = {name: value for name, value in headers.items() if name in _HARMLESS_HEADERS}
    if status not in _SAME_AGAIN and method not in ("GET", "HEAD"):
        # As every browser does; 303 asks for it, 301 and 302 have come to mean it.
        method, body = "GET", None
    return replace(request, method=method, url=url, host=host, port=port, headers=headers, body=body)


def _read_url(text: str) -> tuple[httpx2.URL, str, int]:
    try:
        url = httpx2.URL(text)
        if url.scheme not in _DEFAULT_PORTS:
            raise HostRefused(f"a URL begins with http:// or https://, not with {url.scheme[:32] or 'nothing'!r}")
        if url.userinfo:
            # http://allowed.example@other.example is read by people as what it is not.
            raise HostRefused("a URL may hold no user or password; give an Authorization header")
        host = normal_host(url.raw_host.decode("ascii"))
    except (httpx2.InvalidURL, ValueError) as exc:
        raise HostRefused(f"the url cannot be used: {exc}") from exc
    port = _DEFAULT_PORTS[url.scheme] if url.port is None else url.port
    if not 0 < port <= _LAST_PORT:
        raise HostRefused(f"the url cannot be used: a port is from 1 to {_LAST_PORT}")
    return url.copy_with(fragment=None), host, port


def _read_headers(own: Mapping[str, Any]) -> dict[str, str]:
    headers = {}
    for name, value in object_word(own, "headers").items():
        if not _HEADER_NAME.fullmatch(name):
            raise WordWrong(f"headers: {name!r} is no name of a header")
        if name.lower() in _OUR_HEADERS:
            raise WordWrong(f"headers.{name}: is set by the worker")
        if value is None or isinstance(value, list | dict):
            raise WordWrong(f"headers.{name}: must be a text, not {spell_kind(value)}")
        text = text_of(value).strip()
        if _CONTROL.search(text):
            raise WordWrong(f"headers.{name}: may hold no line break or other control character")
        headers[name.lower()] = text
    return headers


def _read_body(body: Any) -> bytes | None:
    if body is None:
        return None
    if isinstance(body, str):
        return body.encode("utf-8", "replace")
    return msgspec.json.encode(body)
