"""
A thin client of the REST API: one method for each call, the server's own words when it refuses.

Bodies are the plain dictionaries of the API; nothing is cached.  A server that is too busy is asked again when it says,
twice at most; nothing else is retried.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, cast
from urllib.parse import quote

import httpx2

from maestro_py.model.errors import MaestroError

#: Where `maestro up` listens unless it is told otherwise.
DEFAULT_URL: Final = "http://127.0.0.1:8080"

_TOO_BUSY: Final = 429
#: How often a server that is too busy is asked again, and for how long we wait at most before, in seconds.
_AGAIN: Final = 2
_LONGEST_PAUSE: Final = 30.0

Json = dict[str, Any]


class ServerRefused(MaestroError):
    """The server answered with an error; the text is its message and every detail it gave."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ServerUnreachable(MaestroError):
    """Nobody answers at the address."""


class MaestroClient:
    """
    Speaks to one server as one user.  Use it as a context manager, or `close` it.

    Args:
        url: Of the server, without ``/api/v3``.
        user: Sent as the header ``user``.
        timeout_seconds: Of each call.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self, url: str, user: str, timeout_seconds: float = 30.0, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._url = url.rstrip("/")
        self._sleep = sleep
        self._http = httpx2.Client(base_url=f"{self._url}/api/v3", headers={"user": user}, timeout=timeout_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def push(self, definition: bytes, content_type: str = "application/json") -> Json:
        """Store a definition as it was written, comments included; return ``{"workflow_definition": …}``."""
        path = "/workflows/yaml" if content_type == "application/yaml" else "/workflows"
        return self._call("POST", path, content=definition, headers={"content-type": content_type})

    def definition(self, workflow_id: str, version: str = "default") -> Json:
        """Return one version of a workflow; *version* is a number, active, latest, or default."""
        return self._call("GET", _version_path(workflow_id, version))

    def start(self, workflow_id: str, version: str, run_params: Mapping[str, Json], request_id: str, user: str) -> Json:
        """Start an instance; the same *request_id* (a UUID) starts nothing a second time."""
        body = {"initiator": {"type": "MANUAL", "user": user}, "request_id": request_id, "run_params": run_params}
        return self._call("POST", f"{_version_path(workflow_id, version)}/actions/start", json=body)

    def batch_start(self, workflow_id: str, version: str, requests: Sequence[Json]) -> list[Json]:
        """Start a run for each of at most 1,000 start requests; return what became of each, or its ``error``."""
        path = f"{_version_path(workflow_id, version)}/actions/batch-start"
        return cast("list[Json]", self._call("POST", path, json={"requests": list(requests)})["results"])

    def end(self, action: str, workflow_id: str, instance_id: int) -> Json:
        """Have an instance end, by the *action* stop or kill; the answer says whether it has, and how."""
        return self._call("PUT", f"/workflows/{_part(workflow_id)}/instances/{instance_id}/actions/{action}")

    def end_all(self, action: str, workflow_id: str) -> Json:
        """Have every unfinished instance of a workflow end, by the *action* stop or kill."""
        return self._call("PUT", f"/workflows/{_part(workflow_id)}/actions/{action}")

    def activate(self, workflow_id: str, version: str) -> Json:
        """Make a version the active one."""
        return self._call("PUT", f"{_version_path(workflow_id, version)}/actions/activate")

    def deactivate(self, workflow_id: str) -> Json:
        """Leave a workflow without an active version."""
        return self._call("PUT", f"/workflows/{_part(workflow_id)}/actions/deactivate")

    def signal_triggers(self, workflow_id: str) -> list[Json]:
        """Return the triggers of a workflow that listen for signals, each with what it dropped."""
        answer = self._call("GET", f"/workflows/{_part(workflow_id)}/signal-triggers")
        return cast("list[Json]", answer["signal_triggers"])

    def workflows(self) -> Json:
        """Return the workflows, each with its latest run."""
        return self._call("GET", "/workflows")

    def instances(self, workflow_id: str, first: int = 20) -> Json:
        """Return the newest *first* instances of a workflow, each by its latest run."""
        return self._call("GET", f"/workflows/{_part(workflow_id)}/instances", params={"first": first})

    def run(self, workflow_id: str, instance_id: int, run: str = "latest") -> Json:
        """Return one run of an instance."""
        return self._call("GET", f"/workflows/{_part(workflow_id)}/instances/{instance_id}/runs/{_part(run)}")

    def steps(self, workflow_id: str, instance_id: int, run: str = "latest") -> list[Json]:
        """Return the latest attempt of each step of a run."""
        path = f"/workflows/{_part(workflow_id)}/instances/{instance_id}/runs/{_part(run)}/steps"
        return elements(self._call("GET", path))

    def attempt(
        self, workflow_id: str, instance_id: int, step_id: str, attempt: str = "latest", run: str = "latest"
    ) -> Json:
        """Return one attempt of a step."""
        return self._call("GET", _attempt_path(workflow_id, instance_id, run, step_id, attempt))

    def iteration(
        self, workflow_id: str, instance_id: int, step_id: str, iteration_id: str, run: str = "latest"
    ) -> Json:
        """Return a step in one iteration of the loops around it, ``3-12``; of a loop also that iteration of it."""
        path = f"/workflows/{_part(workflow_id)}/instances/{instance_id}/runs/{_part(run)}/steps/{_part(step_id)}"
        return self._call("GET", f"/views/flatten{path}/iterations/{_part(iteration_id)}")

    def iterations(
        self,
        workflow_id: str,
        instance_id: int,
        step_id: str,
        first: int = 200,
        status: str | None = None,
        run: str = "latest",
    ) -> list[Json]:
        """Return the last *first* iterations of a foreach that were created, the highest number first."""
        path = f"/workflows/{_part(workflow_id)}/instances/{instance_id}/runs/{_part(run)}/steps/{_part(step_id)}"
        wanted = {"first": first} | ({} if status is None else {"status": status})
        return elements(self._call("GET", f"{path}/iterations", params=wanted))

    def log(
        self,
        workflow_id: str,
        instance_id: int,
        step_id: str,
        attempt: str = "latest",
        run: str = "latest",
        after: int = 0,
    ) -> Json:
        """Return chunks of an attempt's log beyond the chunk number *after*, the oldest first."""
        path = f"{_attempt_path(workflow_id, instance_id, run, step_id, attempt)}/logs"
        return self._call("GET", path, params={"after": after})

    def announce(self, name: str, params: Mapping[str, str | int], request_id: str) -> Json:
        """Announce a signal; the same *request_id* is refused a second time."""
        return self._call("POST", "/signals", json={"name": name, "params": params, "request_id": request_id})

    def signal(self, name: str, seq: str = "latest") -> Json:
        """Return one announcement of a signal."""
        return self._call("GET", f"/signals/{_part(name)}/instances/{_part(seq)}")

    def evaluate(self, expression: str, params: Mapping[str, Any]) -> Json:
        """Return the result and the type of an expression; *params* are plain values."""
        return self._call("POST", "/expressions/evaluate", json={"expression": expression, "params": params})

    def dead_letters(self) -> list[Json]:
        """Return the events that the engine could not apply, the oldest first."""
        return elements(self._call("GET", "/dead-letters"))

    def retry_dead_letter(self, dead_letter_id: int) -> Json:
        """Put a dead event, and those of its run that wait behind it, back."""
        return self._call("POST", f"/dead-letters/{dead_letter_id}/actions/retry")

    def _call(self, method: str, path: str, **arguments: Any) -> Json:
        for _ in range(_AGAIN):
            answer = self._answer(method, path, **arguments)
            if answer.status_code != _TOO_BUSY:
                break
            # Nothing of it was done, so asking again is safe whatever it was.
            self._sleep(min(_retry_after(answer), _LONGEST_PAUSE))
        else:
            answer = self._answer(method, path, **arguments)
        if answer.is_error:
            raise ServerRefused(answer.status_code, _reason(answer))
        return cast("Json", answer.json()) if answer.content else {}

    def _answer(self, method: str, path: str, **arguments: Any) -> httpx2.Response:
        try:
            return self._http.request(method, path, **arguments)
        except httpx2.TimeoutException as error:
            raise ServerUnreachable(f"no answer from {self._url} in time") from error
        except httpx2.UnsupportedProtocol as error:
            raise ServerUnreachable(f"{self._url!r} is no address of a server: write it as {DEFAULT_URL}") from error
        except httpx2.TransportError as error:
            raise ServerUnreachable(
                f"nobody answers at {self._url} ({error}): start one by  maestro up,"
                " or name another by --url or MAESTRO_URL"
            ) from error


def elements(page: Json | list[Json]) -> list[Json]:
    """Return the elements of a page, or of a plain list."""
    return page if isinstance(page, list) else cast("list[Json]", page.get("elements", []))


def _part(value: str) -> str:
    return quote(value, safe="")


def _version_path(workflow_id: str, version: str) -> str:
    return f"/workflows/{_part(workflow_id)}/versions/{_part(version)}"


def _retry_after(answer: httpx2.Response) -> float:
    """Return after how many seconds the server wants to be asked again."""
    stated = answer.headers.get("retry-after", "")
    return float(stated) if stated.isdigit() else 1.0


def _attempt_path(workflow_id: str, instance_id: int, run: str, step_id: str, attempt: str) -> str:
    return (
        f"/workflows/{_part(workflow_id)}/instances/{instance_id}/runs/{_part(run)}"
        f"/steps/{_part(step_id)}/attempts/{_part(attempt)}"
    )


def _reason(answer: httpx2.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        return f"{answer.status_code} {answer.reason_phrase}: {answer.text[:500]}"
    message = str(body.get("message") or answer.reason_phrase)
    # A message that already tells its only detail need not be read twice.
    details = [text for detail in body.get("errors") or () if (text := str(detail)) not in message]
    return "\n  ".join([message, *details])
