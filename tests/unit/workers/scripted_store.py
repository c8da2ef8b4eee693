"""A store that answers what the test scripts: in memory, and with answers that are late, lost or refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any

from maestro_py.model.events import AttemptReported, decode_event
from maestro_py.ports.worker_store import AttemptKey, Claimed, ClaimRequest, Fate, Held, LogChunk, Report

#: What a script may put in place of an answer.
Answer = Callable[[], Any]


class ScriptedStore:
    """
    The rows of one worker's attempts, in memory.

    ``before`` maps the name of a method to functions that are called, one for each call, before it does anything; one
    that raises makes the call fail.  ``after`` does the same after it has had its effect: the answer is lost.
    """

    def __init__(self) -> None:
        self.before: dict[str, list[Answer]] = {}
        self.after: dict[str, list[Answer]] = {}
        self.queued: list[Claimed] = []
        self.holds: list[Held] = []
        self.applied: list[Report] = []
        self.batches: list[list[Report]] = []
        self.logs: list[LogChunk] = []
        self.handed_back: list[Held] = []
        self.requests: list[ClaimRequest] = []
        self.fates: Callable[[Report], Fate] = lambda _: Fate.APPLIED
        self.handles: dict[AttemptKey, dict[str, Any]] = {}
        self.registered: set[str] = set()

    @property
    def events(self) -> list[AttemptReported]:
        """Return the reports that were applied, in their order."""
        events = [decode_event(bytes(report.payload)) for report in self.applied]
        return [event for event in events if isinstance(event, AttemptReported)]

    async def register_step_types(self, names: Collection[str]) -> None:
        """Remember the names."""
        await self._play(self.before, "register_step_types")
        self.registered |= set(names)

    async def claim(self, request: ClaimRequest) -> list[Claimed]:
        """Hand out what is queued."""
        await self._play(self.before, "claim")
        self.requests.append(request)
        claimed = [c for c in self.queued if c.step_type in request.backend_keys][: request.limit]
        self.queued = [c for c in self.queued if c not in claimed]
        self.holds += [Held(c.key, c.token, request.claim_id, cancel_requested=False) for c in claimed]
        await self._play(self.after, "claim")
        return claimed

    async def report(self, reports: Sequence[Report], logs: Sequence[LogChunk]) -> list[Fate]:
        """Apply reports as the script says; each at most once."""
        await self._play(self.before, "report")
        self.batches.append(list(reports))
        fates = [self.fates(report) for report in reports]
        done = {(report.key, report.token) for report in self.applied}
        for report, fate in zip(reports, fates, strict=True):
            if fate is Fate.APPLIED and (report.key, report.token) not in done:
                self.applied.append(report)
                self.holds = [held for held in self.holds if held.key != report.key]
        self.logs += logs
        await self._play(self.after, "report")
        return fates

    async def outer_values(self, key: AttemptKey) -> dict[str, Any]:
        """Return nothing: no attempt of these tests is an iteration."""
        return {}

    async def held(self) -> list[Held]:
        """Return what the worker holds."""
        await self._play(self.before, "held")
        return list(self.holds)

    async def hand_back(self, held: Sequence[Held]) -> list[str]:
        """Take back what the worker still holds."""
        await self._play(self.before, "hand_back")
        mine = [h for h in held if any(h[:3] == other[:3] for other in self.holds)]
        self.handed_back += mine
        self.holds = [h for h in self.holds if not any(h[:3] == other[:3] for other in mine)]
        return ["default"] * len(mine)

    async def save_handle(self, key: AttemptKey, token: int, handle: dict[str, Any]) -> None:
        """Remember the handle."""
        self.handles[key] = handle

    async def write_logs(self, logs: Sequence[LogChunk]) -> None:
        """Remember the chunks."""
        await self._play(self.before, "write_logs")
        self.logs += logs
        await self._play(self.after, "write_logs")

    async def _play(self, script: dict[str, list[Answer]], method: str) -> None:
        if script.get(method):
            answer = script[method].pop(0)()
            if asyncio.iscoroutine(answer):
                await answer


def failing(error: Exception) -> Answer:
    """Return an answer that is an error."""

    def fail() -> None:
        raise error

    return fail


def a_claimed(number: int = 1, *, step_type: str = "bench_noop", token: int = 1, **more: Any) -> Claimed:
    """Return a claimed attempt; *number* tells it from others."""
    run_uid = f"01900000-0000-7000-8000-{number:012d}"
    task = (
        f'{{"workflow_id":"w","instance_id":{number},"run_id":1,"step_id":"s","attempt":1,'
        f'"step_type":"{step_type}","params":{{}},"correlation_id":"c"}}'
    )
    claimed = Claimed(number % 64, run_uid, "s", 1, token, step_type, task, None, cancel_requested=False, claimed_ms=1)
    return claimed._replace(**more)
