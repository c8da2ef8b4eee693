"""The definition that the owner of the project wrote down means what it says."""

from __future__ import annotations

import json
from typing import Final

from maestro_py.model.definition import ParamDefinition, ParamType, retry_policy_of
from maestro_py.model.forms import to_document
from tests.unit.forms.documents import push, step_named

SEED: Final = rb"""
// The workflow definition the owner of this project wrote down. It must run exactly as it stands, comments included.
{
  "workflow_id": "ml_model_training_pipeline",
  "steps": [
    {
      "id": "data_prep",
      "type": "spark", // run on Netflix's Spark cluster
      "image": "netflix/etl:v2.3",
      "dependencies": [] // no upstream dependencies - runs first
    },
    {
      "id": "feature_engineering",
      "type": "foreach", // native pattern: spawn parallel sub-workflows
      "items": "${data_prep.output.segments}", // iterate over upstream output
      "steps": [
        // each item spawns its own workflow instance - scales to thousands
        { "id": "compute_features", "type": "spark" }
      ],
      "dependencies": ["data_prep"]
    },
    {
      "id": "model_train",
      "type": "kubernetes", // different compute engine - the worker routes it
      "image": "netflix/trainer:v1.1",
      "dependencies": ["feature_engineering"]
    }
  ],
  // Signal-based trigger: run when upstream data is ready, not on a fixed clock
  "trigger": { "type": "signal", "signal_name": "daily_data_ready" }
}
"""


def test_its_steps_follow_their_dependencies() -> None:
    workflow = push(SEED).workflow

    assert "ml_model_training_pipeline" == workflow.id
    assert ["data_prep", "feature_engineering", "model_train"] == [step.id for step in workflow.steps]
    assert [{"feature_engineering": "true"}, {"model_train": "true"}, {}] == [s.successors for s in workflow.steps]


def test_an_image_is_a_parameter_of_its_type() -> None:
    workflow = push(SEED).workflow

    image = {"image": {"type": "STRING", "value": "netflix/etl:v2.3"}}
    assert {"spark": ParamDefinition(type=ParamType.MAP, value=image)} == step_named(workflow, "data_prep").params
    assert "kubernetes" == step_named(workflow, "model_train").type
    assert "kubernetes" in step_named(workflow, "model_train").params


def test_its_items_are_the_loop_parameter_item() -> None:
    foreach = step_named(push(SEED).workflow, "feature_engineering")

    item = {"item": {"type": "JSON", "value": "${data_prep.output.segments}"}}
    assert foreach.is_foreach
    assert foreach.spread_items
    assert {"loop_params": ParamDefinition(type=ParamType.MAP, value=item)} == foreach.params
    assert ["compute_features"] == [step.id for step in foreach.steps]


def test_without_retries_a_failed_step_is_final_but_a_lost_worker_is_not() -> None:
    policy = retry_policy_of(step_named(push(SEED).workflow, "data_prep"))

    assert (0, 10, 0) == (policy.error_retry_limit, policy.platform_retry_limit, policy.timeout_retry_limit)


def test_its_trigger_waits_for_one_signal() -> None:
    assert ({"definitions": {"daily_data_ready": {}}},) == push(SEED).workflow.signal_triggers


def test_without_owner_and_user_nobody_owns_it() -> None:
    for user, owner in ((None, "anonymous"), ("ana", "ana")):
        properties = push(SEED, user=user).properties
        assert properties is not None
        assert owner == properties.owner


def test_later_errors_can_name_its_steps_as_they_were_written() -> None:
    assert {
        "data_prep": "steps[0]",
        "feature_engineering": "steps[1]",
        "compute_features": "steps[1].steps[0]",
        "model_train": "steps[2]",
    } == push(SEED).step_paths


def test_its_native_form_reads_the_same() -> None:
    workflow = push(SEED).workflow

    assert workflow == push(json.dumps({"workflow": to_document(workflow)}).encode()).workflow
