"""Read retry policies: the native object, and the simple form's ``retries`` (specification 2.3)."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import PlainValidator

from maestro_py.model.definition import Backoff, RetryPolicy
from maestro_py.model.forms.document import Document
from maestro_py.model.forms.fields import parsable_long, read_parsable_long, refuse

_MAX_RETRIES: Final = 99
Limit = Annotated[int | str, parsable_long(0, _MAX_RETRIES)]
Seconds = Annotated[int | str, parsable_long(1, 86_400)]
Exponent = Annotated[int | str, parsable_long(1, 100)]

EXPONENTIAL = "EXPONENTIAL_BACKOFF"
FIXED = "FIXED_BACKOFF"


class FixedBackoffDocument(Document):
    """Delays that stay the same, in seconds."""

    type: str = FIXED
    error_retry_backoff_in_secs: Seconds = 60
    platform_retry_backoff_in_secs: Seconds = 60
    timeout_retry_backoff_in_secs: Seconds = 60


class ExponentialBackoffDocument(FixedBackoffDocument):
    """Delays that grow with each retry up to a limit, in seconds."""

    type: str = EXPONENTIAL
    error_retry_exponent: Exponent = 2
    error_retry_limit_in_secs: Seconds = 600
    platform_retry_exponent: Exponent = 2
    platform_retry_limit_in_secs: Seconds = 3_600
    timeout_retry_exponent: Exponent = 2
    timeout_retry_limit_in_secs: Seconds = 3_600


def _backoff(value: Any) -> Backoff:
    kind = value.get("type", EXPONENTIAL) if isinstance(value, dict) else EXPONENTIAL
    name = kind.upper() if isinstance(kind, str) else kind
    if name not in (EXPONENTIAL, FIXED):
        raise refuse(f"the type of a backoff is {EXPONENTIAL} or {FIXED}")
    model = FixedBackoffDocument if name == FIXED else ExponentialBackoffDocument
    return Backoff(**model.model_validate(value).model_dump() | {"type": name})


class RetryPolicyDocument(Document):
    """How often each kind of failure is retried."""

    error_retry_limit: Limit = 2
    platform_retry_limit: Limit = 10
    timeout_retry_limit: Limit = 0
    backoff: Annotated[Backoff, PlainValidator(_backoff, json_schema_input_type=ExponentialBackoffDocument)] = Backoff()


def _policy(value: Any) -> RetryPolicy:
    document = RetryPolicyDocument.model_validate(value)
    return RetryPolicy(
        error_retry_limit=document.error_retry_limit,
        platform_retry_limit=document.platform_retry_limit,
        timeout_retry_limit=document.timeout_retry_limit,
        backoff=document.backoff,
    )


def _retries(value: Any) -> RetryPolicy:
    if isinstance(value, dict):
        return _policy(value)
    return RetryPolicy(error_retry_limit=read_parsable_long(value, 0, _MAX_RETRIES))


#: The native ``retry_policy``.
RetryPolicyField = Annotated[RetryPolicy, PlainValidator(_policy, json_schema_input_type=RetryPolicyDocument)]
#: The simple form's ``retries``: how often a user error is retried, or the native object.
RetriesField = Annotated[RetryPolicy, PlainValidator(_retries, json_schema_input_type=int | str | RetryPolicyDocument)]
#: What a step of the simple form without ``retries`` has: its own failures are final, the platform's are not.
NO_RETRIES = RetryPolicy(error_retry_limit=0)
