"""What the routes are handed: the adapters and the starter of one API process."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from maestro_py.api.announcements import Announcer
from maestro_py.api.pressure import Pressure
from maestro_py.api.starts import Starter
from maestro_py.api.verdicts import Verdicts
from maestro_py.ports.api_store import ApiStore
from maestro_py.ports.clock import Clock
from maestro_py.ports.evaluator import Evaluator
from maestro_py.ports.transport import Address, HintKind, Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that a route may use."""

    store: ApiStore
    transport: Transport
    clock: Clock
    starter: Starter
    announcer: Announcer
    verdicts: Verdicts
    pressure: Pressure
    evaluator: Evaluator
    max_steps: int  #: Steps of one definition, nested ones included.

    def hint_engines(self, partitions: Iterable[int]) -> None:
        """Tell the owners of *partitions* that something waits for them, after the commit."""
        addresses = [Address(HintKind.ENGINE, str(partition)) for partition in sorted(set(partitions))]
        if addresses:
            self.transport.send(addresses)
