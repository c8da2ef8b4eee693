"""Announce and read signals over HTTP (specification 1.7 and 8.1)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from maestro_py.ports.transport import Address, HintKind
from tests.api_scene import NOW_MS, Scene, api_scene

SIGNALS = "/api/v3/signals"


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Scene]:
    async with api_scene(database_url) as scene:
        yield scene


async def test_a_signal_is_stored_with_its_payload_and_the_signal_service_is_woken(api: Scene) -> None:
    body = {"name": "db/table", "params": {"day": 20260101, "zone": "eu"}, "source": "unit test", "rows": [1, 2]}

    answer = await api.call("POST", SIGNALS, json=body)

    assert {
        **body,
        "seq_id": 1,
        "request_time": NOW_MS,
        "create_time": NOW_MS,
    } == {name: value for name, value in answer.items() if name != "instance_id"}
    assert [("db/table", 1)] == await api.rows("SELECT name, seq_id FROM signal_pending")
    assert [Address(HintKind.SIGNALS, "")] == api.transport.sent
    assert answer == await api.get(f"{SIGNALS}/db/table/instances/1")
    assert answer == await api.get(f"{SIGNALS}/db/table/instances/latest")


async def test_nobody_needs_to_say_who_announces(api: Scene) -> None:
    answer = await api.client.post(SIGNALS, json={"name": "ready"})

    assert 200 == answer.status_code, answer.text


async def test_the_same_signal_is_a_conflict_unless_another_request_id_says_it_is_another(api: Scene) -> None:
    signal = {"name": "ready", "params": {"day": 1}}
    await api.call("POST", SIGNALS, json=signal)

    # Payload and time do not tell signals apart.
    assert "CONFLICT" == (await api.call("POST", SIGNALS, 409, json={**signal, "note": "x"}))["status"]
    await api.call("POST", SIGNALS, json={**signal, "request_id": "second"})
    await api.call("POST", SIGNALS, 409, json={"name": "ready", "request_id": "second"})

    assert [(2,)] == await api.rows("SELECT count(*) FROM signal_instance")


async def test_signals_that_come_together_are_numbered_without_gaps_and_each_caller_is_answered(api: Scene) -> None:
    async def announce(number: int) -> int:
        answer = await api.client.post(SIGNALS, json={"name": "ready", "request_id": f"r{number % 80}"})
        return answer.status_code

    codes = await asyncio.gather(*(announce(number) for number in range(100)))

    assert {200: 80, 409: 20} == Counter(codes)
    assert [(80, 80)] == await api.rows("SELECT count(*), max(seq_id) FROM signal_instance")


async def test_a_signal_that_nobody_announced_is_not_found(api: Scene) -> None:
    await api.get(f"{SIGNALS}/ready/instances/latest", 404)
    await api.call("POST", SIGNALS, json={"name": "ready"})
    await api.get(f"{SIGNALS}/ready/instances/2", 404)
    await api.get(f"{SIGNALS}/ready/instances/first", 400)
