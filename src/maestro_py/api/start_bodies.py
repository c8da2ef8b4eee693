"""Read the bodies of starts, one or many (specification 1.2); pure, so a thread may do it for large ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from maestro_py.api.requests import validated
from maestro_py.api.schemas import BatchStartDocument, StartDocument
from maestro_py.model.definition import ParamDefinition
from maestro_py.model.errors import DefinitionInvalid, FieldError
from maestro_py.model.forms.jsonc import read_jsonc
from maestro_py.params import parse_run_params

#: Requests of one batch at most.
BATCH_AT_MOST: Final = 1_000


class StartBody(NamedTuple):
    """What the body of one start says."""

    document: StartDocument
    run_params: Mapping[str, ParamDefinition]


def read_start(body: bytes) -> StartBody:
    """
    Return what *body* says.

    Raises:
        DefinitionInvalid: it is no JSON, or fields are wrong; each is named by its path.
    """
    return _start_body(read_jsonc(body))


def read_batch_start(body: bytes) -> list[StartBody | DefinitionInvalid]:
    """
    Return what each request of *body* says, in order; a wrong one is told by itself and spoils no other.

    Raises:
        DefinitionInvalid: the body is no JSON, holds no list of requests, or too many of them.
    """
    batch = validated(BatchStartDocument, read_jsonc(body))
    if len(batch.requests) > BATCH_AT_MOST:
        message = f"{len(batch.requests)} requests are more than {BATCH_AT_MOST}"
        raise DefinitionInvalid(f"The request is invalid: requests: {message}", [FieldError("requests", message)])
    return [_of_batch(value, f"requests[{index}]") for index, value in enumerate(batch.requests)]


def _of_batch(value: Any, path: str) -> StartBody | DefinitionInvalid:
    try:
        return _start_body(value)
    except DefinitionInvalid as exc:
        errors = [FieldError(f"{path}.{error.path}" if error.path else path, error.message) for error in exc.errors]
        count = f" ({len(errors)} errors)" if len(errors) > 1 else ""
        return DefinitionInvalid(f"The request is invalid{count}: {errors[0]}", errors)


def _start_body(value: Any) -> StartBody:
    document = validated(StartDocument, value)
    return StartBody(document, parse_run_params(document.run_params))
