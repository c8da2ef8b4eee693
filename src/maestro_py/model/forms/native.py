"""Read the native form of a definition (specification section 2)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

from pydantic import Field, PlainValidator

from maestro_py.model.definition import Step, Workflow
from maestro_py.model.forms.document import Document
from maestro_py.model.forms.edges import Condition
from maestro_py.model.forms.fields import (
    Criticality,
    Description,
    FailureModeWord,
    Name,
    Queue,
    StepId,
    Tags,
    Timeout,
    WorkflowId,
    not_yet,
    refuse,
    within,
)
from maestro_py.model.forms.param_fields import LoopParams, Outputs, Params
from maestro_py.model.forms.problems import Problems
from maestro_py.model.forms.properties import PropertiesDocument
from maestro_py.model.forms.retry_documents import RetryPolicyField
from maestro_py.model.forms.step_words import LeafType, refuse_later_words
from maestro_py.model.forms.triggers import SignalTriggers
from maestro_py.model.statuses import FailureMode

#: Kinds of step that later issues bring.
_LATER: Final = ("while", "subworkflow", "template")


def _false_only(value: Any) -> bool:
    if value is not False:
        raise refuse("strict ordering of iterations is not supported yet")
    return False


Concurrency = Annotated[int, within(1, 10_000)]
StrictOrdering = Annotated[bool, PlainValidator(_false_only, json_schema_input_type=bool)]


class TransitionDocument(Document):
    """The edges of a step.  Whether they fit the other steps, ``predecessors`` too, is for `graph_checks`."""

    predecessors: list[str] = Field(default_factory=list)
    successors: dict[str, Condition] = Field(default_factory=dict)


class CommonStepDocument(Document):
    """What every kind of step has."""

    id: StepId
    name: Name | None = None
    description: Description | None = None
    transition: TransitionDocument = TransitionDocument()
    failure_mode: FailureModeWord = FailureMode.FAIL_AFTER_RUNNING
    tags: Tags = ()
    timeout: Timeout | None = None
    signal_dependencies: Annotated[Any, not_yet("signal dependencies")] = None
    signal_outputs: Annotated[Any, not_yet("signal outputs")] = None

    def common(self) -> dict[str, Any]:
        """Return the fields of `Step` that every kind of step has."""
        return {
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "successors": self.transition.successors,
            "failure_mode": self.failure_mode,
            "tags": self.tags,
            "timeout": self.timeout,
        }


class StepDocument(CommonStepDocument):
    """A leaf step."""

    type: LeafType
    sub_type: Annotated[Any, not_yet("job templates (sub_type)")] = None
    sub_type_version: Annotated[Any, not_yet("job templates (sub_type_version)")] = None
    params: Params = Field(default_factory=dict)
    retry_policy: RetryPolicyField | None = None
    queue: Queue = "default"  #: Ours.
    outputs: Outputs = Field(default_factory=dict)  #: Ours.
    undeclared_outputs: bool = False  #: Ours, what the simple form means.

    @classmethod
    def screen(cls, known: dict[str, Any], unknown: dict[str, Any], problems: Problems) -> None:
        """Refuse what a type may not say yet, too."""
        super().screen(known, unknown, problems)
        refuse_later_words(known.get("type"), known, problems)

    def step(self) -> Step:
        """Return the value that this document spells."""
        return Step(
            **self.common(),
            type=self.type,
            params=self.params,
            retry_policy=self.retry_policy,
            queue=self.queue,
            outputs=self.outputs,
            undeclared_outputs=self.undeclared_outputs,
        )


class ForeachDocument(CommonStepDocument):
    """A step whose steps run once for each item."""

    params: LoopParams
    concurrency: Concurrency | None = None
    strict_ordering: StrictOrdering = False
    steps: list[StepElement]
    spread_items: bool = False  #: Ours, what the simple form's ``items`` means.

    def step(self) -> Step:
        """Return the value that this document spells."""
        return Step(
            **self.common(),
            type="foreach",
            params=self.params,
            concurrency=self.concurrency,
            steps=tuple(element.value() for element in self.steps),
            spread_items=self.spread_items,
        )


class StepElement(Document):
    """One element of ``steps``: an object with one key, which says the kind of step."""

    step: StepDocument | None = None
    foreach: ForeachDocument | None = None

    @classmethod
    def screen(cls, known: dict[str, Any], unknown: dict[str, Any], problems: Problems) -> None:
        """Refuse anything but one known kind of step."""
        later = [name for name in unknown if name in _LATER]
        for name in later:
            problems.add((name,), f"{name} steps are not supported yet")
        if not later and (unknown or len(known) != 1):
            problems.add((), 'must be an object with one key that is the kind of step: {"step": {...}} or foreach')

    def value(self) -> Step:
        """Return the step that this document spells."""
        document = self.step or self.foreach
        assert document is not None, "screen lets no other through"
        return document.step()


class WorkflowDocument(Document):
    """The native ``workflow``."""

    id: WorkflowId
    name: Name | None = None
    description: Description | None = None
    tags: Tags = ()
    timeout: Timeout | None = None
    time_triggers: Annotated[Any, not_yet("time triggers")] = None
    signal_triggers: SignalTriggers = ()
    criticality: Criticality | None = None
    instance_step_concurrency: Annotated[Any, not_yet("limits on the concurrency of steps")] = None
    params: Params = Field(default_factory=dict)
    steps: list[StepElement]

    def workflow(self) -> Workflow:
        """Return the value that this document spells."""
        return Workflow(
            id=self.id,
            name=self.name,
            description=self.description,
            tags=self.tags,
            timeout=self.timeout,
            criticality=self.criticality,
            params=self.params,
            steps=tuple(element.value() for element in self.steps),
            signal_triggers=self.signal_triggers,
        )


class GitInfoDocument(Document):
    """Where a definition comes from."""

    origin: str | None = None
    branch: str | None = None
    sha: str | None = None
    path: str | None = None
    author: str | None = None
    timestamp: int | None = None  #: UTC epoch milliseconds.
    uncommitted_changes: bool | None = None


class PushDocument(Document):
    """The body of a push in native form; keys beside these are kept as extra information."""

    keeps_empty: ClassVar[frozenset[str]] = frozenset({"properties"})  # given, even empty, they reset some fields

    properties: PropertiesDocument | None = None
    workflow: WorkflowDocument
    is_active: bool = True
    git_info: GitInfoDocument | None = None
