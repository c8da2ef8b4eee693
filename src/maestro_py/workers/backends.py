"""
Map step types to what this machine has for them: a function or a command (``maestro worker --config FILE``).

A definition that says ``spark`` or ``kubernetes`` then runs unmodified on a laptop.  Of several backends that fit an
attempt the most specific wins: step and image, step, image, type alone.  Pure, but for reading the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from maestro_py.model.errors import Misconfigured


class ConfigInvalid(Misconfigured):
    """The configuration file cannot be used; the text names the file, the entry and what is wrong with it."""


class Backend(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One ``[[backend]]`` of the file: what runs the attempts of *type*, perhaps only of one image or step."""

    type: str
    image: str | None = None
    step: str | None = None
    function: str | None = None  #: ``module:function``
    command: str | None = None  #: For ``/bin/sh -c``.

    @property
    def backend_key(self) -> str:
        """Return by which of an attempt's keys it is offered to this backend (ARCHITECTURE.md)."""
        if self.step is not None:
            return f"{self.type}:step={self.step}"
        if self.image is not None:
            return f"{self.type}:image={self.image}"
        return self.type

    @property
    def specificity(self) -> int:
        """Return how narrow it is: the highest wins."""
        return 2 * (self.step is not None) + (self.image is not None)

    def fits(self, step_id: str, image: str | None) -> bool:
        """Say whether it runs attempts of its type of this step and image."""
        return self.step in (None, step_id) and self.image in (None, image)


class WorkerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    backend: tuple[Backend, ...] = ()
    #: Step type to the number of its attempts that this worker runs at a time, within its slots.
    concurrency: dict[str, int] = {}
    #: Name to URL of a database, for sql steps: the passwords in it are in no definition.
    connections: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"WorkerConfig({self.backend!r}, concurrency={self.concurrency!r}, connections={list(self.connections)})"


NO_CONFIG: Final = WorkerConfig()


class Backends:
    """The backends of one worker, by type, the most specific first."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        self._by_type: dict[str, list[Backend]] = {}
        for backend in sorted(backends, key=lambda b: -b.specificity):
            self._by_type.setdefault(backend.type, []).append(backend)

    @property
    def types(self) -> Collection[str]:
        """Return the types that any backend is for."""
        return self._by_type.keys()

    def keys_of(self, step_type: str) -> set[str]:
        """Return the keys by which attempts of *step_type* are offered to this worker."""
        return {backend.backend_key for backend in self._by_type.get(step_type, ())}

    def match(self, step_type: str, step_id: str, image: str | None) -> Backend | None:
        """Return the most specific backend that fits, None if none does."""
        for backend in self._by_type.get(step_type, ()):
            if backend.fits(step_id, image):
                return backend
        return None


def read_config(path: Path | None) -> WorkerConfig:
    """
    Return what the file at *path* says; without a file, nothing is mapped.

    Raises:
        ConfigInvalid: the file is missing or wrong.
    """
    if path is None:
        return NO_CONFIG
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigInvalid(f"{path}: cannot be read: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigInvalid(f"{path}: this is no TOML: {exc}") from exc
    try:
        return parse_config(document)
    except ConfigInvalid as exc:
        raise ConfigInvalid(f"{path}: {exc}") from exc


def parse_config(document: Mapping[str, Any]) -> WorkerConfig:
    """
    Return the checked configuration.

    Raises:
        ConfigInvalid: an entry is wrong; the text says which, counted from 1.
    """
    backends = document.get("backend", [])
    if not isinstance(backends, list):
        raise ConfigInvalid("write [[backend]], with two brackets, for each backend")
    for number, entry in enumerate(backends, 1):
        try:
            _check(msgspec.convert(entry, Backend))
        except (msgspec.ValidationError, ConfigInvalid) as exc:
            raise ConfigInvalid(f"backend {number}: {exc}") from exc
    try:
        config = msgspec.convert(dict(document), WorkerConfig)
    except msgspec.ValidationError as exc:
        raise ConfigInvalid(str(exc)) from exc
    for name, limit in config.concurrency.items():
        if limit < 1:
            raise ConfigInvalid(f"concurrency.{name}: at least 1, not {limit}")
    for name, url in config.connections.items():
        if "://" not in url:
            raise ConfigInvalid(f"connections.{name}: write the URL of a database, as postgresql://user@host/database")
    _check_together(config.backend)
    return config


def _check(backend: Backend) -> None:
    if bool(backend.function) == bool(backend.command):
        raise ConfigInvalid("give exactly one of: function, command")
    if backend.function and not all(backend.function.partition(":")):
        raise ConfigInvalid(f'a function is named "module:function", not {backend.function!r}')
    for name in ("type", "image", "step"):
        if getattr(backend, name) == "":
            raise ConfigInvalid(f"{name} is empty")


def _check_together(backends: Sequence[Backend]) -> None:
    seen: dict[tuple[str, str | None, str | None], int] = {}
    for number, backend in enumerate(backends, 1):
        first = seen.setdefault((backend.type, backend.image, backend.step), number)
        if first != number:
            raise ConfigInvalid(f"backend {number}: the same type, image and step as backend {first}")
    for number, backend in enumerate(backends, 1):
        if backend.specificity == 3 and not any(
            other.type == backend.type and other.image is None and other.step in (None, backend.step)
            for other in backends
        ):
            # Attempts are offered by step, so this worker is also offered those of other images.
            raise ConfigInvalid(
                f"backend {number}: it names a step and an image; step {backend.step!r} with another image needs a "
                f"backend too: add one for the step alone, or for type {backend.type!r} alone"
            )
