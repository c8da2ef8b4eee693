"""What the demo tells of a run, from what the API answers."""

from __future__ import annotations

from typing import Any

from examples.ml_pipeline.demo import score_lines
from examples.ml_pipeline.progress import StepProgress, step_progress


def a_step(status: str, **fields: Any) -> dict[str, Any]:
    """Return the API's description of an attempt."""
    return {
        "step_id": "data_prep",
        "step_attempt_id": 1,
        "runtime_state": {"status": status},
        "definition": {"step": {"type": "spark"}},
        **fields,
    }


def a_foreach(**stats: int) -> dict[str, Any]:
    artifact = {"total_loop_count": 36, "foreach_overview": {"stats": stats}}
    return a_step("RUNNING", definition={"foreach": {}}, artifacts={"maestro_foreach": artifact})


def test_a_step_that_runs_names_its_worker() -> None:
    step = a_step("RUNNING", dispatch={"worker_name": "host:17"}, step_attempt_id=2)

    assert "running (attempt 2) on host:17" == step_progress(step, {}).text


def test_a_step_that_ended_says_how_long_it_took() -> None:
    step = a_step("SUCCEEDED", runtime_state={"status": "SUCCEEDED", "start_time": 1_000, "end_time": 2_240})

    assert "succeeded in 1.2 s" == step_progress(step, {}).text


def test_a_step_that_waits_says_what_for() -> None:
    event = {"type": "LOG", "message": "waiting for a worker slot"}

    waiting = step_progress(a_step("WAITING_FOR_PERMITS", timeline=[event]), {})
    assert "waiting for permits - waiting for a worker slot" == waiting.text


def test_a_foreach_counts_its_iterations_and_their_workers() -> None:
    found = step_progress(a_foreach(SUCCEEDED=11, FAILED=1, IN_PROGRESS=24), {"host:18": 5, "host:17": 9})

    assert "running 12 of 36 iterations (24 running) on host:17 (9), host:18 (5)" == found.text
    assert "foreach" == found.step_type


def test_a_step_that_is_not_created_has_not_begun() -> None:
    assert "has not begun" == StepProgress(step_id="model_train").text


def test_the_score_is_told_beside_what_it_must_beat() -> None:
    lines = score_lines(
        {
            "predicts": "being late",
            "trained_on": "spring",
            "tested_on": "autumn",
            "train_flights": 3_000,
            "test_flights": 1_000,
            "base_rate": 0.2,
            "auc": 0.7,
            "auc_of_recent_delay_alone": 0.6,
            "log_loss": 0.4,
            "log_loss_of_base_rate": 0.5,
            "strongest_features": ["wind +1.00"],
        }
    )

    assert "  AUC                     0.700  guessing has 0.5, the airport's delay of late alone 0.600" in lines
    assert "  judged by       1,000 flights  autumn: 20.0% of them were late" in lines
