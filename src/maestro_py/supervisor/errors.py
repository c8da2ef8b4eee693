"""
What can go wrong in `maestro up`, said so that the user knows the next move.

SupervisorError
 ├─ EmbeddedPostgresFailed   our PostgreSQL cannot be found, made or started
 ├─ EmbeddedKafkaFailed      our Kafka cannot be found, fetched or started
 ├─ DataDirectoryInUse       somebody else holds the data directory
 └─ ChildMisconfigured       a child says that its settings are wrong: starting it again would not help
"""

from __future__ import annotations

from maestro_py.model.errors import MaestroError


class SupervisorError(MaestroError):
    """`maestro up` cannot go on."""


class EmbeddedPostgresFailed(SupervisorError):
    """The embedded PostgreSQL cannot be found, made or started; the text ends with what it said."""


class EmbeddedKafkaFailed(SupervisorError):
    """The embedded Kafka cannot be found, fetched or started; the text says what is missing, or what it said."""


class DataDirectoryInUse(SupervisorError):
    """Another process of ours holds the data directory."""


class ChildMisconfigured(SupervisorError):
    """A child ended with the status of wrong usage; it would do so for ever."""
