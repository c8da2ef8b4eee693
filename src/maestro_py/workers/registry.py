"""Know what this worker can run: the installed step types, and the backends that its configuration maps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, NamedTuple

import structlog

from maestro_py.model.errors import Misconfigured
from maestro_py.ports.step_type import (
    ENTRY_POINT_GROUP,
    Attachable,
    Configurable,
    InstantType,
    StepContext,
    StepReport,
    StepTask,
    StepType,
    StepTypeConfig,
)
from maestro_py.workers.backends import NO_CONFIG, Backend, Backends, WorkerConfig
from maestro_py.workers.steps.shell import run_shell

log = structlog.get_logger(__name__)


class StepTypeInvalid(Misconfigured):
    """An installed step type breaks the contract of `maestro_py.ports.step_type`; the text says how."""


class KeyGroup(NamedTuple):
    """Backend keys that are claimed together: those of one limited type, or of all types without a limit."""

    step_types: frozenset[str]
    keys: tuple[str, ...]
    concurrency: int | None  #: Attempts at a time; None: as many as there are slots.


class LocalBackend:
    """A step type of the cluster, run by a function or command of this machine.  At least once, as any other."""

    def __init__(self, backend: Backend) -> None:
        self.kind: Final = backend.type
        self._backend = backend

    async def run(self, task: StepTask, context: StepContext) -> StepReport:
        """Call the function or run the command that the configuration names."""
        if self._backend.function:
            return await context.call_function(self._backend.function)
        return await run_shell(str(self._backend.command), context)


class Registry:
    """
    The step types of one worker.

    Args:
        step_types: The installed ones.
        config: Which types are mapped to this machine's backends, and how many of a type run at a time.
    """

    def __init__(self, step_types: Iterable[StepType | InstantType], config: WorkerConfig = NO_CONFIG) -> None:
        self._backends = Backends(config.backend)
        self._native: dict[str, StepType] = {}
        self._instant: dict[str, InstantType] = {}
        for step_type in step_types:
            if step_type.kind in self._native or step_type.kind in self._instant:
                raise StepTypeInvalid(f"two packages install the step type {step_type.kind!r}")
            # Asked once: whether an object fits a protocol takes Python ten microseconds to find out.
            if isinstance(step_type, InstantType):
                self._instant[step_type.kind] = step_type
            else:
                self._native[step_type.kind] = step_type
        self._mapped = {backend: LocalBackend(backend) for backend in config.backend}
        self._concurrency = config.concurrency

    @property
    def step_types(self) -> list[str]:
        """Return the names of all types that this worker runs at least some attempts of."""
        return sorted({*self._native, *self._instant, *self._backends.types})

    @property
    def backend_keys(self) -> list[str]:
        """Return the keys by which attempts are offered to this worker (ARCHITECTURE.md)."""
        return sorted({key for name in self.step_types for key in self._keys_of(name)})

    @property
    def attachable_types(self) -> list[str]:
        """Return the types whose jobs outlive the worker."""
        return sorted(n for n, t in self._native.items() if isinstance(t, Attachable) and n not in self._backends.types)

    @property
    def uses_functions(self) -> bool:
        """Say whether any attempt may call a function in a warm process."""
        return "python" in self._native or any(backend.function for backend in self._mapped)

    def key_groups(self) -> list[KeyGroup]:
        """Return the keys by which attempts are claimed: one group for each limited type, one for all others."""
        limited = [name for name in self.step_types if name in self._concurrency]
        free = [name for name in self.step_types if name not in self._concurrency]
        groups = [
            KeyGroup(frozenset({name}), tuple(sorted(self._keys_of(name))), self._concurrency[name]) for name in limited
        ]
        if free:
            keys = sorted({key for name in free for key in self._keys_of(name)})
            groups.insert(0, KeyGroup(frozenset(free), tuple(keys), None))
        return groups

    def instant(self, step_type: str) -> InstantType | None:
        """Return the type if its attempts are done at once, None for any other."""
        return None if step_type in self._backends.types else self._instant.get(step_type)

    def find(self, task: StepTask) -> StepType | None:
        """Return what runs *task*: the most specific backend, or the installed type; None if nothing does."""
        image = task.own_params.get("image")
        backend = self._backends.match(task.step_type, task.step_id, image if isinstance(image, str) else None)
        if backend is not None:
            return self._mapped[backend]
        return self._native.get(task.step_type)

    def _keys_of(self, step_type: str) -> set[str]:
        keys = self._backends.keys_of(step_type)
        return keys | {step_type} if step_type in self._native or step_type in self._instant else keys


def installed_step_types() -> list[StepType | InstantType]:
    """
    Return every step type that an installed package announces; one that cannot be imported is said and left out.

    Raises:
        StepTypeInvalid: what an entry point names is no step type.
    """
    return load_step_types(sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name))


def configure(step_types: Iterable[StepType | InstantType], config: StepTypeConfig) -> None:
    """
    Have those of *step_types* that can be configured take over what concerns them.

    Raises:
        StepTypeInvalid: one of them cannot use it.
    """
    for step_type in step_types:
        if isinstance(step_type, Configurable):
            try:
                step_type.configure(config)
            except ValueError as exc:
                raise StepTypeInvalid(f"the step type {step_type.kind!r} cannot use its configuration: {exc}") from exc


def load_step_types(entries: Sequence[EntryPoint]) -> list[StepType | InstantType]:
    """Load the step types that *entries* name, as `installed_step_types` does."""
    found: list[StepType | InstantType] = []
    for entry in entries:
        try:
            loaded = entry.load()
        except ImportError as exc:
            # An optional library is missing: the worker serves what it can.
            log.warning("step_type_unavailable", step_type=entry.name, entry_point=entry.value, reason=str(exc))
            continue
        found.append(_checked(entry, loaded() if isinstance(loaded, type) else loaded))
    return found


def _checked(entry: EntryPoint, step_type: Any) -> StepType | InstantType:
    kind = getattr(step_type, "kind", None)
    if kind != entry.name:
        raise StepTypeInvalid(f"{entry.value}: its kind is {kind!r}, its entry point is named {entry.name!r}")
    runs = [name for name in ("run", "run_now") if callable(getattr(step_type, name, None))]
    if len(runs) != 1:
        raise StepTypeInvalid(f"{entry.value}: a step type has exactly one of the methods run and run_now")
    checked: StepType | InstantType = step_type
    return checked


def describe(registry: Registry, queues: Sequence[str], slots: int, busy: int) -> Mapping[str, Any]:
    """Return what a worker says of itself in its row of ``process`` (ARCHITECTURE.md)."""
    return {
        "queues": list(queues),
        "step_types": registry.step_types,
        "backend_keys": registry.backend_keys,
        "slots": slots,
        "busy": busy,
    }
