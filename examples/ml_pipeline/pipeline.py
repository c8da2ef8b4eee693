"""
The three functions that stand in for the clusters of workflow.jsonc (see backends.toml).

Each may run twice, on any worker: what it writes depends on its run and segment alone, and is written whole.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from maestro_py.step import Context, FatalError

from . import model
from .features import FEATURES, LATE_MINUTES, Features, features_of
from .flights import read_segments
from .work_folder import (
    Columns,
    folder_of,
    load_columns,
    load_document,
    run_name,
    save_columns,
    save_document,
)

#: The model learns from flights before this day and is judged by those from it on.
FIRST_TEST_DAY: Final = np.datetime64("2013-10-01")

_STRONGEST: Final = 5


def data_prep(context: Context) -> dict[str, Any]:
    """Split a year of flights into one file for each airport and month; the output ``segments`` lists them."""
    run = run_name(context.workflow_id, context.instance_id, context.run_id)
    segments = []
    for segment in read_segments():
        save_columns(folder_of(run) / "segments" / f"{segment.name}.npz", segment.flights)
        flights = len(segment.flights["date"])
        segments.append(
            {"name": segment.name, "airport": segment.airport, "month": segment.month, "flights": flights, "run": run}
        )
        print(f"{segment.name}: {flights:,} flights", flush=True)
    save_document(folder_of(run) / "segments.json", {"segments": segments})
    return {"segments": segments, "flights": sum(segment["flights"] for segment in segments)}


def compute_features(item: dict[str, Any]) -> dict[str, Any]:
    """Compute the features of the flights of one segment; *item* is what `data_prep` listed."""
    folder, name = folder_of(item["run"]), item["name"]
    found = features_of(load_columns(folder / "segments" / f"{name}.npz"))
    save_columns(folder / "features" / f"{name}.npz", {**found._asdict()})
    late = int(found.late.sum())
    print(f"{name}: {len(found.late):,} flights arrived, {late:,} of them more than {LATE_MINUTES} minutes late")
    return {"arrived": len(found.late), "late": late}


def model_train(context: Context) -> dict[str, Any]:
    """Train on the flights until September, and return how well the model ranks those from October on."""
    run = run_name(context.workflow_id, context.instance_id, context.run_id)
    flights = _features_of_run(run)
    is_test = flights.date >= FIRST_TEST_DAY
    print(f"training on {int((~is_test).sum()):,} flights with {len(FEATURES)} features each", flush=True)
    fitted = model.fit(flights.matrix[~is_test], flights.late[~is_test])
    stored: Columns = {**fitted._asdict(), "features": np.array(FEATURES)}
    save_columns(folder_of(run) / "model.npz", stored)
    outputs = {**_score(fitted, flights, is_test), "strongest_features": _strongest(fitted)}
    save_document(folder_of(run) / "score.json", outputs)
    print(f"AUC {outputs['auc']:.3f} on {outputs['test_flights']:,} later flights")
    return outputs


def _features_of_run(run: str) -> Features:
    folder = folder_of(run)
    names = [segment["name"] for segment in load_document(folder / "segments.json")["segments"]]
    missing = [name for name in names if not (folder / "features" / f"{name}.npz").exists()]
    if missing:
        # Every iteration has ended before this step: another attempt would not find them either.
        raise FatalError(f"no features of {', '.join(missing)} in {folder}: do all workers see the same folder?")
    parts = [Features(**load_columns(folder / "features" / f"{name}.npz")) for name in names]
    return Features(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _score(fitted: model.Model, flights: Features, is_test: Any) -> dict[str, Any]:
    """Return the score on the later flights, beside what knowing nothing and knowing one thing would give."""
    chances, late = fitted.chances(flights.matrix[is_test]), flights.late[is_test]
    learned_rate = float(flights.late[~is_test].mean())
    recent = flights.matrix[is_test][:, FEATURES.index("mean delay of late")]
    return {
        "predicts": f"arrival more than {LATE_MINUTES} minutes late, an hour before scheduled departure",
        "trained_on": _span(flights.date[~is_test]),
        "tested_on": _span(flights.date[is_test]),
        "train_flights": int((~is_test).sum()),
        "test_flights": int(is_test.sum()),
        "base_rate": round(float(late.mean()), 4),
        "auc": round(model.auc(chances, late), 4),
        "auc_of_recent_delay_alone": round(model.auc(recent, late), 4),
        "log_loss": round(model.log_loss(chances, late), 4),
        "log_loss_of_base_rate": round(model.log_loss(np.full(len(late), learned_rate), late), 4),
    }


def _span(dates: Any) -> str:
    return f"{dates.min()} to {dates.max()}"


def _strongest(fitted: model.Model) -> list[str]:
    order = np.argsort(-np.abs(fitted.weights[1:]))[:_STRONGEST]
    return [f"{FEATURES[position]} {fitted.weights[1 + position]:+.2f}" for position in order]
