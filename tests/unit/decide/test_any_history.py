"""Whatever the definition and whatever happens in whatever order: a run ends, and ends as it must."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maestro_py.model.events import Event, RunOverdue, StopRequested
from maestro_py.model.statuses import FailureMode, InstanceStatus, StepStatus
from maestro_py.testing.builders import RUN_UID
from tests.unit.decide.definitions import CALM, FATES_INSIDE, Play, plays
from tests.unit.decide.engine_in_memory import PARTITIONS
from tests.unit.decide.oracles import Naive, end_of
from tests.unit.decide.world import World

ANY_MODE = tuple(FailureMode)
SEEDS = st.integers(0, 2**32)
OWN = st.sets(st.integers(0, PARTITIONS - 1))
REQUESTS = st.lists(
    st.sampled_from(
        [
            StopRequested(InstanceStatus.STOPPED),
            StopRequested(InstanceStatus.FAILED),
            StopRequested(InstanceStatus.TIMED_OUT),
            RunOverdue(),
        ]
    ),
    max_size=2,
)


def histories(examples: int) -> settings:
    """Return how many plays are drawn; a play takes as long as it takes."""
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


@histories(250)
@given(plays(), SEEDS)
def test_the_order_of_events_does_not_change_how_a_run_ends(play: Play, seed: int) -> None:
    """Where no failure stops other steps, the definition and the fates of the attempts say everything."""
    world = World(play.workflow, play.script, seed).run_to_end()
    expected = end_of(play.workflow.steps, play.script)

    assert expected.histories == world.histories()
    assert expected.status == world.store.runs[RUN_UID].status


@histories(300)
@given(plays(modes=ANY_MODE), SEEDS, REQUESTS)
def test_every_attempt_ends_as_the_events_before_it_say(play: Play, seed: int, requests: Sequence[Event]) -> None:
    """Failures that stop others, stops, kills and timeouts at any moment: held against a naive reading."""
    world = World(play.workflow, play.script, seed, requests=requests).run_to_end()
    expected = Naive(play.workflow.steps).end(world.history)

    assert expected.histories == world.histories()
    assert expected.status == world.store.runs[RUN_UID].status


@histories(120)
@given(plays(most_steps=3, loops=2, modes=CALM, fates=FATES_INSIDE), SEEDS, OWN)
def test_loops_in_loops_end_as_their_definition_says(play: Play, seed: int, own: Collection[int]) -> None:
    """Also where a batch goes on with parents and iterations of its own partitions at once."""
    world = World(play.workflow, play.script, seed, own=own).run_to_end()
    expected = end_of(play.workflow.steps, play.script)

    assert expected.histories == world.histories()
    assert expected.status == world.store.runs[RUN_UID].status
    for row in world.store.runs.values():
        if row.status == "SUCCEEDED":
            assert_each_iteration_ran_once(world, row.run_uid)


@histories(150)
@given(plays(most_steps=3, loops=2, modes=ANY_MODE), SEEDS, REQUESTS, OWN)
def test_loops_end_wholly_whenever_and_however_they_are_stopped(
    play: Play, seed: int, requests: Sequence[Event], own: Collection[int]
) -> None:
    world = World(play.workflow, play.script, seed, requests=requests, deadlines=True, own=own).run_to_end()

    assert all(InstanceStatus(row.status).is_terminal for row in world.store.runs.values())
    for attempt in world.store.attempts.values():
        status = StepStatus(attempt.status)
        assert status.is_terminal
        assert attempt.dispatch in (None, "REPORTED", "LOST", "REVOKED"), "nothing is left with a worker"
        if attempt.runtime is not None:
            rows = [r for r in world.store.runs.values() if (r.parent_run_uid, r.parent_step_id) == attempt.key[1:3]]
            counts = attempt.runtime["counts"]
            assert attempt.runtime["running"] == 0
            assert {*range(1, attempt.runtime["launched"] + 1)} == {row.instance_id for row in rows}
            assert counts == {status: sum(row.status == status for row in rows) for status in counts}


@histories(120)
@given(plays(most_steps=4, loops=1, modes=ANY_MODE), SEEDS, REQUESTS)
def test_a_run_made_anew_of_its_rows_has_the_same_future(play: Play, seed: int, requests: Sequence[Event]) -> None:
    """The same moves, once with all in memory and once loaded before every batch; nobody waits for a slot."""
    kept = World(play.workflow, play.script, seed, trouble=False, requests=requests, slots=1000)
    anew = World(play.workflow, play.script, seed, trouble=False, requests=requests, slots=1000, forgetful=True)
    kept.run_to_end()
    anew.run_to_end()

    assert kept.account() == anew.account()
    assert kept.history == anew.history


def assert_each_iteration_ran_once(world: World, run_uid: object) -> None:
    """The store refuses a second row of an iteration; here: none is missing and none is without its values."""
    for attempt in world.store.attempts.values():
        if attempt.key.run_uid == run_uid and attempt.runtime is not None and attempt.status == "SUCCEEDED":
            rows = [r for r in world.store.runs.values() if (r.parent_run_uid, r.parent_step_id) == attempt.key[1:3]]
            indexes = sorted(orjson.loads(row.loop_values or "")["loop_index"] for row in rows)
            assert [*range(attempt.runtime["total"])] == indexes
