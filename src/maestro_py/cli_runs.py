"""The client commands that start and end runs, and those that say whether triggers may."""

from __future__ import annotations

import re
import time
import uuid
from typing import Annotated, Any, Final

import typer

from maestro_py.cli_batch import Batch
from maestro_py.cli_options import Url, User, client_of, user_name
from maestro_py.cli_values import run_param, split_pairs, undeclared_notes
from maestro_py.client import DEFAULT_URL, MaestroClient

_POLL_SECONDS: Final = 0.5
_ENDED: Final = {"SUCCEEDED", "FAILED", "STOPPED", "TIMED_OUT"}
_END_OF: Final = {"stop": "STOPPED", "kill": "FAILED"}
_WORDS: Final = {
    "CREATED": "created",
    "DUPLICATED": "known by their request ids",
    "STOPPED": "stopped by the run strategy",
    "failed": "failed",
}

runs = typer.Typer()

Version = Annotated[str, typer.Option(help="A number, active, latest, or default.")]
Instance = Annotated[int | None, typer.Argument(help="Without it: every unfinished instance.")]


@runs.command()
def start(
    workflow: str,
    params: Annotated[
        list[str] | None, typer.Option("--param", "-p", metavar="NAME=VALUE", help="A workflow parameter.")
    ] = None,
    version: Version = "default",
    request_id: Annotated[
        uuid.UUID | None, typer.Option(help="The same one starts nothing a second time; else a fresh one.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until it ends; the status is 1 unless it succeeds.")] = False,
    batch: Annotated[
        typer.FileText | None,
        typer.Option(help='JSON lines, each one start: {"run_params": {…}, "request_id": …}; - is the standard input.'),
    ] = None,
    url: Url = DEFAULT_URL,
    user: User = None,
) -> None:
    """Start an instance of a workflow, or one for each line of a file."""
    with client_of(url, user) as client:
        if batch is not None:
            if params or request_id or wait:
                raise typer.BadParameter("goes with none of --param, --request-id and --wait", param_hint="--batch")
            _start_batch(client, workflow, version, batch)
            return
        texts = split_pairs(params or ())
        declared: dict[str, Any] = {}
        if texts:
            declared = client.definition(workflow, version).get("workflow", {}).get("params") or {}
        run_params = {key: run_param(key, text, declared.get(key)) for key, text in texts.items()}
        for note in undeclared_notes(workflow, texts, declared):
            typer.echo(note, err=True)
        started = client.start(workflow, version, run_params, str(request_id or uuid.uuid4()), user_name(user))
        instance = started.get("workflow_instance_id")
        typer.echo(f"{workflow} instance {instance}: {started['status']}" if instance else started["status"])
        if wait and instance:
            _wait_for(client, workflow, int(instance), started["status"])


@runs.command()
def stop(workflow: str, instance: Instance = None, url: Url = DEFAULT_URL, user: User = None) -> None:
    """End an instance as STOPPED, or every unfinished one of a workflow."""
    _end("stop", workflow, instance, url, user)


@runs.command()
def kill(workflow: str, instance: Instance = None, url: Url = DEFAULT_URL, user: User = None) -> None:
    """End an instance as FAILED, or every unfinished one of a workflow."""
    _end("kill", workflow, instance, url, user)


@runs.command()
def activate(
    workflow: str,
    version: Annotated[str, typer.Argument(help="A number, or latest.")] = "latest",
    url: Url = DEFAULT_URL,
    user: User = None,
) -> None:
    """Have triggers start a version of a workflow from now on."""
    with client_of(url, user) as client:
        activated = client.activate(workflow, version)
    typer.echo(f"{workflow} version {activated['workflow_version_id']} is active")


@runs.command()
def deactivate(workflow: str, url: Url = DEFAULT_URL, user: User = None) -> None:
    """Have no trigger start a workflow any more; what runs or waits goes on."""
    with client_of(url, user) as client:
        client.deactivate(workflow)
    typer.echo(f"{workflow} has no active version")


def _end(action: str, workflow: str, instance: int | None, url: str, user: str | None) -> None:
    with client_of(url, user) as client:
        if instance is None:
            typer.echo(f"{workflow}: {_all_ended(action, client.end_all(action, workflow).get('message', ''))}")
            return
        ended = client.end(action, workflow, instance)
    status = ended["workflow_instance_status"]
    if not ended["completed"]:
        said = f"; the {action} is accepted, and it ends as soon as its steps have"
    else:
        said = "" if status == _END_OF[action] else f"; the {action} came too late"
    typer.echo(f"{workflow} instance {instance}: {status}{said}")


def _all_ended(action: str, message: str) -> str:
    """Return in our words what the server says of the instances of a workflow, or else its own."""
    counts = re.findall(r"\[(\d+)\]", message)
    if len(counts) != 2:
        return message
    queued, running = counts
    said = f"{queued} queued instances {_END_OF[action]}, {running} running"
    return said if running == "0" else f"{said}; the {action} is accepted, and they end as soon as their steps have"


def _start_batch(client: MaestroClient, workflow: str, version: str, lines: typer.FileText) -> None:
    batch = Batch(client, workflow, version, lambda problem: typer.secho(problem, err=True, fg="red"))
    try:
        batch.start(lines)
    finally:
        counts = (f"{batch.outcomes[name]} {word}" for name, word in _WORDS.items() if batch.outcomes[name])
        typer.echo(f"{workflow}: {', '.join(counts) or 'nothing to start'}")
    if batch.outcomes["failed"]:
        raise typer.Exit(1)


def _wait_for(client: MaestroClient, workflow: str, instance: int, seen: str) -> None:
    """Say each status that comes after *seen*, until the end."""
    while (now := str(client.run(workflow, instance)["status"])) not in _ENDED:
        if now != seen:
            typer.echo(now)
            seen = now
        time.sleep(_POLL_SECONDS)
    typer.echo(now)
    if now != "SUCCEEDED":
        raise typer.Exit(1)
