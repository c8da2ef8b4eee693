"""What the log of `maestro up` looks like, to people and to machines."""

from __future__ import annotations

import io
import json

import pytest

from maestro_py.supervisor.console import Console


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _lines(console: Console, out: io.StringIO) -> list[str]:
    console.author("engine-1")('{"event": "batch_failed", "level": "error"}')
    console.author("engine-1")("Traceback")
    console.say("stopped")
    return out.getvalue().splitlines()


def test_every_line_is_one_json_object_where_nobody_looks() -> None:
    """Whoever wrote it: a child, a library that knows nothing of our log, or the supervisor."""
    out = io.StringIO()

    lines = [json.loads(line) for line in _lines(Console(out, {}), out)]

    assert {"child": "engine-1", "event": "batch_failed", "level": "error"} == lines[0]
    assert [("engine-1", "Traceback"), ("maestro", "stopped")] == [(e["child"], e["event"]) for e in lines[1:]]
    assert all(event["timestamp"].endswith("Z") for event in lines[1:])


def test_text_says_whose_each_line_is() -> None:
    out = io.StringIO()

    assert ["engine-1 | Traceback", "maestro  | stopped"] == _lines(Console(out, {}, "text"), out)[1:]


@pytest.mark.parametrize(
    ("out", "environ", "asked", "chosen"),
    [
        (_Terminal(), {}, "auto", "coloured"),
        (_Terminal(), {"NO_COLOR": "1"}, "auto", "text"),
        (_Terminal(), {}, "json", "json"),
        (io.StringIO(), {}, "auto", "json"),
        (io.StringIO(), {"FORCE_COLOR": "1"}, "auto", "coloured"),
        (io.StringIO(), {}, "text", "text"),
    ],
)
def test_the_format_fits_whoever_reads(out: io.StringIO, environ: dict[str, str], asked: str, chosen: str) -> None:
    assert chosen == Console(out, environ, asked).log_format
