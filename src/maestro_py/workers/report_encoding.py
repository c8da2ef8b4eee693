"""Turn reports into the events that tell the engine; whatever they hold, the result can be stored.  Pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from maestro_py.model.events import AttemptReported, encode_event
from maestro_py.model.statuses import Outcome
from maestro_py.ports.step_type import StepReport
from maestro_py.ports.worker_store import AttemptKey, Claimed, Report

#: Output parameters of one attempt above this are refused, in bytes of JSON.
OUTPUTS_LIMIT_BYTES: Final = 64 << 20
#: Messages are cut to this many characters; the whole story is in the attempt's log.
MESSAGE_LIMIT: Final = 8_000


def report_of(claimed: Claimed, report: StepReport, end_ms: int) -> Report:
    """Return what is written about *claimed*, which ended with *report* at *end_ms* (the database's clock)."""
    payload = encode_report(claimed.key, report, claimed.claimed_ms, end_ms)
    return Report(claimed.partition, claimed.run_uid, claimed.step_id, claimed.attempt, claimed.token, payload)


def encode_report(key: AttemptKey, report: StepReport, start_ms: int, end_ms: int) -> msgspec.Raw:
    """Return the event that tells of *report*; outputs that cannot be stored make it a FATAL_ERROR that says so."""
    event = AttemptReported(
        key.step_id, key.attempt, report.outcome, report.message[:MESSAGE_LIMIT], report.outputs, start_ms, end_ms
    )
    try:
        payload = _encode(event)
    except (TypeError, ValueError, OverflowError, RecursionError) as exc:
        return encode_report(key, fatal(f"the outputs cannot be written as JSON: {exc}"), start_ms, end_ms)
    if len(payload) > OUTPUTS_LIMIT_BYTES:
        sizes = f"{len(payload) >> 20} MiB; {OUTPUTS_LIMIT_BYTES >> 20} MiB are allowed"
        return encode_report(key, fatal(f"the outputs have {sizes}"), start_ms, end_ms)
    return msgspec.Raw(payload)


def replaced(report: Report, reason: str) -> Report:
    """Return *report* as a FATAL_ERROR that tells *reason*, for one that the database refused."""
    event = msgspec.json.decode(report.payload)
    payload = encode_report(report.key, fatal(reason), event.get("start_time_ms", 0), event.get("end_time_ms", 0))
    return msgspec.structs.replace(report, payload=payload)


def fatal(message: str) -> StepReport:
    """Return the report of an attempt that no retry can help."""
    return StepReport(Outcome.FATAL_ERROR, None, message)


def _encode(event: AttemptReported) -> bytes:
    try:
        payload = encode_event(event)
    except UnicodeEncodeError:
        pass  # a lone surrogate, which is no text
    else:
        if b"\\u0000" not in payload:  # a NUL, which PostgreSQL cannot hold
            return payload
    message: str = _storable(event.message)
    return encode_event(msgspec.structs.replace(event, message=message, outputs=_storable(event.outputs)))


def _storable(value: Any) -> Any:
    """Return *value* with the characters replaced that PostgreSQL cannot hold."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    return value
