"""
How long a hint takes from one process's `send` to another one's ears: ``python -m benchmarks.transport [--json]``.

Two transports in one event loop stand for two processes; the servers are real, embedded, and durable as in production.
Transports and kinds take turns, hint by hint, so that whatever else the machine does meets all of them alike.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import uvloop

from maestro_py.model.statuses import ProcessKind
from maestro_py.ports.transport import Address, HintKind, Transport
from maestro_py.storage.connections import application_name
from maestro_py.storage.notifications import PostgresNotifications
from maestro_py.supervisor.embedded_kafka import EmbeddedKafka
from maestro_py.supervisor.embedded_postgres import EmbeddedPostgres
from maestro_py.transport.kafka import KafkaTransport
from maestro_py.transport.kafka_cluster import KafkaCluster
from maestro_py.transport.postgres import PostgresTransport

ADDRESSES = {
    "engine": [Address(HintKind.ENGINE, str(number)) for number in range(64)],
    "steps": [Address(HintKind.STEPS, "default")],
    "signals": [Address(HintKind.SIGNALS, "")],
}
#: Between two hints: long enough that the earlier one is over, as on an idle system.
_PAUSE_SECONDS = 0.02
_LOST_SECONDS = 5.0
_BURSTS = 200
_IDLE_SECONDS = 5.0


@dataclass
class Line:
    """A sender, a receiver, and what was measured between them."""

    transport: str
    kind: str
    sender: Transport
    receiver: Transport
    latencies_ms: list[float] = field(default_factory=list)
    lost: int = 0

    def __post_init__(self) -> None:
        self._heard = asyncio.Event()
        self._at = 0.0
        self._keys: set[Address] = set()
        self._turn = 0
        self.receiver.subscribe(ADDRESSES[self.kind], self._on_hint)

    def _on_hint(self, addresses: Collection[Address]) -> None:
        self._at = time.perf_counter()
        self._keys.update(addresses)
        self._heard.set()

    async def warm_up(self) -> None:
        """Return when ten hints in a row were heard."""
        while True:
            lost = self.lost
            for _ in range(10):
                await self.once()
            self.latencies_ms.clear()
            if lost == self.lost:
                return

    async def once(self) -> None:
        """Send one hint and wait until it is heard."""
        address = ADDRESSES[self.kind][self._turn % len(ADDRESSES[self.kind])]
        self._turn += 1
        self._heard.clear()
        began = time.perf_counter()
        self.sender.send([address])
        try:
            await asyncio.wait_for(self._heard.wait(), _LOST_SECONDS)
        except TimeoutError:
            self.lost += 1
        else:
            self.latencies_ms.append((self._at - began) * 1000)
        await asyncio.sleep(_PAUSE_SECONDS)

    async def hints_per_second(self) -> float:
        """Return how many hints a second arrive when all addresses are sent again as soon as all have come."""
        wanted = set(ADDRESSES[self.kind])
        began = time.perf_counter()
        for _ in range(_BURSTS):
            self._keys.clear()
            self.sender.send(wanted)
            while not self._keys >= wanted:
                self._heard.clear()
                await asyncio.wait_for(self._heard.wait(), _LOST_SECONDS)
        return _BURSTS * len(wanted) / (time.perf_counter() - began)


async def measure(database_url: str, kafka: str, repeat: int) -> list[dict[str, object]]:
    """Return a row of figures for each transport and kind."""
    async with AsyncExitStack() as stack:
        lines = []
        for name in ("postgres", "kafka"):
            for kind in ADDRESSES:
                sender, receiver = (_transport(name, database_url, kafka) for _ in range(2))
                for end in (sender, receiver):
                    await end.open()
                    stack.push_async_callback(end.close)
                lines.append(Line(name, kind, sender, receiver))
        for line in lines:
            await line.warm_up()
        for _ in range(repeat):
            for line in lines:
                await line.once()
        rates = {id(line): await line.hints_per_second() for line in lines}
        idle = await _idle_cpu_percent()
    return [
        {
            "transport": line.transport,
            "kind": line.kind,
            "hints": len(line.latencies_ms),
            "lost": line.lost,
            **{
                f"latency_ms_p{percent}": round(statistics.quantiles(line.latencies_ms, n=1000)[percent * 10 - 1], 2)
                for percent in (50, 95, 99)
            },
            "hints_per_s": round(rates[id(line)]),
            "idle_cpu_percent_of_all_ends": idle,
        }
        for line in lines
    ]


def _transport(name: str, database_url: str, kafka: str) -> Transport:
    if name == "kafka":
        return KafkaTransport(KafkaCluster(servers=kafka))
    return PostgresTransport(PostgresNotifications(database_url, application_name(ProcessKind.ENGINE, uuid4())))


async def _idle_cpu_percent() -> float:
    """Return what all transports together take of a core while nothing happens."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.sleep(_IDLE_SECONDS)
    after = resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return round(100 * used / _IDLE_SECONDS, 2)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Measure the transports of hints.")
    parser.add_argument("--repeat", type=int, default=1_000, help="hints of each transport and kind")
    parser.add_argument("--json", action="store_true", help="an object a line")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="maestro-bench-"))
    folder.chmod(0o711)
    try:
        with EmbeddedPostgres(folder / "postgres") as postgres, EmbeddedKafka(folder / "kafka") as kafka:
            servers = os.environ.get("MAESTRO_KAFKA") or kafka.servers
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                rows = runner.run(measure(postgres.url, servers, arguments.repeat))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for row in rows:
        print(json.dumps(row) if arguments.json else "  ".join(f"{name} {value}" for name, value in row.items()))


if __name__ == "__main__":
    main()
