"""Evaluate parameters: literals, interpolation, references, loops.  Pure rules, no I/O and no clock."""

from __future__ import annotations

from maestro_py.model.literals import coerce
from maestro_py.params.durations import evaluate_timeout, parse_duration
from maestro_py.params.evaluation import evaluate_step_params, render
from maestro_py.params.loops import MAX_ITERATIONS, LoopIterations, loop_iterations
from maestro_py.params.parameter import Parameter, ParamSource, decode_params, encode_params, plain_values
from maestro_py.params.references import Reference, references
from maestro_py.params.run_params import parse_run_params
from maestro_py.params.scope import Scope
from maestro_py.params.workflow_params import evaluate_workflow_params

__all__ = [
    "MAX_ITERATIONS",
    "LoopIterations",
    "ParamSource",
    "Parameter",
    "Reference",
    "Scope",
    "coerce",
    "decode_params",
    "encode_params",
    "evaluate_step_params",
    "evaluate_timeout",
    "evaluate_workflow_params",
    "loop_iterations",
    "parse_duration",
    "parse_run_params",
    "plain_values",
    "references",
    "render",
]
