"""Read the properties of a workflow (specification 2.1): what holds for all its versions."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from pydantic import PlainValidator

from maestro_py.model.definition import RunStrategy
from maestro_py.model.forms.document import Document
from maestro_py.model.forms.fields import Description, member_of, not_yet, refuse, text, whole_number, within
from maestro_py.model.literals import spell_kind
from maestro_py.model.statuses import RunStrategyRule

_MAX_CONCURRENCY: Final = 1_000
#: What PARALLEL allows that says no number.
_PARALLEL_CONCURRENCY: Final = 20
_SUPPORTED: Final = frozenset({RunStrategyRule.SEQUENTIAL, RunStrategyRule.PARALLEL, RunStrategyRule.FIRST_ONLY})


class Properties(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The properties that a push gives; None: not given (specification 7 says what is then kept or reset)."""

    owner: str | None = None
    owner_info: dict[str, Any] = {}  #: Extra keys of an owner that was given as an object.
    access_control: Any = None
    run_strategy: RunStrategy | None = None
    alerting: dict[str, Any] | None = None
    alerting_disabled: bool | None = None
    signal_trigger_disabled: bool | None = None
    time_trigger_disabled: bool | None = None
    description: str | None = None


class User(msgspec.Struct, frozen=True):
    """A person as the specification's section 0 writes one: a name, or an object with one."""

    name: str
    info: dict[str, Any] = {}


def read_user(value: Any) -> User:
    """Return the user that a document names."""
    if isinstance(value, dict):
        return User(text(value.get("name"), 256), {key: inner for key, inner in value.items() if key != "name"})
    return User(text(value, 256, "must be a name, or an object with a name"))


def read_run_strategy(value: Any) -> RunStrategy:
    """Return the run strategy in any of its three encodings: an object, a rule, or a number (PARALLEL)."""
    rule: Any = RunStrategyRule.PARALLEL
    concurrency: Any = None
    if isinstance(value, dict):
        document = _RunStrategyDocument.model_validate(value)
        rule, concurrency = document.rule, document.workflow_concurrency
    elif isinstance(value, str):
        rule = _read_rule(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        concurrency = whole_number(value, 1, _MAX_CONCURRENCY)
    else:
        raise refuse(f"must be a rule, a number, or an object with a rule, not {spell_kind(value)}")
    if rule is RunStrategyRule.PARALLEL:
        return RunStrategy(rule=rule, workflow_concurrency=concurrency or _PARALLEL_CONCURRENCY)
    if concurrency not in (None, 1):
        raise refuse(f"only PARALLEL may have a workflow_concurrency above 1, not {rule}")
    return RunStrategy(rule=rule)


def _read_rule(value: Any) -> RunStrategyRule:
    rule = member_of(RunStrategyRule)(value)
    if rule not in _SUPPORTED:
        raise refuse(f"the run strategy {rule} is not supported yet")
    return rule


class _RunStrategyDocument(Document):
    rule: Annotated[RunStrategyRule, PlainValidator(_read_rule, json_schema_input_type=str)]
    workflow_concurrency: Annotated[int, within(1, _MAX_CONCURRENCY)] | None = None


def _refuse_tags(_: Any) -> None:
    raise refuse("the tags of a workflow's properties are not pushed; add each by the tag endpoint")


#: A person: a name or an object with one.
UserField = Annotated[User, PlainValidator(read_user, json_schema_input_type=str | dict[str, Any])]
#: A run strategy in any encoding.
RunStrategyField = Annotated[
    RunStrategy, PlainValidator(read_run_strategy, json_schema_input_type=str | int | _RunStrategyDocument)
]


class PropertiesDocument(Document):
    """The native ``properties``."""

    owner: UserField | None = None
    access_control: Any = None
    run_strategy: RunStrategyField | None = None
    step_concurrency: Annotated[Any, not_yet("limits on the concurrency of steps")] = None
    alerting: dict[str, Any] | None = None  #: Kept as data; nothing sends yet.
    alerting_disabled: bool | None = None
    signal_trigger_disabled: bool | None = None
    time_trigger_disabled: bool | None = None
    description: Description | None = None
    tags: Annotated[Any, PlainValidator(_refuse_tags, json_schema_input_type=list[Any])] = None

    def properties(self) -> Properties:
        """Return the value that this document spells."""
        return Properties(
            owner=self.owner.name if self.owner else None,
            owner_info=self.owner.info if self.owner else {},
            access_control=self.access_control,
            run_strategy=self.run_strategy,
            alerting=self.alerting,
            alerting_disabled=self.alerting_disabled,
            signal_trigger_disabled=self.signal_trigger_disabled,
            time_trigger_disabled=self.time_trigger_disabled,
            description=self.description,
        )
