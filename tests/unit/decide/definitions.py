"""Draw definitions of any shape, and what becomes of each attempt of their steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st

from maestro_py.model.definition import Step, Workflow
from maestro_py.model.statuses import FailureMode, Outcome
from maestro_py.testing.builders import a_foreach, a_retry_policy, a_step, a_workflow
from tests.unit.decide.world import LOST, OVERDUE, Script

#: How a worker step may end, most of them well, so that some runs get far.
FATES: Final = ("DONE", "DONE", "DONE", LOST, OVERDUE, *(outcome.value for outcome in Outcome))
#: Those after which a run is either SUCCEEDED or FAILED, whatever the order.
FATES_INSIDE: Final = ("DONE", "DONE", "DONE", "DONE", LOST, "USER_ERROR", "FATAL_ERROR")
CALM: Final = (FailureMode.FAIL_AFTER_RUNNING, FailureMode.IGNORE_FAILURE)


class Play(NamedTuple):
    """A definition with what becomes of it."""

    workflow: Workflow
    fates: Mapping[str, Sequence[Sequence[str]]]  #: Step id to variants, by iteration; the last fate lasts.

    @property
    def script(self) -> Script:
        """Say what becomes of an attempt."""

        def script(step_id: str, path: tuple[int, ...], attempt: int) -> str:
            variants = self.fates[step_id]
            fates = variants[sum(path) % len(variants)]
            return fates[min(attempt, len(fates)) - 1]

        return script


@st.composite
def plays(
    draw: Callable[..., Any],
    *,
    most_steps: int = 7,
    loops: int = 0,
    modes: Sequence[FailureMode] = CALM,
    fates: Sequence[str] = FATES,
) -> Play:
    """
    Draw a workflow of up to *most_steps* steps.

    Args:
        draw: Of hypothesis.
        most_steps: At each level.
        loops: How deep foreach steps may be nested; 0 is none.
        modes: Failure modes that its steps may have.
        fates: What may become of an attempt.
    """
    told: dict[str, Sequence[Sequence[str]]] = {}
    steps = draw(_steps("s", most_steps, loops, tuple(modes), tuple(fates), told))
    return Play(a_workflow(*steps), told)


@st.composite
def _steps(
    draw: Callable[..., Any],
    prefix: str,
    most: int,
    loops: int,
    modes: tuple[FailureMode, ...],
    fates: tuple[str, ...],
    told: dict[str, Sequence[Sequence[str]]],
) -> list[Step]:
    count = draw(st.integers(1, most))
    steps = []
    for i in range(count):
        later = [f"{prefix}{j}" for j in range(i + 1, count)]
        conditions = draw(
            st.lists(st.sampled_from(["", "", "true", "true", "false"]), min_size=len(later), max_size=len(later))
        )
        then = {successor: condition for successor, condition in zip(later, conditions, strict=True) if condition}
        steps.append(draw(_step(f"{prefix}{i}", then, loops, modes, fates, told)))
    return steps


@st.composite
def _step(
    draw: Callable[..., Any],
    step_id: str,
    then: dict[str, str],
    loops: int,
    modes: tuple[FailureMode, ...],
    fates: tuple[str, ...],
    told: dict[str, Sequence[Sequence[str]]],
) -> Step:
    kinds = ["python"] * 5 + ["NoOp", "Sleep", "broken"] + ["foreach"] * (3 if loops else 0)
    kind = draw(st.sampled_from(kinds))
    mode = draw(st.sampled_from(modes))
    if kind == "foreach":
        body = draw(_steps(f"{step_id}_", 2, loops - 1, modes, fates, told))
        items = [*range(draw(st.integers(0, 5)))]
        return a_foreach(step_id, *body, items=items, concurrency=draw(st.integers(1, 3)), then=then, fails=mode)
    told[step_id] = draw(st.lists(st.lists(st.sampled_from(fates), min_size=1, max_size=3), min_size=1, max_size=3))
    limits = draw(st.tuples(*[st.integers(0, 2)] * 3))
    return a_step(
        step_id,
        "python" if kind == "broken" else kind,
        then=then,
        fails=mode,
        params={"broken": "${nowhere}"} if kind == "broken" else None,
        retries=a_retry_policy(error=limits[0], platform=limits[1], timeout=limits[2]),
    )
