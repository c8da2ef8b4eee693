"""The README is true: its commands do what it says, its table is that of the settings, what it denies is refused."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from maestro_py.model.errors import DefinitionInvalid
from maestro_py.model.forms import read_push
from maestro_py.settings import Settings
from maestro_py.testing.waiting import wait_until

ROOT: Final = Path(__file__).parents[2]
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")

_BLOCK: Final = re.compile(r"<!-- test: (\w+) -->\n```sh\n(.*?)```", re.DOTALL)
_SETTING: Final = re.compile(r"^\| `MAESTRO_(\w+)` \| (?:`(.*?)` )?\|", re.MULTILINE)
#: What the API answers when it refuses.
_REFUSAL: Final = re.compile(r'"status":"(BAD_REQUEST|NOT_FOUND|CONFLICT|INTERNAL_ERROR|[A-Z_]*UNAVAILABLE)"')


def blocks(kind: str, port: int) -> list[str]:
    """Return the marked blocks as they stand; but for the port, which may be taken here."""
    return [text.replace("8080", str(port)) for found, text in _BLOCK.findall(README) if found == kind]


def environ_of_a_user(home: Path, port: int) -> dict[str, str]:
    """Return the environment of somebody who has just installed maestro."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAESTRO_")}
    return environ | {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}",
        "MAESTRO_URL": f"http://127.0.0.1:{port}",  # the default names port 8080
        "COLUMNS": "120",
    }


@contextmanager
def serving(home: Path, port: int) -> Iterator[dict[str, str]]:
    """Run what the README starts in the first terminal; yield the environment of the second."""
    environ = environ_of_a_user(home, port)
    [background] = blocks("background", port)
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {background}"], cwd=ROOT, env=environ, stdout=log, stderr=log
        )
    try:
        ready = f"http://127.0.0.1:{port}/readyz"
        wait_until(lambda: httpx2.get(ready).is_success, 90, seen=lambda: (home / "log").read_text())
        yield environ
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)


def test_its_commands_do_what_it_says(data_directory: Path) -> None:
    """Each marked block in order, in one shell, against a fresh data directory."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with serving(data_directory, port) as environ:
        script = "\necho\n".join(["set -eu", *blocks("run", port)])
        ran = subprocess.run(
            ["/bin/sh", "-c", script], cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=120
        )
        said = ran.stdout + ran.stderr

        assert 0 == ran.returncode, said
        assert not _REFUSAL.search(said), said
        assert '"workflow_id":"orders","workflow_version_id":1,"workflow_instance_id":1' in said
        assert '"loop_values":{"item":"wed"' in said
        assert "reported orders 1 [7,7,7]" in said
        assert "\ncounting tue of us\n" in said
        assert '"name":"orders_ready","seq_id":1' in said
        assert "hello instance 1: SUCCEEDED" in said
        assert "Ahoi and goodbye, from instance 1" in said
        assert "orders_ready number 2" in said
        assert "there are none" in said
        orders = f"http://127.0.0.1:{port}/api/v3/workflows/orders/instances?first=5"
        wait_until(lambda: '"workflow_instance_id":3' in httpx2.get(orders).text, 15)


def test_its_processes_on_terminals_of_their_own_are_a_system(
    tmp_path: Path, empty_database_url: str, kafka_servers: str, kafka_prefix: str
) -> None:
    """Connected by nothing but PostgreSQL and Kafka."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environ = environ_of_a_user(tmp_path, port) | {"MAESTRO_KAFKA_PREFIX": kafka_prefix}
    [before], [commands] = blocks("before", port), blocks("terminals", port)
    before = before.replace("postgresql://maestro:secret@db.example/maestro", f"'{empty_database_url}'")
    before = before.replace("kafka-1:9092,kafka-2:9092", kafka_servers)
    ran = subprocess.run(
        ["/bin/sh", "-ec", before], cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=120
    )
    assert 0 == ran.returncode, ran.stdout + ran.stderr
    exports = "\n".join(line for line in before.splitlines() if line.startswith("export "))

    with ExitStack() as stack:
        log = stack.enter_context((tmp_path / "log").open("wb"))
        for command in commands.splitlines():
            script = f"{exports}\nexec {command}"
            terminal = subprocess.Popen(["/bin/sh", "-c", script], cwd=ROOT, env=environ, stdout=log, stderr=log)
            stack.callback(terminal.wait, 60)
            stack.callback(terminal.terminate)
        ready = f"http://127.0.0.1:{port}/readyz"
        wait_until(lambda: httpx2.get(ready).is_success, 90, seen=lambda: (tmp_path / "log").read_text())
        script = "maestro push examples/hello/workflow.jsonc && maestro start hello --wait"
        ran = subprocess.run(
            ["/bin/sh", "-ec", script], cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=120
        )
        assert ran.stdout.endswith("\nSUCCEEDED\n"), ran.stdout + ran.stderr + (tmp_path / "log").read_text()


def test_its_table_has_every_setting_with_its_default() -> None:
    expected = {name.upper(): _shown(field.default) for name, field in Settings.model_fields.items()}

    assert expected == dict(_SETTING.findall(README))


def _shown(default: object) -> str:
    if isinstance(default, tuple):
        return ",".join(default)
    return "" if default is None else str(default)


def a_workflow(step: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"workflow_id": "wf", "steps": [{"id": "a", "type": "NoOp"}, {"id": "b", **step}], **fields}


def a_native_workflow(step: dict[str, Any], **fields: Any) -> dict[str, Any]:
    typed = {"step": {"id": "a", "type": "NoOp", **step}}
    return {"properties": {"owner": "ana"}, "workflow": {"id": "wf", "steps": [typed], **fields}}


NOOP = {"type": "NoOp"}
#: What the README says is refused, and a definition that asks for it.
REFUSED: Final[dict[str, dict[str, Any]]] = {
    "`while`": a_workflow({"condition": "n < 3", "steps": [{"id": "c", "type": "NoOp"}]}),
    "subworkflow steps": a_workflow({"workflow": "other"}),
    "signals that steps wait for": a_workflow({**NOOP, "wait_for": ["ready"]}),
    "or send": a_native_workflow({"signal_outputs": [{"name": "done"}]}),
    "triggers by time": a_workflow(NOOP, trigger={"type": "cron", "cron": "0 8 * * *"}),
    "or by several signals": a_native_workflow({}, signal_triggers=[{"definitions": {"one": {}, "two": {}}}]),
    "concurrency limits over steps": a_workflow(NOOP, instance_step_concurrency=5),
    "job templates": a_native_workflow({"type": "Http", "sub_type": "mine"}),
    "LAST_ONLY": a_workflow(NOOP, run_strategy="LAST_ONLY"),
    "STRICT_SEQUENTIAL": a_workflow(NOOP, run_strategy="STRICT_SEQUENTIAL"),
    "strictly ordered loops": a_workflow({"items": [1], "steps": [{"id": "c", **NOOP}], "strict_ordering": True}),
}


@pytest.mark.parametrize("phrase", REFUSED)
def test_what_it_says_is_not_there_yet_is_refused_by_name(phrase: str) -> None:
    """Whoever adds one of these crosses it off the list."""
    [listed] = re.findall(r"\*\*Not there yet, and refused by name\*\*.*?Of the step types", README, re.DOTALL)
    assert phrase in " ".join(listed.split())

    with pytest.raises(DefinitionInvalid) as refusal:
        read_push(json.dumps(REFUSED[phrase]).encode(), user="ana", max_steps=100)
    assert any("not supported yet" in error.message for error in refusal.value.errors)


def test_it_knows_which_step_types_run_by_themselves() -> None:
    """`NoOp` and `Sleep` are the engine's own; `bench_noop` is for benchmarks."""
    [native, mapped] = re.findall(r"Of the step types,(.*?)run by themselves;(.*?)are known", README, re.DOTALL)[0]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    installed = set(project["entry-points"]["maestro_py.step_types"]) | {"NoOp", "Sleep"}

    assert installed - {"bench_noop"} == set(re.findall(r"`(\w+)`", native))
    assert set() == installed & set(re.findall(r"`(\w+)`", mapped))


def test_its_links_lead_somewhere() -> None:
    named = re.findall(r"\]\(([\w./-]+)\)", README)

    assert [] == [name for name in named if not (ROOT / name).exists()]
