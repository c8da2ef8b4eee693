"""The one table from our errors to HTTP, and the error body of specification section 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from maestro_py.api.responses import Json
from maestro_py.model.errors import (
    Conflict,
    DefinitionInvalid,
    MaestroError,
    NotFound,
    ParamError,
    StoreUnavailable,
    Unprocessable,
)
from maestro_py.ports.api_store import IterationMismatch, StopRefused, StrategyChangeRefused

log = structlog.get_logger()


class RequestInvalid(MaestroError):
    """The request is wrong in a way that no field of its body says: a header or a query parameter."""


class Forbidden(MaestroError):
    """The caller may not do this."""


class BodyTooLarge(MaestroError):
    """The body is larger than the server reads."""


class MediaTypeUnsupported(MaestroError):
    """The body is in a format that we do not read."""


class TooBusy(MaestroError):
    """More waits already than is good for anybody.  Come back after *retry_after_seconds*."""

    def __init__(self, message: str, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Answer(NamedTuple):
    """How an error is told: the code, its name in the body, and whether the same request may do well later."""

    code: int
    status: str
    retryable: bool = False


#: The first row whose class an error is an instance of counts.
TABLE: Final[Mapping[type[Exception], Answer]] = {
    DefinitionInvalid: Answer(400, "BAD_REQUEST"),
    ParamError: Answer(400, "BAD_REQUEST"),
    RequestInvalid: Answer(400, "BAD_REQUEST"),
    Forbidden: Answer(403, "FORBIDDEN"),
    StopRefused: Answer(400, "BAD_REQUEST"),
    IterationMismatch: Answer(400, "BAD_REQUEST"),
    NotFound: Answer(404, "NOT_FOUND"),
    Conflict: Answer(409, "CONFLICT"),
    StrategyChangeRefused: Answer(412, "PRECONDITION_FAILED"),
    BodyTooLarge: Answer(413, "REQUEST_ENTITY_TOO_LARGE"),
    MediaTypeUnsupported: Answer(415, "UNSUPPORTED_MEDIA_TYPE"),
    Unprocessable: Answer(422, "UNPROCESSABLE_ENTITY"),
    TooBusy: Answer(429, "TOO_MANY_REQUESTS", retryable=True),
    StoreUnavailable: Answer(503, "SERVICE_UNAVAILABLE", retryable=True),
}

#: Names of the codes that the framework itself answers with.
_FRAMEWORK: Final = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}
_INTERNAL: Final = Answer(500, "INTERNAL_ERROR")
_WENT_WRONG: Final = "something went wrong on our side; it is in the log"


def error_body(answer: Answer, message: str, errors: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the body of an error: what is empty or false is left out (specification 0)."""
    body: dict[str, Any] = {"status": answer.status, "message": message}
    if errors:
        body["errors"] = errors
    if answer.retryable:
        body["retryable"] = True
    return body


def answer_to(error: Exception) -> Json:
    """Return the response to *error*; one that no row of the table knows is an internal error, told without details."""
    for kind, answer in TABLE.items():
        if isinstance(error, kind):
            headers = {"Retry-After": str(getattr(error, "retry_after_seconds", 1))} if answer.retryable else None
            return Json(error_body(answer, str(error), _details(error)), answer.code, headers)
    log.error("request_failed", exc_info=error)
    return Json(error_body(_INTERNAL, _WENT_WRONG), _INTERNAL.code)


def error_document(error: Exception) -> dict[str, Any]:
    """Return the body that tells *error* where an answer holds several; those that no row of the table knows, too."""
    for kind, answer in TABLE.items():
        if isinstance(error, kind):
            return error_body(answer, str(error), _details(error))
    log.error("request_failed", exc_info=error)
    return error_body(_INTERNAL, _WENT_WRONG)


def _details(error: Exception) -> tuple[str, ...]:
    if isinstance(error, DefinitionInvalid):
        return tuple(str(field) for field in error.errors) or (str(error),)
    return (str(error),)


def install_error_answers(app: FastAPI) -> None:
    """Have *app* answer every error by `TABLE`, the framework's own ones too."""
    for kind in (*TABLE, Exception):
        app.add_exception_handler(kind, _answer_error)
    app.add_exception_handler(HTTPException, _answer_framework)
    app.add_exception_handler(RequestValidationError, _answer_validation)


async def _answer_error(request: Request, error: Exception) -> Json:
    return answer_to(error)


async def _answer_framework(request: Request, error: Exception) -> Json:
    assert isinstance(error, HTTPException)
    answer = Answer(error.status_code, _FRAMEWORK.get(error.status_code, "BAD_REQUEST"))
    message = f"{request.method} {request.url.path}: {error.detail}"
    return Json(error_body(answer, message, (message,)), error.status_code, error.headers)


async def _answer_validation(request: Request, error: Exception) -> Json:
    """Answer a wrong path or query parameter: the framework's answer would be 422 and of another shape."""
    assert isinstance(error, RequestValidationError)
    found = tuple(f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg'].lower()}" for e in error.errors())
    return Json(error_body(Answer(400, "BAD_REQUEST"), f"the request is invalid: {found[0]}", found), 400)
