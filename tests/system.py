"""
The whole system as real OS processes on a database of the test's own: start them, kill them, ask the API.

Leases are the defaults of the product unless a test says otherwise, so what a test sees is what a user gets.
"""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx2
import psycopg
import pytest

from maestro_py.testing.waiting import wait_until
from tests.nursery import nursery

#: Runs a test of a system once over each transport.
BOTH_TRANSPORTS = pytest.mark.parametrize("transport", ["postgres", "kafka"])
#: Statuses of a run that has ended.
ENDED = frozenset({"SUCCEEDED", "FAILED", "STOPPED", "TIMED_OUT"})


class OsProcess:
    """One process of the system."""

    def __init__(self, kind: str, module: str, arguments: list[str], environ: Mapping[str, str], log: Path) -> None:
        self.kind = kind
        self.log = log
        self.pid = nursery().start(module, arguments, environ, log)
        self._status: int | None = None

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        if self._status is None:
            self._status = nursery().poll(self.pid)
        return self._status is None

    def kill(self) -> None:
        """SIGKILL, and reap."""
        self._signal(signal.SIGKILL)
        self.wait(10)

    def pause(self) -> None:
        """SIGSTOP: it is alive and does nothing."""
        self._signal(signal.SIGSTOP)

    @property
    def is_paused(self) -> bool:
        """Whether it was stopped by SIGSTOP."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def terminate(self, within_seconds: float = 20.0) -> int:
        """SIGTERM, and return its exit status."""
        self._signal(signal.SIGTERM)
        return self.wait(within_seconds)

    def wait(self, within_seconds: float) -> int:
        """Wait for it to end by itself, and return its exit status: minus the signal that ended it."""
        wait_until(lambda: not self.is_running, within_seconds, seen=self.log.read_text)
        assert self._status is not None
        return self._status

    def begin_dispose(self) -> None:
        """Have it end whatever state it is in; its children notice."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # Its id is nobody else's before its status was asked for.
        if self.is_running:
            os.kill(self.pid, number)


class System:
    """
    Processes over one database.

    Args:
        url: Of a migrated database.
        settings: Environment variables for every process, without the prefix MAESTRO_.
    """

    def __init__(self, url: str, folder: Path, settings: Mapping[str, object]) -> None:
        self.url = url
        self.folder = folder
        self.processes: dict[str, list[OsProcess]] = defaultdict(list)
        self._settings = dict(settings)
        self._ports: list[int] = []
        self._http = httpx2.Client(timeout=20, headers={"user": "tester"})

    # --- processes -----------------------------------------------------------------------------------------

    def start(self, kind: str, *arguments: str, module: str = "maestro_py", **settings: object) -> OsProcess:
        """
        Start one more ``engine``, ``worker``, ``signal`` or ``api``.

        Args:
            kind: Which.
            arguments: Further ones for its command line.
            module: What Python runs; another than ours is handed the same.
            settings: As those of the system; they win over these.
        """
        environ = plain_environment()
        chosen = {"database_url": self.url, **self._settings, **settings}
        if kind == "api":
            chosen.setdefault("port", free_port())
            self.attach_api(int(str(chosen["port"])))
        environ.update({f"MAESTRO_{name.upper()}": str(value) for name, value in chosen.items()})
        number = len(self.processes[kind]) + 1
        process = OsProcess(kind, module, [kind, *arguments], environ, self.folder / f"{kind}-{number}.log")
        self.processes[kind].append(process)
        return process

    def start_all(self, *, engines: int = 1, workers: int = 1, signals: int = 0, apis: int = 1) -> Self:
        """Start a whole system and wait until it is ready for work."""
        for kind, count in (("api", apis), ("engine", engines), ("worker", workers), ("signal", signals)):
            for _ in range(count):
                self.start(kind)
        self.wait_ready(engines=engines, workers=workers, signals=signals, apis=apis)
        return self

    def wait_ready(self, **counts: int) -> None:
        """Wait until that many processes of each kind beat, the APIs answer and every partition has an owner."""
        kinds = {kind.removesuffix("s"): count for kind, count in counts.items()}
        wait_until(
            lambda: all(self.live(kind) >= count for kind, count in kinds.items()), 60, seen=lambda: self.logs(2000)
        )
        if kinds.get("engine"):
            wait_until(lambda: self.query("SELECT count(*) FROM engine_partition WHERE owner IS NULL")[0][0] == 0, 60)
        wait_until(lambda: all(self.is_ready(number) for number in range(kinds.get("api", 0))), 60)

    def is_ready(self, api: int = 0) -> bool:
        """Return whether an API says that it is."""
        return self._http.get(f"{self.api_url(api)}/readyz").status_code == 200

    def process_id(self, process: OsProcess) -> uuid.UUID:
        """Return the id under which a process beats."""
        rows = self.query("SELECT id FROM process WHERE pid = %s AND kind = %s", process.pid, process.kind)
        assert rows, f"{process.kind} {process.pid} has not beaten"
        return uuid.UUID(str(rows[-1][0]))

    def owned_by(self, process: OsProcess) -> int:
        """Return how many partitions are an engine's."""
        return int(self.query("SELECT count(*) FROM engine_partition WHERE owner = %s", self.process_id(process))[0][0])

    def live(self, kind: str) -> int:
        """Return how many processes of *kind* beat."""
        statement = "SELECT count(*) FROM process WHERE kind = %s AND beat_at + lease_ms * interval '1 ms' > now()"
        return int(self.query(statement, kind)[0][0])

    def logs(self, characters: int = 4000) -> str:
        """Return the ends of what the processes wrote."""
        texts = (f"--- {log.name}\n{log.read_text()[-characters:]}" for log in sorted(self.folder.glob("*.log")))
        return "\n".join(texts)

    def dispose(self) -> None:
        """End everything."""
        self._http.close()
        everything = [process for processes in self.processes.values() for process in processes]
        for process in everything:
            process.begin_dispose()
        for process in everything:
            process.wait(10)

    # --- the database --------------------------------------------------------------------------------------

    def query(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Return the rows of *statement*."""
        with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as conn:
            cursor = conn.execute(statement.encode(), arguments)
            return cursor.fetchall() if cursor.description else []

    # --- the API -------------------------------------------------------------------------------------------

    def attach_api(self, port: int) -> None:
        """Call the API on *port* from now on, as the next number."""
        self._ports.append(port)

    def api_url(self, number: int = 0) -> str:
        """Return where the API with this number listens."""
        return f"http://127.0.0.1:{self._ports[number]}"

    def call(self, method: str, path: str, body: object = None, *, api: int = 0) -> httpx2.Response:
        """Call ``/api/v3`` + *path*."""
        return self._http.request(method, f"{self.api_url(api)}/api/v3{path}", json=body)

    def push(self, definition: Mapping[str, object]) -> None:
        """Push a definition in the simple form."""
        answer = self.call("POST", "/workflows", definition)
        assert answer.status_code == 200, answer.text

    def start_run(self, workflow_id: str, *, api: int = 0, request_id: str | None = None, **params: object) -> int:
        """Start a run of the active version and return its instance id."""
        body = {
            "initiator": {"type": "manual"},
            "request_id": request_id or str(uuid.uuid4()),
            "run_params": dict(params),
        }
        answer = self.call("POST", f"/workflows/{workflow_id}/versions/active/actions/start", body, api=api)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["workflow_instance_id"])

    def announce(self, name: str, *, api: int = 0, **params: object) -> None:
        """Announce a signal under a fresh request id, as often as it takes: who is told to come back does so."""
        body = {"name": name, "params": params, "request_id": str(uuid.uuid4())}
        # 409: an earlier try was stored, and its answer lost.
        answer = wait_until(lambda: self._answered("POST", "/signals", body, api=api), 20, seen=self.logs)
        assert answer is not None
        assert answer.status_code in (200, 409), answer.text

    def _answered(self, method: str, path: str, body: object, *, api: int = 0) -> httpx2.Response | None:
        """Return the answer, or None if it says that the same request may fare better later."""
        answer = self.call(method, path, body, api=api)
        return None if answer.status_code >= 500 and answer.json().get("retryable") else answer

    def instance(self, workflow_id: str, instance_id: int = 1) -> dict[str, Any]:
        """Return the latest run of an instance."""
        answer = self.call("GET", f"/workflows/{workflow_id}/instances/{instance_id}/runs/latest")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def steps(self, workflow_id: str, instance_id: int = 1) -> dict[str, dict[str, Any]]:
        """Return the latest attempt of each step by its id."""
        answer = self.call("GET", f"/workflows/{workflow_id}/instances/{instance_id}/runs/latest/steps")
        assert answer.status_code == 200, answer.text
        found = answer.json()
        steps = found["elements"] if isinstance(found, dict) else found
        return {step["step_id"]: step for step in steps}

    def status(self, workflow_id: str, instance_id: int = 1) -> str:
        """Return the status of the latest run as the table has it."""
        statement = """
            SELECT status FROM workflow_instance WHERE workflow_id = %s AND instance_id = %s
            ORDER BY run_id DESC LIMIT 1
        """
        rows = self.query(statement, workflow_id, instance_id)
        return str(rows[0][0]) if rows else "NONE"

    def wait_ended(self, workflow_id: str, instance_id: int = 1, within_seconds: float = 30) -> str:
        """Wait for the end of the latest run and return its status."""
        wait_until(
            lambda: self.status(workflow_id, instance_id) in ENDED,
            within_seconds,
            seen=lambda: f"{self.status(workflow_id, instance_id)}\n{self.logs()}",
        )
        return self.status(workflow_id, instance_id)

    def wait_step(self, workflow_id: str, step_id: str, status: str, instance_id: int = 1, within: float = 20) -> None:
        """Wait until the latest attempt of a step reads *status* in the API."""
        wait_until(
            lambda: self.steps(workflow_id, instance_id)[step_id]["runtime_state"]["status"] == status,
            within,
            seen=lambda: f"{self.steps(workflow_id, instance_id)}\n{self.logs()}",
        )


@contextmanager
def running_system(url: str, **settings: object) -> Iterator[System]:
    """Yield a system without processes; end whatever is started in it."""
    with tempfile.TemporaryDirectory(prefix="maestro-system-") as folder:
        system = System(url, Path(folder), settings)
        try:
            yield system
        finally:
            system.dispose()


def plain_environment() -> dict[str, str]:
    """Return our environment without settings of maestro."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MAESTRO_")}


def free_port() -> int:
    """Return a port of this machine on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
