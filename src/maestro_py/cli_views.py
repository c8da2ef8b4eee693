"""The client commands that look at workflows and runs: their status, their steps and iterations, their logs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from maestro_py import cli_render as render
from maestro_py.cli_options import Url, User, client_of
from maestro_py.client import DEFAULT_URL, MaestroClient, ServerRefused, elements

_POLL_SECONDS: Final = 0.5
#: Iterations of a loop that are listed.
_LISTED: Final = 20
_NOT_FOUND: Final = 404

Json = dict[str, Any]

views = typer.Typer()

Iteration = Annotated[
    str | None,
    typer.Option(metavar="N[-N…]", help="Of the loop around the step; of nested loops 3-12."),
]


@views.command()
def status(
    workflow: Annotated[str | None, typer.Argument(help="Without it: all workflows.")] = None,
    instance: Annotated[int | None, typer.Argument(help="Without it: the newest instances.")] = None,
    step: Annotated[str | None, typer.Argument(help="Without it: all steps; of a loop its newest iterations.")] = None,
    iteration: Iteration = None,
    only: Annotated[str | None, typer.Option(help="Of a loop only iterations of this status, as FAILED.")] = None,
    url: Url = DEFAULT_URL,
    user: User = None,
) -> None:
    """Show workflows with their latest runs, the instances of one, its steps, or the iterations of a loop."""
    console = Console(soft_wrap=False)
    with client_of(url, user) as client:
        if workflow is None:
            console.print(render.workflows_table(elements(client.workflows())))
        elif instance is None:
            _print_workflow(console, client, workflow)
        elif step is None and iteration is None:
            _print_run(console, client, (workflow, instance), render.Place(workflow, instance))
        elif iteration is None:
            assert step is not None
            place = render.Place(workflow, instance)
            _print_step(console, client, client.attempt(workflow, instance, step), place, only)
        else:
            step = step or _only_loop(client, workflow, instance, depth=iteration.count("-"))
            _print_iteration(console, client, render.Place(workflow, instance, iteration), step, only)


@views.command()
def logs(
    workflow: str,
    instance: int,
    step: str,
    iteration: Iteration = None,
    attempt: Annotated[str, typer.Option(help="A number, or latest.")] = "latest",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until the step ends.")] = False,
    url: Url = DEFAULT_URL,
    user: User = None,
) -> None:
    """Show what a step printed."""
    with client_of(url, user) as client:
        run = (workflow, instance)
        if iteration is not None:
            run = _run_of(client.iteration(workflow, instance, step, iteration))
        shown = client.attempt(*run, step, attempt)
        if inner := render.inner_step(shown):
            within = f"{iteration}-1" if iteration else "1"
            command = f"maestro logs {workflow} {instance} {inner} --iteration {within}"
            typer.echo(f"'{step}' is a loop; the steps in it have logs, as  {command}", err=True)
        number = str(shown["step_attempt_id"])
        after = 0
        while True:
            now = client.attempt(*run, step, number)
            # In this order: what was written before the step ended is in the chunks that we ask for after.
            while chunks := client.log(*run, step, number, after=after).get("chunks"):
                for chunk in chunks:
                    sys.stdout.write(chunk["text"])
                    after = chunk["seq"]
            sys.stdout.flush()
            if not follow or (now.get("runtime_state") or {}).get("end_time"):
                if coming := render.next_attempt(now):
                    typer.echo(f"attempt {number} of '{step}' failed; it is {coming}", err=True)
                elif not after and not inner:
                    state = (now.get("runtime_state") or {}).get("status")
                    typer.echo(f"'{step}' has printed nothing; it is {state}", err=True)
                return
            time.sleep(_POLL_SECONDS)


def _print_workflow(console: Console, client: MaestroClient, workflow: str) -> None:
    """Print the newest instances of a workflow, and what its triggers dropped."""
    if instances := elements(client.instances(workflow)):
        console.print(render.instances_table(instances))
    else:
        typer.echo(f"{workflow} has no instances yet")
    try:
        triggers = client.signal_triggers(workflow)
    except ServerRefused as refused:
        if refused.status != _NOT_FOUND:
            raise
        return  # The iterations of a loop are instances, too, but their workflow has no triggers.
    for trigger in triggers:
        if detail := render.dropped_detail(trigger):
            typer.echo(detail)


def _print_run(console: Console, client: MaestroClient, which: tuple[str, int], place: render.Place) -> None:
    run = client.run(*which)
    console.print(f"[bold]{place.workflow}[/bold] {render.place_name(place, run)}:", end=" ", highlight=False)
    console.print(render.status_text(run.get("status")), f"{render.took(run)}", highlight=False)
    if steps := client.steps(*which):
        render.print_steps(console, steps, place)
    if detail := render.run_detail(run):
        typer.echo(detail)


def _print_step(console: Console, client: MaestroClient, step: Json, place: render.Place, only: str | None) -> None:
    """Print one step, and of a loop its newest iterations."""
    render.print_steps(console, [step], place)
    if render.inner_step(step):
        run = (step["workflow_id"], step["workflow_instance_id"])
        found = client.iterations(*run, step["step_id"], first=_LISTED, status=only)
        console.print(render.iterations_table(found, place))


def _print_iteration(
    console: Console, client: MaestroClient, place: render.Place, step_id: str, only: str | None
) -> None:
    """Print a step in the iteration, or, if the step is the loop itself, all steps of the iteration."""
    assert place.iteration is not None
    found = client.iteration(place.workflow, place.instance, step_id, place.iteration)
    run = _run_of(found)
    if "leaf_step_instance_ref" in found:
        _print_step(console, client, client.attempt(*run, step_id), place, only)
    else:
        _print_run(console, client, run, place)


def _run_of(found: Json) -> tuple[str, int]:
    iteration = found["iteration"]
    return iteration["workflow_id"], iteration["workflow_instance_id"]


def _only_loop(client: MaestroClient, workflow: str, instance: int, depth: int) -> str:
    """Return the one loop of the run that stands in *depth* others; refuse if there is none, or a choice."""
    version = str(client.run(workflow, instance)["workflow_version_id"])
    steps = client.definition(workflow, version)["workflow"]["steps"]
    found = list(_loops(steps, depth))
    if len(found) == 1:
        return found[0]
    if found:
        raise typer.BadParameter(f"of which loop?  Name one: {', '.join(found)}", param_hint="--iteration")
    nested = f"{depth + 1} loops that stand in one another" if depth else "loop"
    raise typer.BadParameter(f"{workflow!r} has no {nested}", param_hint="--iteration")


def _loops(steps: list[Json], depth: int) -> Iterator[str]:
    for step in steps:
        loop: Mapping[str, Any] | None = step.get("foreach")
        if loop is None:
            continue
        if depth == 0:
            yield loop["id"]
        else:
            yield from _loops(loop["steps"], depth - 1)
