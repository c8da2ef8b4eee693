"""The definitions of the examples are what they claim to be, and what their backends are for."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from maestro_py.model.forms import read_push
from maestro_py.params import expression_names
from maestro_py.workers.backends import Backends, read_config

EXAMPLES = Path(__file__).parents[3] / "examples"
SIGNALS = "signals/workflow.jsonc"
ML_PIPELINE = EXAMPLES / "ml_pipeline" / "workflow.jsonc"


def test_the_owners_definition_stands_as_it_was_written_down() -> None:
    """Byte for byte, comments included: whoever wants another one writes another example."""
    digest = hashlib.sha256(ML_PIPELINE.read_bytes()).hexdigest()

    assert "3d12230d8a812354e1ecc93d0ad8978dfa0165f588b2321d2ab6a2c1a7fe6eec" == digest


@pytest.mark.parametrize("name", ["ml_pipeline/workflow.jsonc", "hello/workflow.jsonc", "hello/native.json", SIGNALS])
def test_every_definition_can_be_pushed(name: str) -> None:
    pushed = read_push((EXAMPLES / name).read_bytes(), user="ana", max_steps=100, names_of=expression_names)

    assert pushed.workflow.steps


def test_the_native_example_is_plain_json() -> None:
    assert "hello_native" == json.loads((EXAMPLES / "hello" / "native.json").read_text())["workflow"]["id"]


def test_this_machine_has_a_function_for_every_step_of_the_owners_definition() -> None:
    """By step, by image: the definition names clusters, and runs unmodified."""
    backends = Backends(read_config(EXAMPLES / "ml_pipeline" / "backends.toml").backend)

    found = [
        backends.match("spark", "data_prep", "netflix/etl:v2.3"),
        backends.match("spark", "compute_features", None),
        backends.match("kubernetes", "model_train", "netflix/trainer:v1.1"),
    ]
    assert ["data_prep", "compute_features", "model_train"] == [
        backend.function.partition(":")[2] for backend in found if backend and backend.function
    ]
