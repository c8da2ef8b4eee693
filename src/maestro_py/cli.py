"""
The command ``maestro``: the processes of the service, and a small client of its API.

The server commands read their settings from MAESTRO_… and from the options, which win.  What they run is imported
when it is needed, so that the client commands start quickly.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer
from rich.console import Console

from maestro_py import cli_render as render
from maestro_py.cli_options import Url, User, client_of
from maestro_py.cli_runs import runs
from maestro_py.cli_values import plain_value, signal_param, split_pairs
from maestro_py.cli_views import views
from maestro_py.client import DEFAULT_URL
from maestro_py.model.errors import MaestroError, Misconfigured
from maestro_py.parent import PARENT_FD, watch_parent

if TYPE_CHECKING:
    from maestro_py.settings import Settings

#: The status of wrong usage; `maestro up` does not start a child again that ends with it.
_MISCONFIGURED: Final = 2


class _Commands(typer.core.TyperGroup):
    """Says our errors in a sentence instead of a traceback."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # typer's context is click's
        """Run the command."""
        try:
            return super().invoke(ctx)
        except MaestroError as error:
            typer.secho(f"maestro: {error}", err=True, fg="red")
            raise typer.Exit(_MISCONFIGURED if isinstance(error, Misconfigured) else 1) from error


app = typer.Typer(
    cls=_Commands,
    help="maestro-py: a horizontally scaled workflow orchestration service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
db = typer.Typer(help="The schema of the database.", no_args_is_help=True)
topics = typer.Typer(help="The topics of Kafka.", no_args_is_help=True)
dead_letter = typer.Typer(help="Events that the engine could not apply.", no_args_is_help=True)
app.add_typer(db, name="db")
app.add_typer(topics, name="topics")
app.add_typer(dead_letter, name="dead-letter")

Host = Annotated[
    str | None, typer.Option(envvar="MAESTRO_HOST", help="Address to bind; anything but this machine is said loudly.")
]
Port = Annotated[int | None, typer.Option(envvar="MAESTRO_PORT", help="Port of the API; 0 chooses a free one.")]
Slots = Annotated[int | None, typer.Option(help="Step attempts that a worker runs at a time.")]
Config = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="Maps step types and images to local backends.")
]
Code = Annotated[
    Path | None, typer.Option(exists=True, file_okay=False, help="Directory with the modules of Python steps.")
]
DatabaseUrl = Annotated[
    str, typer.Option(envvar="MAESTRO_DATABASE_URL", help="postgresql://user:password@host:port/database")
]


@app.command()
def up(
    port: Port = 8080,
    host: Host = "127.0.0.1",
    data_dir: Annotated[
        Path, typer.Option(envvar="MAESTRO_DATA_DIR", help="Where the embedded PostgreSQL keeps its data.")
    ] = Path("~/.maestro"),
    transport: Annotated[
        Literal["postgres", "kafka"],
        typer.Option(
            envvar="MAESTRO_TRANSPORT", help="What carries hints; Kafka is started too unless MAESTRO_KAFKA names one."
        ),
    ] = "postgres",
    metrics_port: Annotated[
        int,
        typer.Option(
            envvar="MAESTRO_METRICS_PORT",
            min=0,
            max=65_000,
            help="Of the first engine's metrics; workers and signal service have the next ports.  0: none.",
        ),
    ] = 0,
    log_format: Annotated[
        Literal["auto", "text", "coloured", "json"],
        typer.Option(envvar="MAESTRO_LOG_FORMAT", help="auto: coloured text on a terminal, else JSON."),
    ] = "auto",
    engines: Annotated[int, typer.Option(min=1, help="Engine processes.")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    slots: Slots = None,
    config: Config = None,
    code: Code = None,
) -> None:
    """Run everything on this machine: PostgreSQL, engines, workers, signal service and API."""
    from maestro_py import bootstrap
    from maestro_py.settings import Settings
    from maestro_py.storage import migrate
    from maestro_py.storage.roll_call import RollCall
    from maestro_py.supervisor.up import UpOptions, run_up

    assert host is not None
    assert port is not None
    # Before anything is started: a child that refuses its settings would be found out only then.
    given = {"transport": transport, "host": host, "port": port, "slots": slots, "config": config, "code": code}
    bootstrap.check(Settings.from_environment(**{name: value for name, value in given.items() if value is not None}))
    _warn_unless_loopback(host)
    options = UpOptions(
        data_directory=data_dir.expanduser().absolute(),
        migrate=migrate.upgrade,
        roll_call=RollCall,
        log_format=log_format,
        database_url=os.environ.get("MAESTRO_DATABASE_URL") or None,
        transport=transport,
        kafka=os.environ.get("MAESTRO_KAFKA") or None,
        host=host,
        port=port,
        metrics_port=metrics_port,
        engines=engines,
        workers=workers,
        slots=slots,
        config=config.absolute() if config else None,
        code=code.absolute() if code else None,
        environ=os.environ,
    )
    asyncio.run(run_up(options))


@app.command()
def engine() -> None:
    """Run an engine: the state machine of the instances in its partitions."""
    settings = _settings()
    import maestro_py.bootstrap as bootstrap

    bootstrap.run_engine(settings)


@app.command()
def api(host: Host = None, port: Port = None) -> None:
    """Run the REST API."""
    settings = _settings(host=host, port=port)
    import maestro_py.bootstrap as bootstrap

    if PARENT_FD not in os.environ:  # else `maestro up` has said it
        _warn_unless_loopback(settings.host)
    bootstrap.run_api(settings)


@app.command()
def worker(
    queues: Annotated[str | None, typer.Option(help="Comma-separated names of the queues to serve.")] = None,
    slots: Slots = None,
    config: Config = None,
    code: Code = None,
) -> None:
    """Run a worker: it claims steps, runs them and reports."""
    settings = _settings(queues=queues, slots=slots, config=config, code=code)
    import maestro_py.bootstrap as bootstrap

    bootstrap.run_worker(settings)


@app.command()
def signal() -> None:
    """Run a signal service: it matches signals with what waits for them."""
    settings = _settings()
    import maestro_py.bootstrap as bootstrap

    bootstrap.run_signal(settings)


@db.command("upgrade")
def db_upgrade(
    database_url: DatabaseUrl, revision: Annotated[str, typer.Argument(help="Or a revision.")] = "head"
) -> None:
    """Bring the schema up to the newest revision."""
    from maestro_py.storage import migrate

    migrate.upgrade(database_url, revision)
    typer.echo(f"the database is at revision {migrate.current(database_url)}")


@db.command("downgrade")
def db_downgrade(
    database_url: DatabaseUrl, revision: Annotated[str, typer.Argument(help="A revision, or base: nothing left.")]
) -> None:
    """Bring the schema down to a revision; what newer revisions store is lost."""
    from maestro_py.storage import migrate

    migrate.downgrade(database_url, revision)
    typer.echo(f"the database is at revision {migrate.current(database_url) or 'none'}")


@topics.command("create")
def topics_create(
    kafka: Annotated[str | None, typer.Option(help="Bootstrap servers, host:port[,host:port].")] = None,
    queues: Annotated[str | None, typer.Option(help="Comma-separated names of queues that get a topic, too.")] = None,
    replication: Annotated[int | None, typer.Option(help="Copies of each topic; 0 leaves it to the cluster.")] = None,
) -> None:
    """Create the topics that are missing, and give those that have too few partitions more."""
    settings = _settings(kafka=kafka, queues=queues, kafka_replication=replication)
    import maestro_py.bootstrap as bootstrap

    for name, partitions in sorted(asyncio.run(bootstrap.create_topics(settings)).items()):
        typer.echo(f"{name} ({partitions} partition{'' if partitions == 1 else 's'})")


@app.command()
def push(
    file: Annotated[typer.FileBinaryRead, typer.Argument(help="The definition: JSON, with comments if you like.")],
    as_json: Annotated[bool, typer.Option("--json", help="Show the whole answer.")] = False,
    url: Url = DEFAULT_URL,
    user: User = None,
) -> None:
    """Store a workflow definition as a new version."""
    yaml = file.name.endswith((".yaml", ".yml"))
    with client_of(url, user) as client:
        pushed = client.push(file.read(), "application/yaml" if yaml else "application/json")
    if as_json:
        typer.echo(json.dumps(pushed, indent=2, ensure_ascii=False))
        return
    definition = pushed["workflow_definition"]
    metadata = definition["metadata"]
    active = "active" if definition.get("is_active") else "not active"
    typer.echo(f"{metadata['workflow_id']} version {metadata['workflow_version_id']} ({active})")


app.add_typer(runs)  # start, stop, kill, activate, deactivate
app.add_typer(views)  # status, logs


@app.command()
def announce(
    name: str,
    params: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...",
            help="Its parameters.  Digits are a whole number, in quotes a text: 'day=\"20261124\"'.",
        ),
    ] = None,
    request_id: Annotated[
        str | None, typer.Option(help="The same one is refused a second time; else a fresh one.")
    ] = None,
    url: Url = DEFAULT_URL,
    user: User = None,
) -> None:
    """Announce a signal."""
    values = {key: signal_param(text) for key, text in split_pairs(params or ()).items()}
    with client_of(url, user) as client:
        announced = client.announce(name, values, request_id or str(uuid.uuid4()))
    typer.echo(f"{name} number {announced.get('seq_id')}")


@app.command("eval")
def evaluate(
    expression: str,
    params: Annotated[
        list[str] | None, typer.Option("--param", "-p", metavar="NAME=VALUE", help="A parameter; JSON, or else a text.")
    ] = None,
    url: Url = DEFAULT_URL,
    user: User = None,
) -> None:
    """Try an expression, with a tenth of what a workflow may use."""
    values = {name: plain_value(text) for name, text in split_pairs(params or ()).items()}
    with client_of(url, user) as client:
        answer = client.evaluate(expression, values)
    typer.echo(json.dumps(answer.get("result"), ensure_ascii=False))


@dead_letter.command("list")
def dead_letter_list(url: Url = DEFAULT_URL, user: User = None) -> None:
    """List them, the oldest first."""
    with client_of(url, user) as client:
        letters = client.dead_letters()
    if letters:
        Console().print(render.dead_letters_table(letters))
    else:
        typer.echo("there are none")


@dead_letter.command("retry")
def dead_letter_retry(
    dead_letter_id: Annotated[int | None, typer.Argument(metavar="[ID]", help="Without it: all of them.")] = None,
    url: Url = DEFAULT_URL,
    user: User = None,
) -> None:
    """Put one, and what waits behind it, back to the engine."""
    with client_of(url, user) as client:
        ids = [dead_letter_id] if dead_letter_id is not None else [letter["id"] for letter in client.dead_letters()]
        if not ids:
            typer.echo("there are none")
        for number in ids:
            client.retry_dead_letter(number)
            typer.echo(f"{number} is put back")


def _settings(**options: object) -> Settings:
    """Return the settings of a server process, which from now on ends with its parent."""
    from maestro_py.settings import Settings

    watch_parent(os.environ)
    return Settings.from_environment(**{name: value for name, value in options.items() if value is not None})


def _warn_unless_loopback(host: str) -> None:
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        typer.secho(
            f"WARNING: the API listens on {host} and authentication is off:"
            " whoever reaches the port can run programs on the workers.",
            err=True,
            fg="red",
            bold=True,
        )
