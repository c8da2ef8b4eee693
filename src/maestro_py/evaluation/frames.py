"""The frames between a pool and its members: four bytes of length, then a document."""

from __future__ import annotations

import struct
from typing import Final

HEADER: Final = struct.Struct("!I")
#: No document is longer, in bytes: the parameters of an instance may have 64 MB, and a run has several layers of them.
LONGEST: Final = 512 << 20


def framed(document: bytes) -> bytes:
    """Return *document* as a frame."""
    return HEADER.pack(len(document)) + document
