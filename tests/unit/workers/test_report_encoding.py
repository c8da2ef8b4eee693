"""Whatever a step reports, the row and the inbox can hold it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from maestro_py.model.events import AttemptReported, decode_event
from maestro_py.model.statuses import Outcome
from maestro_py.ports.step_type import StepReport
from maestro_py.ports.worker_store import AttemptKey, Report
from maestro_py.workers import report_encoding
from maestro_py.workers.report_encoding import MESSAGE_LIMIT, encode_report, replaced

KEY = AttemptKey(7, "01900000-0000-7000-8000-000000000001", "step", 2)


def encoded(report: StepReport) -> AttemptReported:
    event = decode_event(bytes(encode_report(KEY, report, 1_000, 2_000)))
    assert isinstance(event, AttemptReported)
    return event


def test_a_report_names_its_attempt_and_its_times() -> None:
    """The engine learns which attempt ended, how, and when it ran."""
    event = encoded(StepReport(Outcome.DONE, {"n": 1}))

    assert ("step", 2, Outcome.DONE, {"n": 1}) == (event.step_id, event.attempt, event.outcome, event.outputs)
    assert (1_000, 2_000) == (event.start_time_ms, event.end_time_ms)


@pytest.mark.parametrize(
    ("given", "stored"),
    [("a\0b", "a\ufffdb"), ("a\ud800b", "a?b"), ("a\\u0000b", "a\\u0000b"), ("plain €", "plain €")],
)
def test_characters_that_postgresql_cannot_hold_are_replaced(given: str, stored: str) -> None:
    """NUL and lone surrogates; a backslash that only looks like an escape stays."""
    event = encoded(StepReport(Outcome.USER_ERROR, {given: [given]}, given))

    assert stored == event.message
    assert {stored: [stored]} == event.outputs


def test_outputs_that_are_no_json_are_fatal() -> None:
    """Another attempt would return the same."""
    event = encoded(StepReport(Outcome.DONE, {"when": object()}))

    assert Outcome.FATAL_ERROR is event.outcome
    assert "the outputs cannot be written as JSON" in event.message
    assert event.outputs is None


def test_outputs_beyond_the_limit_are_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says how large they are and what is allowed."""
    monkeypatch.setattr(report_encoding, "OUTPUTS_LIMIT_BYTES", 2 << 20)
    event = encoded(StepReport(Outcome.DONE, {"text": "x" * (3 << 20)}))

    assert Outcome.FATAL_ERROR is event.outcome
    assert "the outputs have 3 MiB; 2 MiB are allowed" == event.message


def test_long_messages_are_cut() -> None:
    """The whole story is in the log."""
    assert MESSAGE_LIMIT == len(encoded(StepReport(Outcome.USER_ERROR, None, "x" * 100_000)).message)


def test_a_refused_report_becomes_one_that_says_why() -> None:
    """It keeps its attempt, its token and its times."""
    payload = encode_report(KEY, StepReport(Outcome.DONE, {"n": 1}), 1_000, 2_000)
    report = replaced(Report(*KEY, 5, payload), "too much")
    event: Any = decode_event(bytes(report.payload))

    assert 5 == report.token
    assert (Outcome.FATAL_ERROR, "too much", 1_000) == (event.outcome, event.message, event.start_time_ms)
    assert msgspec.json.decode(report.payload).get("outputs") is None
