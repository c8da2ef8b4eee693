"""
Start many runs from a file of JSON lines: read them as they come, send them by the thousand, and add up the answers.

Every request gets an id before it is sent, so that whatever is sent again starts nothing twice.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from maestro_py.client import MaestroClient

#: Requests of one call, as many as the server takes.
CHUNK: Final = 1_000
#: How often those that may fare better later are sent again, and the pause before, in seconds.
_AGAIN: Final = 2
_PAUSE_SECONDS: Final = 1.0

Json = dict[str, Any]


class Line(NamedTuple):
    """One line of the file: what it asks for, or why it cannot be asked for."""

    number: int  #: From 1.
    request: Json
    problem: str = ""


class Batch:
    """
    Starts runs of one workflow.

    Args:
        client: Of the server.
        workflow: Its id.
        version: A number, active, latest or default.
        on_problem: Told, in a sentence, of each line that started nothing.
    """

    def __init__(self, client: MaestroClient, workflow: str, version: str, on_problem: Callable[[str], None]) -> None:
        self._client = client
        self._workflow = workflow
        self._version = version
        self._on_problem = on_problem
        self.outcomes: Counter[str] = Counter()  #: How many lines had which outcome; ``failed`` is one.

    def start(self, lines: Iterable[str]) -> None:
        """Start what *lines* ask for; those that cannot be started are told, and counted as failed."""
        read = read_lines(lines)
        while chunk := list(islice(read, CHUNK)):
            for line in chunk:
                if line.problem:
                    self._fail(line.number, line.problem)
            self._send([line for line in chunk if not line.problem])

    def _send(self, lines: Sequence[Line]) -> None:
        for again in range(_AGAIN, -1, -1):
            if not lines:
                return
            results = self._client.batch_start(self._workflow, self._version, [line.request for line in lines])
            later: list[Line] = []
            for index, (line, result) in enumerate(zip(lines, results, strict=True)):
                error = result.get("error")
                if error is None:
                    self.outcomes[result["status"]] += 1
                elif again and error.get("retryable"):
                    later.append(line)
                else:
                    self._fail(line.number, *_told(error, f"requests[{index}]"))
            lines = later
            if lines:
                time.sleep(_PAUSE_SECONDS)

    def _fail(self, number: int, *problems: str) -> None:
        self.outcomes["failed"] += 1
        self._on_problem(f"line {number}: {'; '.join(problems)}")


def read_lines(lines: Iterable[str]) -> Iterator[Line]:
    """Yield what each of *lines* asks for: the fields of a start request; empty ones ask for nothing."""
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            request = json.loads(text)
        except ValueError as exc:
            yield Line(number, {}, f"is no JSON: {exc}")
            continue
        if not isinstance(request, dict):
            yield Line(number, {}, "must be an object")
            continue
        yield Line(number, {"initiator": {"type": "MANUAL"}, "request_id": str(uuid.uuid4()), **request})


def _told(error: Json, place: str) -> list[str]:
    """Return what is wrong, without the place that the request had in its call."""
    told = [str(text) for text in error.get("errors") or (error.get("message", "it was not started"),)]
    return [text.removeprefix(place).lstrip(".: ") for text in told]
