"""Local steps may run for two thirds of the lease after the newest answered beat."""

from __future__ import annotations

from maestro_py.testing.waiting import wait_until
from maestro_py.workers.lease import LeaseKeeper, allowed_ms
from tests.worker_rig import SteadyBeat


def test_time_runs_from_the_newest_answered_beat() -> None:
    """Two thirds of 3,000 ms are 2,000; a beat answered 500 ms ago leaves 1,500."""
    assert 1_500 == allowed_ms(500, server_away=False, lease_ms=3_000)


def test_after_two_thirds_nothing_is_left() -> None:
    """A third of the lease remains to kill the steps before anybody else may start them."""
    assert allowed_ms(2_001, server_away=False, lease_ms=3_000) < 0


def test_a_server_that_is_away_counts_towards_no_lease() -> None:
    """However long ago the newest answer was."""
    assert 2_000 == allowed_ms(50_000, server_away=True, lease_ms=3_000)


def test_the_lease_is_passed_on_by_a_thread_of_its_own() -> None:
    """The guard hears of it although nobody runs an event loop here."""
    beat, renewals = SteadyBeat(), list[int]()
    beat.answered_ms_ago = 500
    keeper = LeaseKeeper(beat, 3_000, renewals.append)
    keeper.start()
    wait_until(lambda: renewals)
    keeper.stop()

    assert 1_500 == renewals[0]
    assert not keeper.is_over
