"""Read what every route reads: bodies, the caller, versions, runs and pages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

from fastapi import Header, Query, Request
from pydantic import BaseModel, ValidationError

from maestro_py.admission import VersionName
from maestro_py.api.errors import MediaTypeUnsupported, RequestInvalid
from maestro_py.model.forms.document import Document, collect
from maestro_py.model.forms.jsonc import read_jsonc
from maestro_py.model.forms.problems import Problems
from maestro_py.ports.api_records import PageRequest, VersionRef

D = TypeVar("D", bound=Document)
T = TypeVar("T")

#: Bodies above this are read in a thread, in bytes.
READ_ASIDE: Final = 64 << 10

_LONG_MAX: Final = 2**63 - 1
_PAGE_MAX: Final = 200

#: Who calls; None: the header is missing (specification 0).
Caller = Annotated[str | None, Header(alias="user", description="who calls")]


def named_caller(user: str | None) -> str:
    """
    Return the caller's name.

    Raises:
        RequestInvalid: the header is missing.
    """
    if user is None or not user.strip():
        raise RequestInvalid("the user name cannot be null: send the header `user`")
    return user.strip()


async def json_bytes(request: Request) -> bytes:
    """
    Return the body of a request whose body is JSON, comments allowed; it is not parsed yet.

    Raises:
        MediaTypeUnsupported: it says that it is YAML.
        BodyTooLarge: it is larger than the limit.
    """
    if "yaml" in request.headers.get("content-type", "").lower():
        raise MediaTypeUnsupported("YAML is not supported yet: send JSON (comments are allowed)")
    return await request.body()


async def aside(read: Callable[[bytes], T], body: bytes) -> T:
    """Return what *read* makes of *body*, in a thread if it is large, so that the loop stays free for everybody."""
    return await asyncio.to_thread(read, body) if len(body) > READ_ASIDE else read(body)


async def split_document(request: Request, model: type[D]) -> tuple[D, dict[str, Any]]:
    """
    Return the fields of *model* that the body of *request* has, and everything else of it.

    Raises:
        DefinitionInvalid: it is no JSON, or known fields are wrong; each is named by its path.
        MediaTypeUnsupported: it says that it is YAML.
        BodyTooLarge: it is larger than the limit.
    """
    value: Any = await aside(read_jsonc, await json_bytes(request))
    if not isinstance(value, dict):
        return validated(model, value), {}
    known = {name: value[name] for name in value if name in model.model_fields}
    return validated(model, known), {name: value[name] for name in value if name not in model.model_fields}


def validated(model: type[D], value: Any) -> D:
    """
    Return *value*, the value of a JSON document, as *model*.

    Raises:
        DefinitionInvalid: fields are wrong; each is named by its path.
    """
    problems = Problems()
    try:
        return model.model_validate(value)
    except ValidationError as exc:
        collect(exc, problems)
    problems.raise_if_any("The request")
    raise AssertionError("pydantic refused the document and said nothing")


def documented(model: type[BaseModel]) -> dict[str, Any]:
    """Return what a route tells OpenAPI of a body that it reads by `document`."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def version_ref(text: str) -> VersionRef:
    """
    Return the version that a path names: active, latest, default or a number from 1.

    Raises:
        RequestInvalid: it is none of these.
    """
    name = text.lower()
    if name in (VersionName.ACTIVE, VersionName.LATEST, VersionName.DEFAULT):
        return VersionRef(VersionName(name))
    return VersionRef.of_number(number(text, "version", "active, latest, default or a number"))


def latest_or_number(text: str, what: str) -> int | None:
    """
    Return the number that a path names, None for ``latest``.

    Raises:
        RequestInvalid: it is neither.
    """
    return None if text.lower() == "latest" else number(text, what, "latest or a number")


def number(text: str, what: str, expected: str = "a number") -> int:
    """
    Return the number, from 1, that a path names.

    Raises:
        RequestInvalid: it is none.
    """
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _LONG_MAX):
        raise RequestInvalid(f"{what}: must be {expected} from 1, not {text!r}")
    return int(text)


def iteration_path(text: str) -> tuple[int, ...]:
    """
    Return the numbers, the outermost loop's first, by which a path names an iteration: ``3``, or ``3-12``.

    Raises:
        RequestInvalid: it is nothing of the kind.
    """
    expected = "numbers joined by -, one of each loop, the outermost first, as 3-12; each"
    return tuple(number(part, "iteration", expected) for part in text.split("-"))


def page_request(first: int | None, last: int | None, cursor: str | None) -> PageRequest:
    """
    Return the page that ``first`` or ``last``, exactly one of them, and ``cursor`` ask for (specification 0).

    Raises:
        RequestInvalid: both or none is given, a size is not 1 to 200, or the cursor is no id.
    """
    if (first is None) == (last is None):
        raise RequestInvalid("exactly one of `first` and `last` must be given")
    size = first if first is not None else last
    assert size is not None
    if not 1 <= size <= _PAGE_MAX:
        raise RequestInvalid(f"{'last' if first is None else 'first'}: must be 1 to {_PAGE_MAX}, not {size}")
    return PageRequest(size, first is not None, None if cursor is None else number(cursor, "cursor", "an id"))


First = Annotated[int | None, Query(description="page size, towards older ids")]
Last = Annotated[int | None, Query(description="page size, towards newer ids")]
Cursor = Annotated[str | None, Query(description="an id; the page begins beyond it")]
