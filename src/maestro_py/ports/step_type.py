"""
The port to step types: what a worker hands to one, and what it wants back.

A step type is one file and one entry point of the group ``maestro_py.step_types``, ours too.  Its contract:

- **At least once.**  A worker may die between the effect of a step and its report; then a new attempt, or the same
  attempt on another worker, runs again.  `StepTask.idempotency_key` is the same for both runs of one attempt, so a
  target that honours it sees one effect.
- **Cancellation** arrives as `asyncio.CancelledError` inside `StepType.run`.  If ``context.cancelled`` is set, the work
  itself is to be stopped, a job outside too; if it is not, only this worker lets go (it shuts down, or it lost its
  lease), and a job outside goes on for the next worker to attach to.
- **Failures** are returned as a `StepReport`.  An exception that leaves `StepType.run` is a fault of the type, and is
  reported as PLATFORM_ERROR.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import msgspec

from maestro_py.model.statuses import Outcome

#: The entry point group in which step types announce themselves.
ENTRY_POINT_GROUP: Final = "maestro_py.step_types"


class StepTask(msgspec.Struct, frozen=True):
    """One attempt of one step, with everything that is needed to run it."""

    workflow_id: str
    instance_id: int
    run_id: int
    step_id: str
    attempt: int  #: 1 for the first.
    step_type: str  #: As the definition spells it.
    #: Evaluated parameters: name to plain value; the type's own under its lower-case name.
    params: dict[str, Any] = {}
    correlation_id: str = ""
    #: Of an iteration: the attempt of the foreach (partition, run uid, step id, attempt) whose parameters it sees too;
    #: the worker lays `params` over them before the step type sees the task.
    outer: tuple[int, str, str, int] | None = None
    token: int = 0  #: The claim's fence: +1 each time the attempt is claimed.

    @property
    def idempotency_key(self) -> str:
        """Return ``workflow/instance/run/step/attempt``: the name of the job outside, the same for every claim."""
        return f"{self.workflow_id}/{self.instance_id}/{self.run_id}/{self.step_id}/{self.attempt}"

    @property
    def own_params(self) -> dict[str, Any]:
        """Return the type's own parameters (``params["shell"]`` for a ``shell`` step); empty if there are none."""
        own = self.params.get(self.step_type.lower())
        return own if isinstance(own, dict) else {}

    @property
    def plain_params(self) -> dict[str, Any]:
        """Return the parameters without the type's own."""
        own = self.step_type.lower()
        return {name: value for name, value in self.params.items() if name != own}


class StepReport(msgspec.Struct, frozen=True):
    """How an attempt ended."""

    outcome: Outcome
    outputs: dict[str, Any] | None = None  #: Output parameters: name to JSON value.
    message: str = ""  #: Why it failed, for a person.


#: The report of an attempt that succeeded and has nothing to say.
DONE: Final = StepReport(Outcome.DONE)


class StepContext(Protocol):
    """What the worker does for one running attempt."""

    @property
    def cancelled(self) -> asyncio.Event:
        """Set when the engine wants the attempt to be stopped, before `asyncio.CancelledError` is raised."""
        ...

    @property
    def work_directory(self) -> Path:
        """An empty directory of this attempt, made when first asked for and deleted when the attempt ends."""
        ...

    @property
    def output_file(self) -> Path:
        """Where a process of the step may leave a JSON object of output parameters."""
        ...

    def log(self, text: str) -> None:
        """Add *text* to the attempt's log as it stands: a line ends with a newline."""
        ...

    async def save_handle(self, handle: Mapping[str, Any]) -> None:
        """
        Store what finds the job outside again; returns when it is durable.

        Raises:
            AttemptTaken: the attempt is no longer this worker's.
            StoreUnavailable: PostgreSQL is away; whether the handle was stored is unknown.
        """
        ...

    async def run_command(
        self, argv: Sequence[str], directory: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> StepReport:
        """
        Run a program in a process group of its own, which ends with the worker; its output goes to the log.

        The program reads ``MAESTRO_PARAMS_FILE`` and writes ``MAESTRO_OUTPUT_FILE`` (docs/workers.md).
        Cancellation sends SIGTERM to the group, and SIGKILL after a grace.

        Args:
            argv: The program, found on PATH, and its arguments.
            directory: Where it runs, relative to the directory of the user's code; by default there.
            environment: Variables beside those of all steps; what tells a program its attempt cannot be replaced.
        """
        ...

    async def call_function(
        self,
        function: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> StepReport:
        """
        Call ``module:function`` in a warm Python process; it returns the outputs.

        Cancellation sends SIGTERM to the process, and SIGKILL after a grace.

        Args:
            function: It is given *args* and *kwargs*, and of the attempt's parameters those that it also names.
            args: Its first arguments, in order; JSON values, as all.
            kwargs: Further ones, by name; they win over parameters of the attempt.
            environment: Variables that its process has during the call.
        """
        ...


class StepTypeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator of a worker configured for its step types.  It holds passwords."""

    http_allow: tuple[str, ...] = ()  #: Hosts, ``host`` or ``host:port``, that http steps may reach; none: public ones.
    connections: dict[str, str] = {}  #: Name to URL of a database.

    def __repr__(self) -> str:
        return f"StepTypeConfig(http_allow={self.http_allow!r}, connections={list(self.connections)!r})"


@runtime_checkable
class Configurable(Protocol):
    """A step type that an operator may configure."""

    def configure(self, config: StepTypeConfig) -> None:
        """
        Take over what concerns this type; called once, before the first attempt.

        Raises:
            ValueError: it cannot be used; the text says what and why.
        """
        ...


class StepType(Protocol):
    """One kind of work."""

    @property
    def kind(self) -> str:
        """The name by which definitions ask for it; the name of its entry point."""
        ...

    async def run(self, task: StepTask, context: StepContext) -> StepReport:
        """Do the work of *task* and say how it ended (module documentation: at least once, cancellation)."""
        ...


@runtime_checkable
class Attachable(StepType, Protocol):
    """A step type whose work outlives the worker and can be found again."""

    async def attach(self, task: StepTask, handle: dict[str, Any], context: StepContext) -> StepReport:
        """Go on with the job that *handle*, stored by `StepContext.save_handle`, names; do not start another."""
        ...


@runtime_checkable
class InstantType(Protocol):
    """
    A step type that is done as soon as it is asked: the worker runs it inside its claim loop, without a task.

    Its task has the parameters of the step and of its iteration, not those that a foreach takes from outside.
    """

    @property
    def kind(self) -> str:
        """The name by which definitions ask for it; the name of its entry point."""
        ...

    def run_now(self, task: StepTask) -> StepReport:
        """Do the work of *task* within microseconds; it may not wait for anything."""
        ...
