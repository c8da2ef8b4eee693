"""HTTP and SQL steps in a running system: what one returns is a parameter of the next."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.system import running_system


class Prices(BaseHTTPRequestHandler):
    """Answers every request with a price that holds what would be SQL in a text."""

    def do_GET(self) -> None:
        body = b"it's 12; drop table prices"
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def prices() -> Iterator[int]:
    """The port of a server on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Prices) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def definition(port: int, database: str) -> dict[str, Any]:
    sql = {"type": "sql", "url": database}
    return {
        "workflow_id": "prices",
        "params": {"day": "2013-01-01"},
        "steps": [
            {"id": "fetch", "type": "http", "url": f"http://127.0.0.1:{port}/${{day}}"},
            {
                "id": "store",
                **sql,
                "statements": [
                    "create table prices (day text, price text)",
                    "insert into prices values (:day, :price)",
                ],
                "parameters": {"day": "${day}", "price": "${fetch.output.response_body}"},
                "dependencies": ["fetch"],
            },
            {
                "id": "ask",
                **sql,
                "sql": "select :status as status, day, price from prices where day in :days",
                "parameters": {"days": ["${day}"], "status": "${fetch.output.status_code}"},
                "dependencies": ["store"],
            },
            {
                "id": "tell",
                "items": "${ask.output.rows}",
                "dependencies": ["ask"],
                "steps": [
                    {
                        "id": "one",
                        "type": "shell",
                        "command": 'printf "%s" "$PRICE ${day} $1" > "$TARGET"',
                        "env": {
                            "PRICE": "${price}",
                            "TARGET": f"{Path(database.removeprefix('sqlite:///')).parent}/told",
                        },
                        "args": ["${status}"],
                    }
                ],
            },
            {"id": "elsewhere", "type": "Http", "url": "http://127.0.0.1:1/", "failure_mode": "IGNORE_FAILURE"},
        ],
    }


def test_what_a_step_returns_is_what_the_next_one_binds(database_url: str, prices: int, tmp_path: Path) -> None:
    """From an answer over HTTP into a database, and from its rows into a loop; only the allowed host is reached."""
    with running_system(database_url, http_allow=f"127.0.0.1:{prices}") as system:
        system.start_all()
        system.push(definition(prices, f"sqlite:///{tmp_path}/prices.db"))
        instance = system.start_run("prices")
        status = system.wait_ended("prices", instance)
        steps = system.steps("prices", instance)

    assert "SUCCEEDED" == status, steps
    assert "it's 12; drop table prices 2013-01-01 200" == (tmp_path / "told").read_text()
    assert "COMPLETED_WITH_ERROR" == steps["elsewhere"]["runtime_state"]["status"]
    assert "127.0.0.1:1 is not among the hosts that MAESTRO_HTTP_ALLOW names" in str(steps["elsewhere"])
