"""
Offer ready attempts to the workers: about twice the live slots of a route, fairly between workflows.

A route is what a set of live workers can run alike: a queue and the backend keys that they serve.  The rows in
PostgreSQL are the truth; the counts here are an estimate that is put right every few seconds.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from maestro_py.ports.engine_store import DispatchedCount, ReadyRow

#: Attempts offered for each live slot.
OFFERED_PER_SLOT: Final = 2
#: Steps whose route is remembered, at most: each may have keys of its own.
ROUTES_KEPT: Final = 20_000


class LiveWorker(NamedTuple):
    """What a worker's beat says of it."""

    process_id: UUID
    queues: frozenset[str]
    backend_keys: frozenset[str]
    slots: int


class Route(NamedTuple):
    """A queue and the workers, of those that serve it, that can run the attempt."""

    queue: str
    workers: frozenset[UUID]


class FairQueue:
    """Ready attempts, handed out in turns between workflows."""

    __slots__ = ("_tenants", "size")

    def __init__(self) -> None:
        self._tenants: OrderedDict[str, deque[ReadyRow]] = OrderedDict()
        self.size = 0

    def push(self, row: ReadyRow) -> None:
        """Add *row* behind those of its workflow."""
        self._tenants.setdefault(row.root_workflow_id, deque()).append(row)
        self.size += 1

    def pop(self) -> ReadyRow:
        """Remove and return the next row; its workflow goes behind the others."""
        tenant, rows = self._tenants.popitem(last=False)
        row = rows.popleft()
        if rows:
            self._tenants[tenant] = rows
        self.size -= 1
        return row

    @property
    def oldest_ms(self) -> int:
        """Return since when the attempt waits that has waited for longest, UTC epoch ms; 0 if none waits."""
        return min((rows[0].since_ms for rows in self._tenants.values()), default=0)


class Dispatcher:
    """What this engine may offer, over all its lanes."""

    def __init__(self) -> None:
        self._workers: Sequence[LiveWorker] = ()
        self._routes: dict[tuple[str, tuple[str, ...]], Route] = {}
        self._slots: dict[Route, int] = {}
        self._offered: dict[Route, int] = {}
        self._released: dict[Route, int] | None = None  # since `begin_count`; None: nobody counts
        self._ready: dict[Route, dict[int, FairQueue]] = {}  # by lane
        self._served: dict[tuple[Route, int], int] = {}  # (route, lane) to the number of its newest turn
        self._turns = itertools.count(1)
        self._share = 1.0

    # --- what the world says ------------------------------------------------------------------------------

    def set_workers(self, workers: Sequence[LiveWorker], share: float) -> bool:
        """
        Take note of the live workers and of this engine's share of the work, 0 to 1; say whether anything changed.

        The counts are for the routes of before: the caller hands in fresh ones with `set_offered`, and fresh ready
        attempts with `reload`.
        """
        changed = {(w.process_id, w.slots, w.queues, w.backend_keys) for w in workers} != {
            (w.process_id, w.slots, w.queues, w.backend_keys) for w in self._workers
        }
        self._share = share
        if changed:
            self._workers = tuple(workers)
            self._routes.clear()
            self._slots.clear()
            self._served.clear()
            waiting, self._ready = self._ready, {}
            for lanes in waiting.values():
                for lane, queue in lanes.items():
                    self.add_ready(lane, [queue.pop() for _ in range(queue.size)])
        return changed

    def begin_count(self) -> None:
        """Note what is released from now on: the count that is being made may still contain it."""
        self._released = {}

    def set_offered(self, counts: Iterable[DispatchedCount]) -> None:
        """Replace the estimate of what is QUEUED or CLAIMED of our partitions by a fresh count."""
        self._offered.clear()
        for queue, backend_keys, count in counts:
            route = self.route(queue, backend_keys)
            self._offered[route] = self._offered.get(route, 0) + count
        # Too small a number offers a few more than it should; too large a one would offer nothing until the next count.
        for route, count in (self._released or {}).items():
            self._offered[route] = max(0, self._offered.get(route, 0) - count)
        self._released = None

    # --- offering ------------------------------------------------------------------------------------------

    def route(self, queue: str, backend_keys: tuple[str, ...]) -> Route:
        """Return the route of attempts of *queue* that need one of *backend_keys*."""
        route = self._routes.get((queue, backend_keys))
        if route is None:
            able = [w for w in self._workers if queue in w.queues and not w.backend_keys.isdisjoint(backend_keys)]
            route = Route(queue, frozenset(w.process_id for w in able))
            if len(self._routes) >= ROUTES_KEPT:
                self._routes.clear()  # equal routes are the same: nothing but time is lost
            self._routes[queue, backend_keys] = route
            self._slots[route] = sum(w.slots for w in able)
        return route

    def room(self, route: Route) -> int:
        """Return how many more attempts may be offered on *route*."""
        slots = self._slots.get(route, 0)
        if slots == 0:
            return 0
        return max(1, int(OFFERED_PER_SLOT * slots * self._share)) - self._offered.get(route, 0)

    def offer(self, lane: int, queue: str, backend_keys: tuple[str, ...]) -> bool:
        """Say whether a new attempt may be offered at once, ahead of nobody in any lane, and count it."""
        route = self.route(queue, backend_keys)
        if any(waiting.size for waiting in self._ready.get(route, {}).values()) or self.room(route) <= 0:
            return False
        self._offered[route] = self._offered.get(route, 0) + 1
        return True

    def release(self, queue: str, backend_keys: tuple[str, ...]) -> None:
        """Count one attempt less: it was reported, lost or revoked."""
        route = self.route(queue, backend_keys)
        self._offered[route] = max(0, self._offered.get(route, 0) - 1)
        if self._released is not None:
            self._released[route] = self._released.get(route, 0) + 1

    def add_ready(self, lane: int, rows: Iterable[ReadyRow]) -> None:
        """Queue attempts whose rows are READY."""
        for row in rows:
            lanes = self._ready.setdefault(self.route(row.queue, row.backend_keys), {})
            queue = lanes.get(lane)
            if queue is None:
                queue = lanes[lane] = FairQueue()
            queue.push(row)

    def take_ready(self, lane: int, most: int) -> list[ReadyRow]:
        """Remove and return the attempts of *lane* to be offered now, at most *most*, and count them."""
        taken: list[ReadyRow] = []
        for route, lanes in self._ready.items():
            queue = lanes.get(lane)
            if queue is None or not queue.size:
                continue
            count = min(queue.size, self._turn(route, lane), most - len(taken))
            if count > 0:
                self._served[route, lane] = next(self._turns)
                taken.extend(queue.pop() for _ in range(count))
                self._offered[route] = self._offered.get(route, 0) + count
        return taken

    def _turn(self, route: Route, lane: int) -> int:
        """Return how much of the room of *route* is for *lane*: as much as the other lanes that wait leave over."""
        room = self.room(route)
        others = [(other, q.size) for other, q in self._ready[route].items() if q.size and other != lane]
        share = max(0, room) // (len(others) + 1)
        if share or not others:
            return room - sum(min(size, share) for _, size in others)
        # Too little to share: it goes to the lane that has waited for longest.
        served = self._served.get((route, lane), 0)
        return room if all(self._served.get((route, other), 0) >= served for other, _ in others) else 0

    def drop_ready(self, lane: int, partitions: Collection[int] | None = None) -> None:
        """Forget the ready attempts of *lane*, of all its partitions or of *partitions*."""
        dropped = [lanes.pop(lane) for lanes in self._ready.values() if lane in lanes]
        if partitions is None:
            return
        for queue in dropped:
            rows = (queue.pop() for _ in range(queue.size))
            self.add_ready(lane, [row for row in rows if row.key.partition not in partitions])

    # --- what others ask -----------------------------------------------------------------------------------

    def lanes_with_work(self) -> list[int]:
        """Return the lanes that have an attempt which may be offered now."""
        able = {
            lane
            for route, lanes in self._ready.items()
            if self.room(route) > 0
            for lane, queue in lanes.items()
            if queue.size
        }
        return sorted(able)

    def ready_count(self, lane: int) -> int:
        """Return how many attempts of *lane* wait in memory."""
        return sum(lanes[lane].size for lanes in self._ready.values() if lane in lanes)

    def waiting(self) -> Mapping[str, tuple[int, int]]:
        """Return how many attempts wait, and since when the oldest does (UTC epoch ms), by queue."""
        found: dict[str, tuple[int, int]] = {}
        for route, lanes in self._ready.items():
            for queue in lanes.values():
                if queue.size:
                    count, oldest = found.get(route.queue, (0, queue.oldest_ms))
                    found[route.queue] = count + queue.size, min(oldest, queue.oldest_ms)
        return found

    def backlog(self) -> Mapping[str, int]:
        """Return how many attempts wait or are offered, by queue."""
        total: dict[str, int] = {}
        for route, count in self._offered.items():
            total[route.queue] = total.get(route.queue, 0) + count
        for route, lanes in self._ready.items():
            total[route.queue] = total.get(route.queue, 0) + sum(queue.size for queue in lanes.values())
        return total
