"""
Keep what the steps of one run hand to each other: arrays and small documents in files.

Steps run at least once, so every file is written whole or not at all, under a name that the run and the segment
determine: a second attempt writes the same file again.  With workers on several machines the folder must be one that
all of them see.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

#: Names the folder; a variable MAESTRO_… would be the worker's own and is not handed to steps.
FOLDER_VARIABLE: Final = "ML_PIPELINE_FOLDER"

#: Columns of equal length by name.
Columns: TypeAlias = dict[str, NDArray[Any]]


def run_name(workflow_id: str, instance_id: int, run_id: int) -> str:
    """Return the path of a run's folder below the work folder."""
    return f"{workflow_id}/{instance_id}/{run_id}"


def folder_of(run: str) -> Path:
    """Return the folder of *run*, a `run_name`; it need not exist yet."""
    named = os.environ.get(FOLDER_VARIABLE)
    root = Path(named) if named else Path(__file__).parents[2] / ".demo" / "flights"
    return root / run


def save_columns(path: Path, columns: Columns) -> None:
    """Write *columns* to *path*, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with unfinished.open("wb") as file:
        # Compressed: features are zeros for the most part.
        np.savez_compressed(file, allow_pickle=False, **columns)
    unfinished.replace(path)


def load_columns(path: Path) -> Columns:
    """Return the columns at *path*."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def save_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write *document* to *path* as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    unfinished.write_text(json.dumps(document, indent=1), encoding="utf-8")
    unfinished.replace(path)


def load_document(path: Path) -> dict[str, Any]:
    """Return the document at *path*."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document
