"""A server that says what a test tells it to, and the command line run against it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, Any]


class RecordingServer:
    """
    Answers each ``"METHOD path"`` from a table, and remembers the requests.

    An answer is a status and a body, or a list of such, each given once, of which the last one stays.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Answer | list[Answer]] = {}
        self.headers: dict[int, dict[str, str]] = {}  #: Of answers with a status.
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = f"{self.command} {self.path.removeprefix('/api/v3')}"
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                recorder.requests.append((asked, {k.lower(): v for k, v in self.headers.items()}, body))
                refusal = (404, {"status": "NOT_FOUND", "message": f"no answer to {asked}"})
                found = recorder.answers.get(asked, refusal)
                if isinstance(found, list):
                    found = found.pop(0) if len(found) > 1 else found[0]
                status, answer = found
                encoded = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(encoded)))
                for name, value in recorder.headers.get(status, {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(encoded)

            do_POST = do_PUT = do_GET  # noqa: N815 - the names are http.server's

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


def maestro(url: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command ``maestro`` against *url*."""
    return subprocess.run(
        [sys.executable, "-m", "maestro_py", *arguments],
        env={**os.environ, "MAESTRO_URL": url, "MAESTRO_USER": "ana", "COLUMNS": "160"},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
