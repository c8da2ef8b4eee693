"""
The definition of a workflow: what the door hands to everything behind it.

These are the canonical values, shaped as the native form of the behaviour specification (section 2).  The door
(`maestro_py.model.forms`) turns native, simple and YAML documents into them; `to_document` renders the native form.
Stored as JSON in ``workflow_version.definition``; decoding is fast because msgspec checks only types.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final

import msgspec

from maestro_py.model.statuses import FailureMode, RunStrategyRule


class ParamType(StrEnum):
    """The types of parameters (specification 4.1), and ours: JSON, for values without a native type."""

    STRING = "STRING"
    LONG = "LONG"
    DOUBLE = "DOUBLE"
    BOOLEAN = "BOOLEAN"
    STRING_MAP = "STRING_MAP"
    STRING_ARRAY = "STRING_ARRAY"
    LONG_ARRAY = "LONG_ARRAY"
    DOUBLE_ARRAY = "DOUBLE_ARRAY"
    BOOLEAN_ARRAY = "BOOLEAN_ARRAY"
    MAP = "MAP"
    JSON = "JSON"


class ParamMode(StrEnum):
    """Who may change a parameter, from least to most strict (specification 4.2)."""

    MUTABLE = "MUTABLE"
    MUTABLE_ON_START_RESTART = "MUTABLE_ON_START_RESTART"
    MUTABLE_ON_START = "MUTABLE_ON_START"
    IMMUTABLE = "IMMUTABLE"
    CONSTANT = "CONSTANT"


class _Value(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Base of the values of a definition."""


class ParamDefinition(_Value, frozen=True):
    """One parameter: a literal *value* or an *expression*, never both (specification 4.1)."""

    type: ParamType
    value: Any = msgspec.UNSET  #: For MAP: name to ParamDefinition, as plain dicts of the same shape.
    expression: str | None = None
    mode: ParamMode = ParamMode.MUTABLE
    validator: str | None = None
    tags: Any = None
    meta: dict[str, Any] = {}  #: Extra keys, kept.


class Tag(_Value, frozen=True):
    """A tag of a workflow or step."""

    name: str
    namespace: str | None = None
    attributes: dict[str, Any] = {}


class Backoff(_Value, frozen=True):
    """The delays between attempts, in seconds (specification 2.3); *type* says which fields count."""

    type: str = "EXPONENTIAL_BACKOFF"
    error_retry_backoff_in_secs: int | str = 60
    error_retry_exponent: int | str = 2
    error_retry_limit_in_secs: int | str = 600
    platform_retry_backoff_in_secs: int | str = 60
    platform_retry_exponent: int | str = 2
    platform_retry_limit_in_secs: int | str = 3600
    timeout_retry_backoff_in_secs: int | str = 60
    timeout_retry_exponent: int | str = 2
    timeout_retry_limit_in_secs: int | str = 3600


class RetryPolicy(_Value, frozen=True):
    """How often each kind of failure is retried, 0 to 99 each; a string holds ``${workflow_param}``."""

    error_retry_limit: int | str = 2
    platform_retry_limit: int | str = 10
    timeout_retry_limit: int | str = 0
    backoff: Backoff = Backoff()


class Step(_Value, frozen=True):
    """One step.  ``type`` is a leaf type's name, or ``foreach``."""

    id: str
    type: str
    name: str | None = None
    description: str | None = None
    sub_type: str | None = None
    sub_type_version: str | None = None
    params: dict[str, ParamDefinition] = {}  #: In the author's order.
    successors: dict[str, str] = {}  #: Step id to condition, in the author's order; "true" is always.
    failure_mode: FailureMode = FailureMode.FAIL_AFTER_RUNNING
    retry_policy: RetryPolicy | None = None  #: None: not given; `retry_policy_of` has the default.
    timeout: int | str | None = None  #: Seconds, or a duration or template (specification 2.7).
    tags: tuple[Tag, ...] = ()
    queue: str = "default"  #: Ours: the workers' queue.
    outputs: dict[str, ParamType] = {}  #: Ours: outputs that are no parameters of the step, with their types.
    #: Ours, set by the simple form: the step may report outputs that it does not declare (specification 4.6).
    undeclared_outputs: bool = False
    # foreach
    concurrency: int | None = None
    strict_ordering: bool = False
    steps: tuple[Step, ...] = ()
    #: Ours, set by the simple form: each key of an object item is a loop value too, and ``index`` is given.
    spread_items: bool = False

    @property
    def is_foreach(self) -> bool:
        """Say whether each iteration of the step is a run of its own."""
        return self.type == "foreach"


class RunStrategy(_Value, frozen=True):
    """How many runs of the workflow may run together, and what happens to the others."""

    rule: RunStrategyRule = RunStrategyRule.SEQUENTIAL
    workflow_concurrency: int = 1  #: 1 to 1000; 20 is the default of PARALLEL.


class Workflow(_Value, frozen=True):
    """One version of a workflow."""

    id: str
    steps: tuple[Step, ...]
    name: str | None = None
    description: str | None = None
    tags: tuple[Tag, ...] = ()
    timeout: int | str | None = None  #: Seconds, or a duration or template.
    criticality: str | None = None
    params: dict[str, ParamDefinition] = {}
    signal_triggers: tuple[dict[str, Any], ...] = ()  #: As in specification 8.3, checked at the door.
    time_triggers: tuple[dict[str, Any], ...] = ()

    def all_steps(self) -> Iterator[Step]:
        """Yield every step, nested ones too, parents first."""
        stack = list(reversed(self.steps))
        while stack:
            step = stack.pop()
            yield step
            stack.extend(reversed(step.steps))


_DECODER: Final = msgspec.json.Decoder(Workflow)
_ENCODER: Final = msgspec.json.Encoder()


def encode_workflow(workflow: Workflow) -> bytes:
    """Return the JSON that ``workflow_version.definition`` holds."""
    return _ENCODER.encode(workflow)


def decode_workflow(document: bytes | str) -> Workflow:
    """Return the workflow that ``workflow_version.definition`` holds."""
    return _DECODER.decode(document)


def retry_policy_of(step: Step) -> RetryPolicy:
    """Return the step's retry policy, or the default of the specification (2, 10 and 0 retries)."""
    return step.retry_policy or RetryPolicy()
