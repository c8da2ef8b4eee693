"""The step type ``http``: one request to a host that may be reached; its status and its body are the outputs."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import Final

import httpx2

from maestro_py.model.statuses import Outcome
from maestro_py.ports.step_type import StepContext, StepReport, StepTask, StepTypeConfig
from maestro_py.workers.steps.http_exchange import HttpAnswer, NoAnswer, Resolve, exchange, resolve_host
from maestro_py.workers.steps.http_guard import AllowedHost, HostRefused, read_allowed
from maestro_py.workers.steps.http_request import REDIRECTS, HttpRequest, read_request, redirected
from maestro_py.workers.steps.own_words import WordWrong

_MOST_REDIRECTS: Final = 5
#: Of the body of an answer that is no success, this many characters are in the message.
_SHOWN_CHARACTERS: Final = 500


class HttpStep:
    """
    Call a URL.  It is called again if the worker dies before it has reported: ``Idempotency-Key`` is the same then.

    Parameters (``params["http"]``):
        url: ``http`` or ``https``, to a host that may be reached (`maestro_py.workers.steps.http_guard`).
        method: GET by default.
        headers: Beside ``Content-Type`` and ``Accept``, both ``application/json`` unless given.
        body: A text as it is; anything else as JSON.

    Outputs are ``status_code`` and ``response_body``, a text of at most 1 MiB.

    Args:
        resolve: Finds the addresses of a host.
        tls: Which certificates are believed; by default those that the system believes.
    """

    kind: Final = "http"

    def __init__(self, resolve: Resolve = resolve_host, tls: ssl.SSLContext | None = None) -> None:
        self._resolve = resolve
        self._tls = tls
        self._allowed: frozenset[AllowedHost] = frozenset()

    def configure(self, config: StepTypeConfig) -> None:
        """Take over which hosts may be reached."""
        self._allowed = read_allowed(config.http_allow)

    async def run(self, task: StepTask, context: StepContext) -> StepReport:
        """Send the request, follow its redirects, and say what the status means."""
        try:
            request = read_request(task)
            for _ in range(_MOST_REDIRECTS + 1):
                answer = await self._answer(request, context)
                if answer.location is None or answer.status not in REDIRECTS:
                    return report_of_answer(request, answer)
                request = redirected(request, answer.status, answer.location)
        except WordWrong as exc:
            return exc.report
        except HostRefused as exc:
            return StepReport(Outcome.FATAL_ERROR, None, f"refused: {exc}")
        except NoAnswer as exc:
            return StepReport(Outcome.PLATFORM_ERROR, None, str(exc))
        return StepReport(Outcome.USER_ERROR, None, f"more than {_MOST_REDIRECTS} redirects; the last: {request.shown}")

    async def _answer(self, request: HttpRequest, context: StepContext) -> HttpAnswer:
        if self._tls is None:
            # In a thread: it reads a file of a few hundred certificates.
            self._tls = await asyncio.to_thread(httpx2.create_ssl_context)
        began = time.monotonic()
        answer = await exchange(request, self._allowed, self._resolve, self._tls)
        seconds = time.monotonic() - began
        size = answer.body_fault or f"{len(answer.body or '')} characters"
        context.log(f"{request.shown} at {answer.address}: {answer.status} {answer.reason}, {size}, {seconds:.3f} s\n")
        return answer


def report_of_answer(request: HttpRequest, answer: HttpAnswer) -> StepReport:
    """Return what the answer means (specification 2.5): 2xx is success, 4xx not worth a retry, anything else may be."""
    said = f"{request.shown}: {answer.status} {answer.reason}".rstrip()
    outputs = {"status_code": answer.status, "response_body": answer.body}
    if not 200 <= answer.status < 300:
        outcome = Outcome.FATAL_ERROR if 400 <= answer.status < 500 else Outcome.USER_ERROR
        shown = answer.body_fault or (answer.body or "")[:_SHOWN_CHARACTERS]
        return StepReport(outcome, outputs, f"{said}\n{shown}".rstrip())
    if answer.body is None:
        return StepReport(Outcome.FATAL_ERROR, None, f"{said}: {answer.body_fault}")
    return StepReport(Outcome.DONE, outputs)
