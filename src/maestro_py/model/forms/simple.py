"""Read the simple form of a definition (DESIGN section 8): flat steps with ``dependencies`` and ``items``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Final

import msgspec
from pydantic import Field, PlainValidator

from maestro_py.model.definition import ParamDefinition, ParamType, Step, Workflow
from maestro_py.model.forms.document import Document, refuse_unknown
from maestro_py.model.forms.edges import When, conditions_of
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
)
from maestro_py.model.forms.native import Concurrency, GitInfoDocument, StrictOrdering
from maestro_py.model.forms.param_fields import Items, Outputs, PlainParams
from maestro_py.model.forms.problems import Problems
from maestro_py.model.forms.properties import Properties, RunStrategyField, UserField
from maestro_py.model.forms.retry_documents import NO_RETRIES, RetriesField
from maestro_py.model.forms.step_words import (
    ALL_WORDS,
    LATER_WORDS,
    LeafType,
    refuse_later_words,
    spelled_type,
    type_params,
    words_of,
)
from maestro_py.model.forms.triggers import SimpleTrigger, SimpleTriggers
from maestro_py.model.statuses import FailureMode

FOREACH: Final = "foreach"
#: The owner of a workflow that nobody claims.
ANONYMOUS: Final = "anonymous"

_LOOP_WORDS: Final = ("items", "steps", "concurrency", "strict_ordering")
_LEAF_WORDS: Final = ("retries", "queue", "outputs")


def is_foreach(step: dict[str, Any]) -> bool:
    """Say whether a raw step of the simple form is a foreach: it has ``items``, or says so."""
    kind = step.get("type")
    return "items" in step or (isinstance(kind, str) and kind.lower() == FOREACH)


class SimpleStepDocument(Document):
    """A step of the simple form.  Words of its type (`step_words`) may stand beside these."""

    keeps_empty: ClassVar[frozenset[str]] = frozenset({"items"})
    internal: ClassVar[frozenset[str]] = frozenset({"shorthand"})

    id: StepId
    type: LeafType | None = None
    name: Name | None = None
    description: Description | None = None
    dependencies: list[str] = Field(default_factory=list)
    when: When = "true"
    params: PlainParams = Field(default_factory=dict)
    retries: RetriesField | None = None
    timeout: Timeout | None = None
    failure_mode: FailureModeWord = FailureMode.FAIL_AFTER_RUNNING
    queue: Queue = "default"
    tags: Tags = ()
    outputs: Outputs = Field(default_factory=dict)
    items: Items | None = None
    concurrency: Concurrency | None = None
    strict_ordering: StrictOrdering = False
    steps: list[SimpleStepDocument] = Field(default_factory=list)
    wait_for: Annotated[Any, not_yet("signal dependencies (wait_for)")] = None
    workflow: Annotated[Any, not_yet("subworkflow steps (workflow)")] = None
    condition: Annotated[Any, not_yet("while steps (condition)")] = None
    sub_type: Annotated[Any, not_yet("job templates (sub_type)")] = None
    signal_outputs: Annotated[Any, not_yet("signal outputs")] = None
    shorthand: Annotated[dict[str, ParamDefinition], PlainValidator(lambda value: value)] = Field(default_factory=dict)

    @classmethod
    def screen(cls, known: dict[str, Any], unknown: dict[str, Any], problems: Problems) -> None:
        """Take the words of the step's type, refuse unknown ones, and those of the other kind of step."""
        if is_foreach(known):
            _screen_foreach(known, problems)
            words: frozenset[str] = frozenset()
        else:
            words = _screen_leaf(known, unknown, problems)
        if refused := [name for name in unknown if name not in words]:
            refuse_unknown(refused, (cls.__pydantic_fields__.keys() - cls.internal) | words, problems)

    def step(self, successors: dict[str, str]) -> Step:
        """Return the value that this document spells; *successors* come from the steps that depend on it."""
        common: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "successors": successors,
            "failure_mode": self.failure_mode,
            "tags": self.tags,
            "timeout": self.timeout,
        }
        if self.items is None:
            return Step(
                **common,
                type=self.type or "",
                params=self.shorthand | self.params,
                retry_policy=self.retries or NO_RETRIES,
                queue=self.queue,
                outputs=self.outputs,
                undeclared_outputs=True,
            )
        loop_params = ParamDefinition(type=ParamType.MAP, value={"item": msgspec.to_builtins(self.items)})
        return Step(
            **common,
            type=FOREACH,
            params={"loop_params": loop_params} | self.params,
            concurrency=self.concurrency,
            steps=steps_of(self.steps),
            spread_items=True,
        )


def steps_of(documents: Sequence[SimpleStepDocument]) -> tuple[Step, ...]:
    """Return the steps of one level; the dependencies of each are edges of those before it."""
    successors: dict[str, dict[str, str]] = {document.id: {} for document in documents}
    for document in documents:
        for dependency, condition in conditions_of(document.when, document.dependencies).items():
            successors[dependency][document.id] = condition
    return tuple(document.step(successors[document.id]) for document in documents)


class SimpleWorkflowDocument(Document):
    """The body of a push in simple form."""

    workflow_id: WorkflowId
    name: Name | None = None
    description: Description | None = None
    owner: UserField | None = None
    params: PlainParams = Field(default_factory=dict)
    run_strategy: RunStrategyField | None = None
    trigger: SimpleTrigger | None = None
    triggers: SimpleTriggers = ()
    tags: Tags = ()
    timeout: Timeout | None = None
    criticality: Criticality | None = None
    alerting: dict[str, Any] | None = None
    instance_step_concurrency: Annotated[Any, not_yet("limits on the concurrency of steps")] = None
    step_concurrency: Annotated[Any, not_yet("limits on the concurrency of steps")] = None
    is_active: bool = True
    git_info: GitInfoDocument | None = None
    steps: list[SimpleStepDocument]

    @classmethod
    def screen(cls, known: dict[str, Any], unknown: dict[str, Any], problems: Problems) -> None:
        """Refuse a second way to say the same, too."""
        super().screen(known, unknown, problems)
        if "trigger" in known and "triggers" in known:
            problems.add(("triggers",), "give either trigger or triggers")

    def workflow(self) -> Workflow:
        """Return the value that this document spells."""
        return Workflow(
            id=self.workflow_id,
            name=self.name,
            description=self.description,
            tags=self.tags,
            timeout=self.timeout,
            criticality=self.criticality,
            params=self.params,
            steps=steps_of(self.steps),
            signal_triggers=(self.trigger,) if self.trigger else tuple(self.triggers),
        )

    def properties(self, user: str | None) -> Properties:
        """Return the properties that this document spells; without an owner it is *user*, or anonymous."""
        return Properties(
            owner=self.owner.name if self.owner else user or ANONYMOUS,
            owner_info=self.owner.info if self.owner else {},
            run_strategy=self.run_strategy,
            alerting=self.alerting,
        )


def _screen_foreach(known: dict[str, Any], problems: Problems) -> None:
    kind = known.pop("type", FOREACH)
    if not isinstance(kind, str) or kind.lower() != FOREACH:
        problems.add(("type",), f"a step with items is a foreach, not '{kind}': what runs for each item is in steps")
    for name in ("items", "steps"):
        if name not in known:
            problems.add((name,), "is required for a foreach")
    for name in _LEAF_WORDS:
        if name in known:
            problems.add((name,), f"belongs to the steps inside the foreach, which have {name} of their own")
    if isinstance(params := known.get("params"), dict) and "loop_params" in params:
        problems.add(("params", "loop_params"), "a foreach of the simple form loops over its items")
    _screen_when(known, problems)


def _screen_leaf(known: dict[str, Any], unknown: dict[str, Any], problems: Problems) -> frozenset[str]:
    """Put the parameters that the type's words are short for into *known*, and return all words of the type."""
    for name in _LOOP_WORDS:
        if name in known:
            problems.add((name,), "belongs to a foreach, which is a step with items")
            del known[name]
    _screen_when(known, problems)
    kind = known.get("type")
    refuse_later_words(kind, known | unknown, problems)
    if not isinstance(kind, str):
        if "workflow" not in known and "condition" not in known:
            problems.add(("type",), "is required" if kind is None else "must be a text")
        known.pop("type", None)
        return ALL_WORDS  # which of them are right depends on the type
    words = words_of(spelled_type(kind))
    given = {name: value for name, value in unknown.items() if name in words and value not in (None, [], {})}
    known["shorthand"] = shorthand = type_params(spelled_type(kind), given, (), problems)
    params = known.get("params")
    for name in shorthand:
        if isinstance(params, dict) and name in params:
            problems.add(("params", name), f"is also given by {', '.join(given)}; give it once")
    return frozenset(words).union(LATER_WORDS.get(spelled_type(kind), ()))


def _screen_when(known: dict[str, Any], problems: Problems) -> None:
    if "when" in known and not known.get("dependencies"):
        problems.add(("when",), "is the condition of the edges from dependencies, and there are none")
