"""What a process writes to its log, in each format."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

_PROGRAM = """
import structlog, sys
from maestro_py.running import configure_logging
configure_logging(sys.argv[1], under_supervisor=sys.argv[2] == "1")
structlog.contextvars.bind_contextvars(process="engine", id="abc")
structlog.get_logger().info("partitions_acquired", count=64)
"""


def _logged(log_format: str, under_supervisor: str = "0") -> str:
    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAM, log_format, under_supervisor], capture_output=True, text=True, check=True
    )
    return ran.stderr


@pytest.mark.parametrize("log_format", ["auto", "json"])
def test_a_log_that_no_person_watches_is_json(log_format: str) -> None:
    event = json.loads(_logged(log_format))

    assert ("partitions_acquired", 64, "engine", "abc") == (
        event["event"],
        event["count"],
        event["process"],
        event["id"],
    )
    assert event["timestamp"].endswith("Z")


def test_text_is_for_people() -> None:
    """Under `maestro up` the line's label says which process it is."""
    alone, supervised = _logged("text"), _logged("text", "1")

    assert "count=64" in alone
    assert "process=engine" in alone
    assert "process=engine" not in supervised
    assert "\x1b" not in supervised
    assert "\x1b" in _logged("coloured")
