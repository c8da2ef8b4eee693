"""A system of real processes on an embedded, durable PostgreSQL, and what the processes cost."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import httpx2
import psycopg
from psycopg.rows import TupleRow

from maestro_py.storage import migrate
from maestro_py.supervisor.embedded_kafka import EmbeddedKafka
from maestro_py.supervisor.embedded_postgres import EmbeddedPostgres

_TICKS = os.sysconf("SC_CLK_TCK")
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED", "TIMED_OUT")


class BenchSystem:
    """
    The processes of one measurement.

    Args:
        transport: ``postgres`` or ``kafka`` (without MAESTRO_KAFKA, over a broker of its own).
        engines: How many.
        workers: How many.
        slots: Of each worker.
    """

    def __init__(self, transport: str, *, engines: int, workers: int, slots: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="maestro-bench-"))
        self._folder.chmod(0o711)
        self._server = EmbeddedPostgres(self._folder / "postgres")
        self.database_url = self._server.start()
        migrate.upgrade(self.database_url)
        self._port = _free_port()
        self._environ = {
            **os.environ,
            "MAESTRO_DATABASE_URL": self.database_url,
            "MAESTRO_TRANSPORT": transport,
            "MAESTRO_SLOTS": str(slots),
            "MAESTRO_PORT": str(self._port),
            "MAESTRO_CODE": str(Path(__file__).parent / "code"),
        }
        self._kafka: EmbeddedKafka | None = None
        if transport == "kafka" and not self._environ.get("MAESTRO_KAFKA"):
            self._kafka = EmbeddedKafka(self._folder / "kafka")
            self._environ["MAESTRO_KAFKA"] = self._kafka.start()
        kinds = ["api", *["engine"] * engines, *["worker"] * workers]
        self._processes = [(kind, self._start(kind, number)) for number, kind in enumerate(kinds)]
        self._conn: psycopg.Connection[TupleRow] = psycopg.connect(self.database_url, autocommit=True)
        self.http = httpx2.Client(
            base_url=f"http://127.0.0.1:{self._port}/api/v3", headers={"user": "bench"}, timeout=60
        )
        self._wait_ready(engines + workers + 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self._conn.close()
        for _kind, process in self._processes:
            process.terminate()
        for _kind, process in self._processes:
            process.wait(30)
        if self._kafka is not None:
            self._kafka.stop()
        self._server.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    # --- driving -------------------------------------------------------------------------------------------

    def push(self, definition: Mapping[str, Any], **properties: Any) -> None:
        """Push a definition in the native form, owned by ``bench``."""
        body = {"properties": {"owner": "bench", **properties}, "workflow": definition}
        self._checked(self.http.post("/workflows", json=body))

    def start(self, workflow_id: str) -> int:
        """Start a run and return its instance id."""
        body = {"initiator": {"type": "manual"}, "request_id": str(uuid.uuid4())}
        answer = self._checked(self.http.post(f"/workflows/{workflow_id}/versions/active/actions/start", json=body))
        return int(answer["workflow_instance_id"])

    def wait_ended(self, workflow_id: str, instances: list[int], *, poll_ms: float) -> None:
        """Return when all *instances* have ended; raise when one has not succeeded, or after two minutes."""
        statement = (
            "SELECT status, count(*) FROM workflow_instance WHERE workflow_id = %s AND instance_id = ANY(%s) GROUP BY 1"
        )
        give_up = time.monotonic() + 120
        while True:
            counts = dict(self.query(statement, workflow_id, instances))
            if sum(counts.get(status, 0) for status in _ENDED) == len(instances):
                if counts.get("SUCCEEDED") != len(instances):
                    raise RuntimeError(f"{workflow_id}: {counts}")
                return
            if time.monotonic() > give_up:
                raise RuntimeError(f"{workflow_id} did not end: {counts}\n{self._log_tails()}")
            time.sleep(poll_ms / 1000)

    def query(self, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Return the rows of *statement*."""
        return self._conn.execute(statement.encode(), arguments).fetchall()

    # --- what it costs -------------------------------------------------------------------------------------

    def cpu_s(self) -> dict[str, float]:
        """Return the CPU seconds used so far by each kind of process, PostgreSQL with all its backends."""
        used: dict[str, float] = {}
        for kind, process in self._processes:
            used[kind] = used.get(kind, 0.0) + _cpu_of_tree(process.pid)
        assert self._server.pid is not None
        used["postgres"] = _cpu_of_tree(self._server.pid)
        if self._kafka is not None:
            used["kafka"] = _cpu_of_tree(self._kafka.pid)
        return used

    def peak_rss_mb(self) -> dict[str, float]:
        """Return the largest resident size so far of a process of each kind, in MB."""
        peaks: dict[str, float] = {}
        for kind, process in self._processes:
            peaks[kind] = max(peaks.get(kind, 0.0), _peak_rss_mb(process.pid))
        return peaks

    # --- inside --------------------------------------------------------------------------------------------

    def _start(self, kind: str, number: int) -> subprocess.Popen[bytes]:
        with (self._folder / f"{kind}-{number}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "maestro_py", kind], env=self._environ, stdout=log, stderr=log
            )

    def _wait_ready(self, processes: int) -> None:
        give_up = time.monotonic() + 60
        while time.monotonic() < give_up:
            beating = self.query("SELECT count(*) FROM process")[0][0]
            orphaned = self.query("SELECT count(*) FROM engine_partition WHERE owner IS NULL")[0][0]
            if beating == processes and not orphaned:
                time.sleep(2)  # the engine has looked at who is alive by then
                return
            time.sleep(0.1)
        raise RuntimeError(f"the system did not get ready\n{self._log_tails()}")

    def _log_tails(self) -> str:
        return "\n".join(f"--- {log.name}\n{log.read_text()[-2000:]}" for log in self._folder.glob("*.log"))

    @staticmethod
    def _checked(answer: httpx2.Response) -> dict[str, Any]:
        if answer.status_code >= 300:
            raise RuntimeError(f"{answer.status_code}: {answer.text}")
        return dict(answer.json())


def _cpu_of_tree(pid: int) -> float:
    """Return the CPU seconds of a process, of its dead children, and of its live descendants."""
    total = 0.0
    pending = [pid]
    while pending:
        one = pending.pop()
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            pending += [int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(fields[index]) for index in (11, 12, 13, 14)) / _TICKS
    return total


def _peak_rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
