"""The bodies that routes read, apart from definitions, which have a door of their own."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import Field, PlainValidator

from maestro_py.model.forms.document import Document
from maestro_py.model.forms.fields import SignalName, Tags, member_of, refuse
from maestro_py.model.literals import spell_kind

_LONG_MAX: Final = 2**63 - 1


class InitiatorKind(StrEnum):
    """Who may start a run over HTTP; the others start runs from inside (specification 3.5)."""

    MANUAL = "MANUAL"
    TIME = "TIME"
    SIGNAL = "SIGNAL"


def _uuid(value: Any) -> str:
    try:
        return str(UUID(value))
    except (ValueError, AttributeError, TypeError):
        raise refuse("must be a UUID") from None


def _signal_value(value: Any) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise refuse(f"a parameter of a signal is a text or a whole number, not {spell_kind(value)}")
    return value


#: A UUID as text in its canonical spelling, so that every spelling of one id is that id.
RequestId = Annotated[str, PlainValidator(_uuid, json_schema_input_type=UUID)]
#: A parameter that triggers may match.
SignalParam = Annotated[int | str, PlainValidator(_signal_value, json_schema_input_type=int | str)]
#: UTC epoch milliseconds.
Millis = Annotated[int, Field(ge=0, le=_LONG_MAX)]


class InitiatorDocument(Document):
    """Who or what starts a run (specification 3.5)."""

    type: Annotated[InitiatorKind, PlainValidator(member_of(InitiatorKind), json_schema_input_type=InitiatorKind)]
    user: Any = None  #: Of MANUAL; replaced by the caller.
    depth: Any = None  #: Read-only; what a client sends back is ignored.
    trigger_uuid: str | None = None
    trigger_time: Millis | None = None
    timezone: str | None = None
    signal_id_map: dict[str, int] | None = None
    params: dict[str, Any] | None = None

    def initiator(self, caller: str) -> dict[str, Any]:
        """Return what the run stores of its initiator; whoever calls is the user, whatever the body says."""
        if self.type is InitiatorKind.MANUAL:
            return {"type": self.type, "user": caller}
        kept = self.model_dump(exclude={"type", "user", "depth"}, exclude_none=True)
        return {"type": self.type, **kept}


class StartDocument(Document):
    """A WorkflowStartRequest (specification 1.2)."""

    initiator: InitiatorDocument
    request_time: Millis | None = None
    request_id: RequestId | None = None
    runtime_tags: Tags = ()
    run_params: dict[str, Any] | None = None
    artifacts: dict[str, Any] | None = None
    persist_failed_run: bool = False


class BatchStartDocument(Document):
    """Requests to start runs of one workflow (ours); each is a `StartDocument` and is read by itself."""

    requests: Annotated[list[Any], Field(min_length=1)]


class SignalDocument(Document):
    """The known part of a signal's announcement (specification 1.7); everything else of it is payload."""

    name: SignalName
    params: dict[str, SignalParam] = Field(default_factory=dict)
    request_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    request_time: Millis | None = None
