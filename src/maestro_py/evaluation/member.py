"""
One process of the pool: answers documents, one after the other, until its parent closes the pipe or is gone.

It is handed everything in the document, opens nothing and knows no secret.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from typing import BinaryIO, Final

from maestro_py.evaluation.frames import HEADER, framed
from maestro_py.params import Answer, answer, encode_answer

#: The engine and the API come first where processors are short.
_NICENESS: Final = 5


def main() -> None:
    """Serve the pipe that is our standard input; what is written to standard output goes to the pool."""
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    outgoing = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # nothing else may write into the frames
    documents: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    # A thread of its own, so that the end of the parent is noticed in the middle of an evaluation, too.
    threading.Thread(target=_receive, args=(sys.stdin.buffer, documents), daemon=True).start()
    while True:
        outgoing.write(framed(answer_safely(documents.get())))


def answer_safely(document: bytes) -> bytes:
    """Return the answer to *document*; what goes wrong on our side is an answer, too, for it would go wrong again."""
    try:
        return answer(document)
    except Exception as exc:
        return encode_answer(Answer(error=f"the expression could not be evaluated: {type(exc).__name__}: {exc}"))


def _receive(incoming: BinaryIO, documents: queue.SimpleQueue[bytes]) -> None:
    while header := incoming.read(HEADER.size):
        (length,) = HEADER.unpack(header)
        document = incoming.read(length)
        if len(document) < length:
            break
        documents.put(document)
    os._exit(0)


if __name__ == "__main__":
    main()
