"""Tables and lines that the command line shows.  Values in, something to print out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

Json = Mapping[str, Any]


class Place(NamedTuple):
    """Which run is looked at, in the words of whoever looks: an instance, or an iteration of loops in it."""

    workflow: str
    instance: int
    iteration: str | None = None  #: ``3``, or ``3-12`` of loops that stand in one another.

    def command(self, step_id: str) -> str:
        """Return the command that shows the step."""
        words = f"maestro status {self.workflow} {self.instance} {step_id}"
        return words if self.iteration is None else f"{words} --iteration {self.iteration}"


_GOOD: Final = {"SUCCEEDED", "SKIPPED", "COMPLETED_WITH_ERROR"}
_BAD: Final = {
    "FAILED",
    "TIMED_OUT",
    "STOPPED",
    "FATALLY_FAILED",
    "INTERNALLY_FAILED",
    "USER_FAILED",
    "PLATFORM_FAILED",
    "TIMEOUT_FAILED",
}
# Among the values of an iteration; its number says the same.
_COUNTS: Final = {"loop_index", "index"}
_FAILED_ITERATIONS: Final = ("FAILED", "TIMED_OUT")
_QUIET: Final = {"CREATED", "NOT_CREATED", "DISABLED", "UNSATISFIED"}

# Columns that are worth more than the width of others.
_WHOLE: Final = {"status", "started", "took"}
_ANY_WIDTH: Final = 100_000


def status_text(status: str | None) -> Text:
    """Return *status* in the colour of its meaning."""
    if not status:
        return Text("-", style="dim")
    style = "green" if status in _GOOD else "bold red" if status in _BAD else "dim" if status in _QUIET else "yellow"
    return Text(status, style=style)


def workflows_table(workflows: Iterable[Json]) -> Table:
    """Return one row for each workflow: its versions and its latest run."""
    table = _table("workflow", "version", "active", "latest run", "status", "started", "took")
    for workflow in workflows:
        run = workflow.get("latest_run") or workflow.get("latest_instance") or {}
        table.add_row(
            str(workflow.get("workflow_id", "")),
            _number(workflow.get("latest_version_id")),
            _number(workflow.get("active_version_id")),
            run_name(run),
            status_text(run.get("status")),
            moment(run.get("start_time") or run.get("create_time")),
            took(run),
        )
    return table


def instances_table(instances: Iterable[Json]) -> Table:
    """Return one row for each instance of one workflow."""
    table = _table("instance", "version", "status", "initiator", "started", "took")
    for instance in instances:
        initiator = instance.get("initiator") or {}
        table.add_row(
            run_name(instance),
            _number(instance.get("workflow_version_id")),
            status_text(instance.get("status")),
            str(initiator.get("type", "-")),
            moment(instance.get("start_time") or instance.get("create_time")),
            took(instance),
        )
    return table


def print_steps(console: Console, steps: Sequence[Json], place: Place) -> None:
    """Print the steps of the run at *place*; details that leave the table no room stand below it, each on its own."""
    table = steps_table(steps, place)
    wanted = Measurement.get(console, console.options.update(max_width=_ANY_WIDTH), table).maximum
    if wanted <= console.width:
        console.print(table)
        return
    console.print(steps_table(steps, place, details=False))
    for step in steps:
        if detail := step_detail(step, place):
            console.print(Text(f"{step.get('step_id', '')}: {detail}"), soft_wrap=True)


def steps_table(steps: Iterable[Json], place: Place, *, details: bool = True) -> Table:
    """Return one row for each step of one run, with or without what its timeline says."""
    table = _table("step", "type", "status", "attempt", "started", "took", *(("detail",) if details else ()))
    for step in steps:
        state = step.get("runtime_state") or {}
        detail = (Text(step_detail(step, place), overflow="fold"),) if details else ()
        table.add_row(
            str(step.get("step_id", "")),
            step_type(step),
            status_text(state.get("status")),
            _number(step.get("step_attempt_id")),
            moment(state.get("start_time") or state.get("create_time")),
            took(state),
            *detail,
        )
    return table


def iterations_table(iterations: Iterable[Json], place: Place) -> Table:
    """Return one row for each iteration of a loop of the run at *place*."""
    table = _table("iteration", "status", "started", "took", "values")
    for iteration in iterations:
        number = iteration.get("workflow_instance_id")
        values = ", ".join(
            f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
            for name, value in (iteration.get("loop_values") or {}).items()
            if name not in _COUNTS
        )
        table.add_row(
            f"{number}" if place.iteration is None else f"{place.iteration}-{number}",
            status_text(iteration.get("status")),
            moment(iteration.get("start_time") or iteration.get("create_time")),
            took(iteration),
            Text(values, overflow="ellipsis", no_wrap=True),
        )
    return table


def dead_letters_table(letters: Iterable[Json]) -> Table:
    """Return one row for each event that could not be applied."""
    table = _table("id", "workflow", "instance", "since", "reason")
    for letter in letters:
        table.add_row(
            _number(letter.get("id")),
            str(letter.get("workflow_id") or "-"),
            _number(letter.get("workflow_instance_id")),
            moment(letter.get("create_time")),
            Text(str(letter.get("reason", "")), overflow="fold"),
        )
    return table


def place_name(place: Place, run: Json) -> str:
    """Return which instance *run*, the one at *place*, is of its workflow, or which iteration."""
    if place.iteration is None:
        return f"instance {run_name(run)}"
    return f"instance {place.instance}, iteration {place.iteration}"


def run_name(run: Json) -> str:
    """Return the instance number of *run*, with the run behind it if it was restarted."""
    instance, number = run.get("workflow_instance_id"), run.get("workflow_run_id")
    if instance is None:
        return "-"
    return f"{instance}" if number in (None, 1) else f"{instance} (run {number})"


def step_type(step: Json) -> str:
    """Return the type of *step*; the definition says it, the composite ones by the word that wraps them."""
    definition = step.get("definition") or {}
    kind, inner = next(iter(definition.items()), ("", {}))
    if len(definition) == 1 and isinstance(inner, Mapping):
        return str(inner.get("type", kind)) if kind == "step" else str(kind)
    return str(definition.get("type", "-"))


def next_attempt(step: Json) -> str:
    """Return when the step is tried again, and which of how many retries that is; empty if it is not."""
    coming = step.get("next_attempt")
    if not coming:
        return ""
    of_how_many = f" of {coming['retry_limit']}" if "retry_limit" in coming else ""
    return f"tried again at {moment(coming.get('time'))} (retry {coming.get('retry')}{of_how_many})"


def step_detail(step: Json, place: Place) -> str:
    """
    Return what a person wants to know of a step beside its status.

    That is how far a foreach is and where to see what failed in it; of a step that failed for now, when it is tried
    again and why it failed; else the newest line of its timeline.
    """
    foreach = (step.get("artifacts") or {}).get("maestro_foreach")
    if foreach:
        stats = (foreach.get("foreach_overview") or {}).get("stats") or {}
        ended = sum(count for status, count in stats.items() if status in _GOOD | _BAD)
        failed = sum(stats.get(status) or 0 for status in _FAILED_ITERATIONS)
        far = f"{ended} of {foreach.get('total_loop_count', '?')} iterations"
        if not failed:
            return far
        status = next(status for status in _FAILED_ITERATIONS if stats.get(status))
        return f"{far}, {failed} failed: {place.command(str(step.get('step_id')))} --only {status}"
    # The service tells last of the next attempt, in its own time zone; we do so in the reader's.
    said = [str(message) for event in step.get("timeline") or () if (message := event.get("message"))]
    if coming := next_attempt(step):
        return ": ".join([coming, *said[-2:-1]])
    return said[-1] if said else ""


def run_detail(run: Json) -> str:
    """Return the newest line of a run's timeline: who ended it, or why it could not begin."""
    said = [str(message) for event in run.get("timeline") or () if (message := event.get("message"))]
    return said[-1] if said else ""


def dropped_detail(trigger: Json) -> str:
    """Return how many signals of a trigger started nothing, and why the latest did not; empty if there are none."""
    dropped: Mapping[str, int] = trigger.get("dropped") or {}
    if not dropped:
        return ""
    counts = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
    latest = next(iter(trigger.get("latest_dropped") or ()), None)
    said = f"; the latest, number {latest['signal_id']}: {latest['message']}" if latest else ""
    return f"signals {trigger.get('signal')} that started nothing: {counts}{said}"


def inner_step(step: Json) -> str | None:
    """Return the first step inside of *step*; None if it is no loop."""
    loop = (step.get("definition") or {}).get("foreach")
    if not loop:
        return None
    return str(next(inner["id"] for wrapped in loop["steps"] for inner in wrapped.values()))


def moment(epoch_ms: int | None) -> str:
    """Return *epoch_ms* in the local time zone, to the second."""
    if not epoch_ms:
        return "-"
    return datetime.fromtimestamp(epoch_ms / 1000, tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def took(times: Json) -> str:
    """Return how long something ran, or has run so far."""
    start = times.get("start_time")
    if not start:
        return "-"
    end = times.get("end_time") or datetime.now(tz=UTC).timestamp() * 1000
    seconds = max(0.0, (end - start) / 1000)
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=column in _WHOLE)
    return table


def _number(value: object) -> str:
    return "-" if value is None else str(value)
