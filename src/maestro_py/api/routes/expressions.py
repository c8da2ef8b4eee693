"""Try an expression against parameters (ours), with a tenth of what a workflow may use."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field

from maestro_py.api.errors import TooBusy
from maestro_py.api.requests import aside, documented, json_bytes, validated
from maestro_py.api.responses import Json
from maestro_py.api.services import Services
from maestro_py.model.errors import ParamError
from maestro_py.model.forms.document import Document
from maestro_py.model.forms.jsonc import read_jsonc
from maestro_py.model.ids import new_uid
from maestro_py.params import Facts, TrialWork, decode_answer, encode_work, trial_limits
from maestro_py.ports.evaluator import EvaluationAborted, EvaluatorBusy


class TrialDocument(Document):
    """An expression, and the plain values of the parameters that it may read."""

    expression: str
    params: dict[str, Any] = Field(default_factory=dict)
    limits: dict[str, int] = Field(default_factory=dict)


def _trial(body: bytes) -> TrialDocument:
    return validated(TrialDocument, read_jsonc(body))


def expression_routes(services: Services) -> APIRouter:
    """Return the route that tries expressions."""
    routes = APIRouter(prefix="/api/v3/expressions", tags=["expressions"])

    @routes.post("/evaluate", openapi_extra=documented(TrialDocument))
    async def evaluate(request: Request) -> Json:
        """Return what the expression gives, or what is wrong with it and where."""
        body = await aside(_trial, await json_bytes(request))
        facts = Facts(now_ms=services.clock.now_ms(), seed=str(new_uid()))
        work = TrialWork(body.expression, body.params, trial_limits(body.limits), facts)
        try:
            answer = await services.evaluator.evaluate(await asyncio.to_thread(encode_work, work))
        except EvaluatorBusy as exc:
            raise TooBusy(str(exc)) from exc
        except EvaluationAborted as exc:
            raise ParamError("expression", str(exc)) from exc
        return Json((await asyncio.to_thread(decode_answer, answer)).values())

    return routes
