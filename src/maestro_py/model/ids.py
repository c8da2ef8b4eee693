"""Make and spell the identifiers of the domain."""

from __future__ import annotations

import hashlib
import os
import time
import zlib
from typing import Final
from uuid import UUID

#: Prefix of the workflow id under which the iterations of a foreach run (specification 2.6).
FOREACH_PREFIX: Final = "maestro_foreach"


def new_uid() -> UUID:
    """Return a fresh UUIDv7: time-ordered, so that index inserts stay at the right edge (RFC 9562, 5.7)."""
    millis = time.time_ns() // 1_000_000
    rand = int.from_bytes(os.urandom(10), "big")
    value = (millis & 0xFFFF_FFFF_FFFF) << 80
    value |= 0x7 << 76 | (rand >> 68 & 0xFFF) << 64
    value |= 0b10 << 62 | (rand & 0x3FFF_FFFF_FFFF_FFFF)
    return UUID(int=value)


def instance_key(workflow_id: str, instance_id: int) -> str:
    """Return the key of an instance, the same for all its runs: ``workflow_id:instance_id``."""
    return f"{workflow_id}:{instance_id}"


def workflow_key(workflow_id: str) -> str:
    """Return the key of the aggregate that admits the runs of a workflow: ``@workflow:<id>``."""
    return f"@workflow:{workflow_id}"


def partition_of(key: str, partitions: int) -> int:
    """Return the engine partition of *key*: crc32 of its UTF-8 bytes modulo *partitions* (DESIGN section 4)."""
    return zlib.crc32(key.encode()) % partitions


def inline_workflow_id(parent_internal_id: str, parent_instance_id: int, parent_workflow_id: str, step_id: str) -> str:
    """
    Return the workflow id under which the iterations of one foreach step of one instance run.

    One id per (parent instance, step), five ``_``-separated components, and the children of one parent
    instance share a prefix (specification 2.6).
    """
    digest = hashlib.md5(
        f"{step_id}:{parent_instance_id}:{parent_workflow_id}".encode(), usedforsecurity=False
    ).hexdigest()
    root = hashlib.md5(parent_internal_id.encode(), usedforsecurity=False).hexdigest()[:12]
    # The length digit makes text order equal numeric order.
    number = str(parent_instance_id)
    return f"{FOREACH_PREFIX}_{root}_{len(number):x}{number}_{digest}"


def name_based_uuid(text: str) -> str:
    """Return the name-based (MD5, version 3, no name space) UUID of *text*, as ``UUID.nameUUIDFromBytes`` does."""
    digest = bytearray(hashlib.md5(text.encode(), usedforsecurity=False).digest())
    digest[6] = digest[6] & 0x0F | 0x30
    digest[8] = digest[8] & 0x3F | 0x80
    return str(UUID(bytes=bytes(digest)))
