"""Read the environment once into one frozen value; a bad value names its variable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from maestro_py.model.errors import Misconfigured
from maestro_py.workers.steps.http_guard import read_allowed


class SettingsInvalid(Misconfigured):
    """An environment variable has a value we cannot use; the text names it."""


class Settings(BaseSettings):
    """All settings of all processes; each is the environment variable ``MAESTRO_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="MAESTRO_", frozen=True, extra="ignore")

    database_url: str = ""  #: postgresql://user:password@host:port/database
    transport: Literal["postgres", "kafka"] = "postgres"
    kafka: str = ""  #: Bootstrap servers, host:port[,host:port]
    #: What the names of topics begin with; installations that share a cluster have each their own.
    kafka_prefix: str = Field(default="maestro", pattern=r"^[A-Za-z0-9._-]{1,50}$")
    kafka_replication: int = Field(default=0, ge=0)  #: Copies of each topic that we make; 0: as the cluster likes.
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_ssl_ca: Path | None = None  #: PEM file of whom to trust; otherwise this machine's authorities.
    kafka_ssl_certificate: Path | None = None  #: PEM file by which we show who we are, with its key below.
    kafka_ssl_key: Path | None = None  #: PEM file; may be left out when the certificate's file holds the key, too.
    kafka_ssl_key_password: SecretStr | None = None
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    #: For tests: makes the transport lose, double and delay hints, as seed=1,drop=0.3,double=0.2,delay_ms=50.
    transport_faults: str = ""
    #: How a process writes its log: text, coloured or json; auto: coloured on a terminal, else json.
    log_format: Literal["auto", "text", "coloured", "json"] = "auto"

    #: Engine: an engine whose beat is older than this is dead, and its partitions move.
    engine_lease_ms: int = Field(default=6_000, ge=1_000)
    #: Worker: past this its attempts are LOST (or attached to by another worker).
    worker_lease_ms: int = Field(default=4_000, ge=1_000)
    #: API and signal service: past this their database sessions are terminated.
    service_lease_ms: int = Field(default=6_000, ge=1_000)
    #: How often each process beats.
    beat_interval_ms: int = Field(default=1_000, ge=100)
    #: A PostgreSQL that is away counts towards no lease for this long.
    outage_grace_ms: int = Field(default=60_000, ge=0)
    #: Upper bound of the time a lost hint costs.
    sweep_interval_ms: int = Field(default=1_500, ge=50)
    #: Tasks of an engine that each own a share of its partitions and overlap their commits.
    lanes: int = Field(default=1, ge=1, le=16)
    #: Events taken by one batch at most.
    batch_limit: int = Field(default=500, ge=1)
    #: An engine whose batch stays open longer than this exits.
    batch_deadline_ms: int = Field(default=10_000, ge=100)
    #: Runs kept in an engine's memory.
    cached_runs: int = Field(default=20_000, ge=1)
    #: Concurrency window of a foreach that states none.
    foreach_window: int = Field(default=500, ge=1, le=10_000)

    queues: Annotated[tuple[str, ...], NoDecode] = ("default",)  #: Worker: comma-separated names.
    slots: int = Field(default=8, ge=1)  #: Worker: attempts it runs at a time.
    pool_size: int = Field(default=0, ge=0)  #: Worker: warm Python processes; 0: one a core.
    config: Path | None = None  #: Worker: the file that maps types to local backends.
    code: Path | None = None  #: Worker: a directory put on the path of Python steps.
    drain_ms: int = Field(default=30_000, ge=0)  #: Worker: how long running attempts may go on after SIGTERM.
    cancel_grace_ms: int = Field(default=1_000, ge=0)  #: Worker: between SIGTERM and SIGKILL of a cancelled step.
    log_limit_bytes: int = Field(default=1 << 20, ge=1024)  #: Worker: bytes kept of one attempt's log.
    #: Worker: the only hosts that http steps may reach, comma-separated, host or host:port; none: all public addresses.
    http_allow: Annotated[tuple[str, ...], NoDecode] = ()

    host: str = "127.0.0.1"  #: API: address to bind.
    #: API: names it answers to besides loopback and its host, comma-separated; addresses always do, * is every name.
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    port: int = Field(default=8080, ge=0, le=65535)  #: API: port to bind.
    metrics_port: int = Field(default=0, ge=0, le=65535)  #: Engine, worker, signal: health and metrics; 0: none.
    metrics_host: str = "127.0.0.1"  #: Engine, worker, signal: address to bind for them.

    #: API: events for engines, or signals for signal services, that may wait before it answers 429 to more of them.
    backlog_limit: int = Field(default=50_000, ge=1)
    max_steps: int = Field(default=10_000, ge=1)  #: Steps of one definition, nested ones included.
    body_limit_bytes: int = Field(default=8 << 20, ge=1024)  #: Request bodies above this are answered 413.
    event_retention_days: int = Field(default=7, ge=1)  #: event_log rows older than this are deleted.

    @field_validator("queues", "allowed_hosts", "http_allow", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        return tuple(q.strip() for q in value.split(",") if q.strip()) if isinstance(value, str) else value

    @field_validator("http_allow")
    @classmethod
    def _check_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        read_allowed(value)
        return value

    @classmethod
    def from_environment(cls, **overrides: object) -> Settings:
        """
        Return the settings of this process; *overrides* (from the command line) win.

        Raises:
            SettingsInvalid: a value cannot be used; the text names its variable.
        """
        try:
            return cls(**overrides)  # type: ignore[arg-type]  # values are checked by pydantic
        except ValidationError as exc:
            lines = (f"MAESTRO_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in exc.errors())
            raise SettingsInvalid("; ".join(lines)) from exc
