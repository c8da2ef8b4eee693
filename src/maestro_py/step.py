"""
What the author of a Python step may use: import it in the function's module.

A function needs nothing of it.  It is called with the parameters of its step that it names, and returns the output
parameters as a dict.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class FatalError(Exception):
    """Raise it when another attempt cannot help: the step fails at once, whatever its retries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a function learns of its attempt, if it has an argument named ``context``."""

    workflow_id: str
    instance_id: int
    run_id: int
    step_id: str
    attempt: int  #: 1 for the first.
    #: The same for every run of this attempt: hand it to targets that know how to do a thing once.
    idempotency_key: str
    params: dict[str, Any] = field(default_factory=dict)  #: All parameters of the step.
