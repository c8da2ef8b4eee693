"""Promise 6: a message lost, doubled or reordered changes nothing but the time it takes."""

from __future__ import annotations

import pytest

from tests.everything import SIGNALS, assert_everything_ended_as_it_should, start_everything
from tests.system import System

HALF_LOST = "seed=2,drop=0.5,double=0.5,delay_ms=200"
ALL_DOUBLED_AND_LATE = "seed=3,drop=0.1,double=1,delay_ms=1000"
#: Whatever would have carried them.
ALL_LOST = "seed=4,drop=1"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("transport", "faults"),
    [
        ("kafka", "seed=1,drop=0,double=0,delay_ms=0"),
        ("kafka", HALF_LOST),
        ("kafka", ALL_DOUBLED_AND_LATE),
        ("postgres", HALF_LOST),
        ("postgres", ALL_DOUBLED_AND_LATE),
        ("postgres", ALL_LOST),
    ],
)
def test_the_final_state_is_the_same_whatever_becomes_of_hints(system: System, faults: str) -> None:
    """Promise 6: with none, half and all of the hints dropped, doubled and reordered: only slower."""
    for kind in ("api", "engine", "engine", "worker", "worker", "signal"):
        system.start(kind, transport_faults=faults, sweep_interval_ms=500)
    system.wait_ready(apis=1, engines=2, workers=2, signals=1)
    start_everything(system)
    for _ in range(SIGNALS):
        system.announce("ready")

    assert_everything_ended_as_it_should(system, within_seconds=35)
