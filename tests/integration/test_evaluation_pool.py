"""The pool evaluates in processes of its own, which end with whoever started them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from maestro_py.evaluation.member import answer_safely
from maestro_py.evaluation.pool import EvaluationPool
from maestro_py.params import Answer, Facts, TrialWork, decode_answer, encode_work
from maestro_py.ports.evaluator import EvaluationAborted, EvaluatorBusy
from maestro_py.testing.waiting import wait_until, wait_until_async

#: Some seconds of work.
LONG = "long t = 0; for (int i = 0; i < 900000; i += 1) { t += i; } t"


def work(expression: str, limits: dict[str, int] | None = None, **params: Any) -> bytes:
    return encode_work(TrialWork(expression, params, limits or {}, Facts(now_ms=1, seed="s")))


@pytest.fixture
async def pool() -> AsyncIterator[EvaluationPool]:
    made = EvaluationPool(os.environ, size=2)
    yield made
    await made.close()


async def answer_of(pool: EvaluationPool, document: bytes) -> Answer:
    return decode_answer(await pool.evaluate(document))


async def test_an_expression_is_evaluated_against_the_parameters_in_the_document(pool: EvaluationPool) -> None:
    answer = await answer_of(pool, work("n * 6", n=7))

    assert {"result": 42, "type": "LONG"} == answer.values()


async def test_a_wrong_expression_is_an_answer(pool: EvaluationPool) -> None:
    answer = await answer_of(pool, work("n.nonsense()", n=7))

    assert answer.error is not None
    assert "nonsense" in answer.error


async def test_what_is_no_document_is_answered_and_ends_nobody(pool: EvaluationPool) -> None:
    answer = await answer_of(pool, b"{")

    assert answer.error is not None
    assert answer.error.startswith("the expression could not be evaluated")
    assert 1 == (await answer_of(pool, work("1"))).values()["result"]
    assert 1 == len(pool.pids)


async def test_no_more_members_work_than_the_pool_has(pool: EvaluationPool) -> None:
    answers = await asyncio.gather(*(answer_of(pool, work(f"{i} + 1")) for i in range(20)))

    assert list(range(1, 21)) == [answer.values()["result"] for answer in answers]
    assert len(pool.pids) <= 2


async def test_a_member_that_is_killed_while_it_evaluates_is_replaced(pool: EvaluationPool) -> None:
    asked = asyncio.create_task(answer_of(pool, work(LONG)))
    (victim,) = await busy(pool)
    os.kill(victim, signal.SIGKILL)

    assert 404999550000 == (await asked).values()["result"]
    assert victim not in pool.pids


async def test_a_member_that_is_killed_while_it_is_idle_is_replaced(pool: EvaluationPool) -> None:
    await answer_of(pool, work("1"))
    (victim,) = pool.pids
    os.kill(victim, signal.SIGKILL)

    assert 2 == (await answer_of(pool, work("2"))).values()["result"]
    assert [victim] != pool.pids


async def test_a_document_whose_members_die_again_and_again_is_given_up(pool: EvaluationPool) -> None:
    asked = asyncio.create_task(answer_of(pool, work(LONG)))
    killed: set[int] = set()
    while not asked.done():
        for pid in set(pool.busy_pids) - killed:
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
        await asyncio.wait([asked], timeout=0.01)

    with pytest.raises(EvaluationAborted, match="ended 3 times"):
        await asked
    assert 3 == len(killed)


async def test_an_evaluation_that_takes_too_long_is_ended() -> None:
    pool = EvaluationPool(os.environ, size=1, wall_seconds=0.2)
    with pytest.raises(EvaluationAborted, match=r"longer than 0.2 seconds"):
        await pool.evaluate(work(LONG))
    await pool.close()

    assert [] == pool.pids


async def test_more_than_the_pool_lets_wait_are_sent_away() -> None:
    pool = EvaluationPool(os.environ, size=1, waiting_limit=1)
    asked = asyncio.create_task(answer_of(pool, work(LONG)))
    await busy(pool)
    with pytest.raises(EvaluatorBusy):
        await pool.evaluate(work("1"))
    await pool.close()

    with pytest.raises(EvaluatorBusy):
        await asked


async def test_members_know_none_of_our_settings() -> None:
    pool = EvaluationPool({**os.environ, "MAESTRO_DATABASE_URL": "postgresql://user:secret@host/db"}, size=1)
    await pool.evaluate(work("1"))
    (pid,) = pool.pids
    environment = Path(f"/proc/{pid}/environ").read_bytes()  # noqa: ASYNC240  # one page
    await pool.close()

    assert b"secret" not in environment


PARENT = """
import asyncio, os, sys
from maestro_py.evaluation.pool import EvaluationPool
sys.path.insert(0, os.getcwd())
from tests.integration.test_evaluation_pool import LONG, busy, work

async def main():
    pool = EvaluationPool(os.environ, size=1)
    task = asyncio.create_task(pool.evaluate(work(LONG)))
    print(*await busy(pool), flush=True)
    await task

asyncio.run(main())
"""


def test_members_end_with_a_parent_that_is_killed_while_they_evaluate() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        member = int(parent.stdout.readline())
        parent.kill()

    wait_until(lambda: not is_alive(member), within_seconds=5)


def test_our_own_mistakes_are_answers_too() -> None:
    answer = decode_answer(answer_safely(b'{"kind":"trial"}'))

    assert answer.error is not None


async def busy(pool: EvaluationPool) -> list[int]:
    """Return the processes that evaluate, as soon as there are any."""
    return await wait_until_async(lambda: pool.busy_pids, within_seconds=20)


def is_alive(pid: int) -> bool:
    with suppress(ProcessLookupError, FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False
