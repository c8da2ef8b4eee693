"""Evaluate parameters: literals, interpolation, references, loops.  Pure rules, no I/O and no clock."""

from __future__ import annotations

from maestro_py.model.literals import coerce
from maestro_py.params.computing import DECISION_VISITS, Budget
from maestro_py.params.durations import evaluate_timeout, parse_duration
from maestro_py.params.elsewhere import (
    Answer,
    EdgeWork,
    StartWork,
    StepWork,
    TrialWork,
    TriggerWork,
    Work,
    answer,
    decode_answer,
    edge_work,
    encode_answer,
    encode_work,
    evaluate_start,
    evaluate_trigger_work,
    start_work,
    started_params,
    step_work,
    trial_limits,
    trigger_params_work,
)
from maestro_py.params.evaluation import evaluate_conditions, evaluate_step_params, render
from maestro_py.params.facts import Facts
from maestro_py.params.initiation import signals_of, start_facts, trigger_facts, trigger_params_of
from maestro_py.params.loop_results import (
    RESULTS_LIMIT,
    Found,
    Loop,
    LoopResults,
    NoResults,
    ResultsKey,
    ResultsUnread,
    judged,
    loop_of,
    results_key,
    too_large,
)
from maestro_py.params.loops import MAX_ITERATIONS, LoopIterations, loop_iterations
from maestro_py.params.outputs import merge_outputs
from maestro_py.params.parameter import Parameter, ParamSource, decode_params, encode_params, parameter_of, plain_values
from maestro_py.params.references import Reference, references
from maestro_py.params.run_params import parse_run_params
from maestro_py.params.scope import STEP_END_TIME, STEP_STATUS, Scope
from maestro_py.params.system_params import DERIVED_PARAMS, derived_param, derived_params
from maestro_py.params.triggers import (
    CONDITION,
    DEDUP,
    SignalTrigger,
    request_id_from,
    run_params_of,
    shown,
    trigger_of,
)
from maestro_py.params.validation import check_trigger, expression_names, trial_start
from maestro_py.params.workflow_params import evaluate_workflow_params, merged_workflow_params
from maestro_py.params.world import World

__all__ = [
    "CONDITION",
    "DECISION_VISITS",
    "DEDUP",
    "DERIVED_PARAMS",
    "MAX_ITERATIONS",
    "RESULTS_LIMIT",
    "STEP_END_TIME",
    "STEP_STATUS",
    "Answer",
    "Budget",
    "EdgeWork",
    "Facts",
    "Found",
    "Loop",
    "LoopIterations",
    "LoopResults",
    "NoResults",
    "ParamSource",
    "Parameter",
    "Reference",
    "ResultsKey",
    "ResultsUnread",
    "Scope",
    "SignalTrigger",
    "StartWork",
    "StepWork",
    "TrialWork",
    "TriggerWork",
    "Work",
    "World",
    "answer",
    "check_trigger",
    "coerce",
    "decode_answer",
    "decode_params",
    "derived_param",
    "derived_params",
    "edge_work",
    "encode_answer",
    "encode_params",
    "encode_work",
    "evaluate_conditions",
    "evaluate_start",
    "evaluate_step_params",
    "evaluate_timeout",
    "evaluate_trigger_work",
    "evaluate_workflow_params",
    "expression_names",
    "judged",
    "loop_iterations",
    "loop_of",
    "merge_outputs",
    "merged_workflow_params",
    "parameter_of",
    "parse_duration",
    "parse_run_params",
    "plain_values",
    "references",
    "render",
    "request_id_from",
    "results_key",
    "run_params_of",
    "shown",
    "signals_of",
    "start_facts",
    "start_work",
    "started_params",
    "step_work",
    "too_large",
    "trial_limits",
    "trial_start",
    "trigger_facts",
    "trigger_of",
    "trigger_params_of",
    "trigger_params_work",
]
