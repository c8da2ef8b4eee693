"""
A process that does nothing but listen to a queue: a line ``heard`` for each call, to its standard output.

    python -m tests.faults.kafka_listener_process SERVERS PREFIX QUEUE
"""

from __future__ import annotations

import asyncio
import sys

from maestro_py.ports.transport import Address, HintKind
from maestro_py.transport.kafka import KafkaTransport
from maestro_py.transport.kafka_cluster import KafkaCluster


async def _listen(servers: str, prefix: str, queue: str) -> None:
    transport = KafkaTransport(KafkaCluster(servers=servers), prefix=prefix)
    await transport.open()
    transport.subscribe([Address(HintKind.STEPS, queue)], lambda _: print("heard", flush=True))  # noqa: T201
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_listen(*sys.argv[1:]))
