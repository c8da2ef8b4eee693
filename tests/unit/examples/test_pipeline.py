"""The three functions of examples/ml_pipeline, on the real data: they may run twice, and on any worker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from examples.ml_pipeline import pipeline
from examples.ml_pipeline.work_folder import FOLDER_VARIABLE, load_columns, save_columns
from maestro_py.step import Context, FatalError

ATTEMPT = Context(
    workflow_id="ml_model_training_pipeline",
    instance_id=7,
    run_id=1,
    step_id="any",
    attempt=1,
    idempotency_key="ml_model_training_pipeline/7/1/any/1",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the run; the steps learn of it as they do in a worker."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    return tmp_path / "ml_model_training_pipeline" / "7" / "1"


def test_a_year_of_flights_becomes_a_model_with_an_honest_score(folder: Path) -> None:
    """Splitting and features run twice, as after a crash, and leave the same files."""
    for _ in range(2):
        prepared = pipeline.data_prep(ATTEMPT)
    for segment in [*prepared["segments"], prepared["segments"][0]]:
        pipeline.compute_features(segment)
    score = pipeline.model_train(ATTEMPT)

    assert 336_776 == prepared["flights"]
    assert 36 == len(prepared["segments"])
    assert {"name": "EWR-01", "airport": "EWR", "month": 1, "flights": 9_893} == {
        key: value for key, value in prepared["segments"][0].items() if key != "run"
    }
    assert 36 == len(list((folder / "features").iterdir()))
    assert 327_346 == score["train_flights"] + score["test_flights"]
    assert ("2013-01-01 to 2013-09-30", "2013-10-01 to 2013-12-31") == (score["trained_on"], score["tested_on"])
    assert 0.5 < score["auc_of_recent_delay_alone"] < score["auc"] < 0.8
    assert score["log_loss"] < score["log_loss_of_base_rate"]


def test_features_that_are_missing_are_named_and_not_waited_for(folder: Path) -> None:
    """Every iteration has ended by then, so another attempt would not find them either."""
    folder.mkdir(parents=True)
    (folder / "segments.json").write_text('{"segments": [{"name": "EWR-01"}, {"name": "JFK-02"}]}')
    save_columns(folder / "features" / "EWR-01.npz", {"late": np.array([True])})

    with pytest.raises(FatalError, match=r"no features of JFK-02 .* same folder\?"):
        pipeline.model_train(ATTEMPT)


def test_a_file_is_whole_or_is_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that dies while it writes leaves what was there before."""
    save_columns(folder / "a.npz", {"x": np.arange(3)})

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", die)
    with pytest.raises(KeyboardInterrupt):
        save_columns(folder / "a.npz", {"x": np.arange(9)})

    assert [0, 1, 2] == load_columns(folder / "a.npz")["x"].tolist()
