"""Decide whether what the warehouse holds can be right, before anybody is told of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from maestro_py.step import FatalError

_DAYS_OF_2013: Final = 365
#: Of the flights, at most this part may be without weather.
_MOST_WITHOUT_WEATHER: Final = 0.02


def check(facts: Mapping[str, int], extracted: Mapping[str, int], least_flights: int) -> dict[str, Any]:
    """Return what was looked at; a broken rule ends the workflow, as no retry would mend it."""
    broken = list(broken_rules(facts, extracted, least_flights))
    for rule in broken:
        print(f"broken: {rule}")
    if broken:
        raise FatalError(f"{len(broken)} rules are broken: {'; '.join(broken)}")
    print(f"all rules hold for {facts['flights']:,} flights")
    return {"flights": facts["flights"]}


def broken_rules(facts: Mapping[str, int], extracted: Mapping[str, int], least_flights: int) -> Iterator[str]:
    """Yield each rule that *facts*, the row of ``measure.sql``, break."""
    if facts["flights"] != extracted["flights"]:
        yield f"{extracted['flights']} flights were extracted and {facts['flights']} loaded"
    if facts["flights"] < least_flights:
        yield f"{facts['flights']} flights are fewer than {least_flights}"
    if facts["flights_by_day"] != facts["flights"]:
        yield f"the days have {facts['flights_by_day']} flights together, not {facts['flights']}"
    if facts["days"] != _DAYS_OF_2013:
        yield f"{facts['days']} days have flights, not {_DAYS_OF_2013}"
    if facts["unknown_carriers"]:
        yield f"{facts['unknown_carriers']} flights are of unknown airlines"
    if facts["impossible_days"]:
        yield f"on {facts['impossible_days']} days more flights were late or cancelled than there were"
    if facts["without_weather"] > facts["flights"] * _MOST_WITHOUT_WEATHER:
        yield f"{facts['without_weather']} flights are without weather"
