"""What CONTRIBUTING.md teaches works: its step type runs in a worker as it stands."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from maestro_py.model.statuses import Outcome
from maestro_py.testing.waiting import wait_until_async
from tests.worker_rig import running_worker
from tests.worker_rows import AttemptRows

ROOT = Path(__file__).parents[2]
_STEP_TYPE = re.compile(r'^ {3}```python\n( {3}"""The step type.*?)^ {3}```', re.DOTALL | re.MULTILINE)


async def test_its_step_type_runs(database_url: str, tmp_path: Path) -> None:
    [block] = _STEP_TYPE.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    module: dict[str, object] = {}
    exec(textwrap.dedent(block), module)
    make = module["TouchStep"]
    assert callable(make)
    rows = AttemptRows(database_url)
    key = rows.queue_one("touch", {"path": str(tmp_path / "made")})

    async with running_worker(database_url, step_types=[make()]):
        await wait_until_async(lambda: rows.reports(key))

    assert Outcome.DONE is rows.report(key).outcome
    assert (tmp_path / "made").exists()


def test_its_links_lead_somewhere() -> None:
    for paper in ("CONTRIBUTING.md", "docs/operations.md"):
        named = re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", (ROOT / paper).read_text(encoding="utf-8"))

        assert [] == [name for name in named if not (ROOT / paper).parent.joinpath(name).exists()]
