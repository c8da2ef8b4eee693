"""
Which Kafka topic and partition carries a hint, and how a record tells it.  Pure: names and numbers only.

========================  ==========  ===========================================================
topic                     partitions  read by
========================  ==========  ===========================================================
``maestro.engine``        64          the engine that owns the partition of that number
``maestro.signals``       1           every signal service
``maestro.workers``       16          the workers whose process id falls on the partition
``maestro.steps.<queue>`` 64          the workers of the queue, as one consumer group of that name
========================  ==========  ===========================================================

The value of a record is the keys of its addresses, one a line; its topic tells their kind.  So a reader finds what
is meant even where several keys share a partition.  A hint that workers without room have passed on says how often:
behind its key, after a zero.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from maestro_py.ports.transport import Address, HintKind

#: What the names of all topics begin with, unless the installation has a prefix of its own.
PREFIX: Final = "maestro"

#: The longest key that is sent, in bytes of UTF-8: that of the transport ``postgres``, so that both drop the same.
KEY_LIMIT_BYTES: Final = 7_900

_ENGINE_PARTITIONS: Final = 64
_WORKER_PARTITIONS: Final = 16
_STEP_PARTITIONS: Final = 64

_PASSES: Final = "\0"

#: The number of a lane whose records may go to any partition.
ANYWHERE: Final = -1

_PLAIN_QUEUE: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_REFUSED_LETTER: Final = re.compile(r"[^A-Za-z0-9-]+")
_READABLE_LETTERS: Final = 60


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic, and how many partitions it is made with."""

    name: str
    partitions: int


class Lane(NamedTuple):
    """What one record may carry together: the keys that go to one partition of a topic."""

    topic: str
    number: int  #: Of the partition, or `ANYWHERE`.

    def partition(self, count: int) -> int:
        """Return the partition when the topic has *count* of them, which may be fewer than we make."""
        return self.number % count


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one installation, all of whose names begin with *prefix*."""

    prefix: str = PREFIX
    engine: Topic = field(init=False)
    signals: Topic = field(init=False)
    workers: Topic = field(init=False)
    _kinds: Mapping[str, HintKind] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "engine", Topic(f"{self.prefix}.engine", _ENGINE_PARTITIONS))
        object.__setattr__(self, "signals", Topic(f"{self.prefix}.signals", 1))
        object.__setattr__(self, "workers", Topic(f"{self.prefix}.workers", _WORKER_PARTITIONS))
        kinds = (HintKind.ENGINE, HintKind.SIGNALS, HintKind.WORKER)
        object.__setattr__(self, "_kinds", {topic.name: kind for topic, kind in zip(self.fixed, kinds, strict=True)})

    @property
    def fixed(self) -> tuple[Topic, ...]:
        """Those that every installation has."""
        return (self.engine, self.signals, self.workers)

    def steps(self, queue: str) -> Topic:
        """Return the topic of *queue*."""
        return Topic(_steps_name(self.prefix, queue), _STEP_PARTITIONS)

    def lane(self, address: Address) -> Lane:
        """Return what carries *address*, whose key `is_sendable`."""
        if address.kind is HintKind.ENGINE:
            return Lane(self.engine.name, _engine_number(address.key))
        if address.kind is HintKind.STEPS:
            return Lane(_steps_name(self.prefix, address.key), ANYWHERE)
        if address.kind is HintKind.WORKER:
            return Lane(self.workers.name, _hash(address.key) % _WORKER_PARTITIONS)
        return Lane(self.signals.name, 0)

    def topic(self, name: str) -> Topic:
        """Return the topic of that *name*."""
        return next((topic for topic in self.fixed if topic.name == name), Topic(name, _STEP_PARTITIONS))

    def decode(self, topic: str, value: bytes | None) -> Iterator[tuple[Address, int]]:
        """Yield the addresses that a record of *topic* with *value* carries, and how often each was passed on."""
        if value is not None:
            kind = self._kinds.get(topic, HintKind.STEPS)
            for line in value.decode(errors="replace").split("\n"):
                key, _, passes = line.partition(_PASSES)
                yield Address(kind, key), int(passes) if passes.isdecimal() else 0


def encode(keys: list[str]) -> bytes:
    """Return the value of the record that carries *keys*."""
    return "\n".join(keys).encode()


def passed_on(key: str, times: int) -> str:
    """Return what stands for *key* in a record that says that the hint was passed on so often."""
    return f"{key}{_PASSES}{times}"


def partitions_of_next(mine: Set[int], count: int, passes: int) -> list[int]:
    """
    Return the partitions by which the member of a group that has *mine* passes on a hint.

    Partitions are dealt out in turn, so whoever has the next one comes next; the last comes before the first.

    Args:
        mine: The partitions of the member.
        count: The partitions of the topic.
        passes: How often the hint was passed on before.  None are returned when it has been at everybody.
    """
    numbers = sorted(mine)
    if not numbers or passes + 1 >= _members(numbers, count):
        return []
    after = [number + 1 for number in numbers if number + 1 < count and number + 1 not in mine]
    # Only whoever has none but the last: before the first there may stand others who have fewer.
    return after or ([0] if 0 not in mine else [])


def _members(numbers: list[int], count: int) -> int:
    """Return how many members of a group have partitions, at most, by those that one of them has."""
    if len(numbers) == 1:
        return count
    return max(numbers[1] - numbers[0], -(-count // len(numbers)))


def is_sendable(key: str) -> bool:
    """Return whether a record can carry *key*."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return size <= KEY_LIMIT_BYTES and "\n" not in key and "\0" not in key


@lru_cache(maxsize=4_096)
def _steps_name(prefix: str, queue: str) -> str:
    """
    Return the name of a queue's topic: the queue's own where Kafka allows it, or else what can be read of it.

    No plain name has a dot after ``steps.``, so no queue is taken for another.
    """
    if _PLAIN_QUEUE.fullmatch(queue):
        return f"{prefix}.steps.{queue}"
    readable = _REFUSED_LETTER.sub("-", queue)[:_READABLE_LETTERS]
    return f"{prefix}.steps.{readable}.{hashlib.sha256(queue.encode()).hexdigest()[:16]}"


def _engine_number(key: str) -> int:
    """Return the engine partition that *key* names, with or without the letter for events of workflows."""
    number = key.removesuffix("w")
    return (int(number) if number.isdecimal() else _hash(key)) % _ENGINE_PARTITIONS


def _hash(key: str) -> int:
    """Return a number that is the same for *key* in every process."""
    return zlib.crc32(key.encode())
