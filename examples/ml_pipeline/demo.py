"""
Run the owner's workflow from nothing to its result: ``make demo``.

Starts the whole service on this machine, pushes workflow.jsonc as it stands, announces by curl that the data are
there, watches the run that the signal starts, and stops everything again.  While it runs, any process may be killed
(``kill -9``): what the steps had achieved is in PostgreSQL, and the run goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Final, TypeVar

from rich.console import Console

from maestro_py.client import Json, MaestroClient, ServerRefused, ServerUnreachable, elements

from .progress import RunProgress, Watch
from .screen import Screen
from .service import Service, ServiceFailed
from .work_folder import FOLDER_VARIABLE

T = TypeVar("T")

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
DEFINITION: Final = HERE / "workflow.jsonc"
WORKFLOW: Final = "ml_model_training_pipeline"
SIGNAL: Final = "daily_data_ready"

_POLL_SECONDS: Final = 0.2
#: The first start makes a database; after a crash it is recovered.
_READY_SECONDS: Final = 120.0
#: A killed process is replaced within 15 s; if nothing has changed for so long, nothing will.
_STALLED_SECONDS: Final = 120.0
_LOG_LINES: Final = 20
_SERVER_ERROR: Final = 500
_INTERRUPTED: Final = 130


class DemoFailed(Exception):
    """The workflow did not reach its result; the text says how far it came."""


class NotAnswered(Exception):
    """Nobody answered, or the answer says that somebody else is away; asking again may help."""


class Demo:
    """
    One run of the demo.

    Args:
        service: Not started yet.
        console: Where everything is said.
    """

    def __init__(self, service: Service, console: Console) -> None:
        self._service = service
        self._console = console
        self._client = MaestroClient(service.url, "demo")

    def run(self) -> None:
        """
        Start everything, and show the run until its result.

        Raises:
            DemoFailed: the workflow failed, or nothing moves any more.
            ServiceFailed: the service cannot run.
        """
        began = time.monotonic()
        self._service.start()
        self._say("starting PostgreSQL, engines, workers, the signal service and the API …")
        self._until(_READY_SECONDS, "the API answers", self._client.workflows)
        self._say(f"maestro is up at {self._service.url} after {time.monotonic() - began:.1f} s")
        pushed = self._until(_READY_SECONDS, "the definition is stored", self._push)
        version = pushed["workflow_definition"]["metadata"]["workflow_version_id"]
        self._say(f"pushed {_shown(DEFINITION)} as it stands: {WORKFLOW} version {version}")
        seq = self._announce()
        instance = self._until(_READY_SECONDS, f"signal {seq} has started a run", lambda: self._started_by(seq))
        self._say(f"the signal started instance {instance}; kill any process you like, it goes on:")
        progress = self._watch(instance)
        if progress.status != "SUCCEEDED":
            self._show_failures(instance, progress)
            raise DemoFailed(f"instance {instance} ended as {progress.status}")
        self._say("\n".join(["", *score_lines(progress.steps[-1].outputs), ""]))
        self._say(f"done in {time.monotonic() - began:.1f} s; stopping what was started")

    def _push(self) -> Json:
        return self._client.push(DEFINITION.read_bytes())

    def _announce(self) -> int:
        """Announce the signal by curl under a fresh request id, and return its number."""
        request_id = str(uuid.uuid4())
        body = json.dumps({"name": SIGNAL, "request_id": request_id})
        header = ("-H", "content-type: application/json")
        command = ["curl", "-sS", "-X", "POST", f"{self._service.url}/api/v3/signals", *header, "-d", body]
        self._say(f"announcing that today's data are there:\n  $ {shlex.join(command)}")

        def announced() -> int | None:
            # Asked again if the API is killed meanwhile: the id makes the repetition harmless.
            answer = _printed_by(command)
            self._say(f"  {answer}")
            announced: Json = json.loads(answer)
            if announced.get("status") == "CONFLICT":
                announced = self._client.signal(SIGNAL)  # the first try had counted, but its answer was lost
            return int(announced["seq_id"]) if announced.get("instance_id") == request_id else None

        return self._until(_READY_SECONDS, "the signal is announced", announced)

    def _started_by(self, seq: int) -> int | None:
        """Return the instance that the announcement number *seq* has started, None as long as there is none."""
        for run in elements(self._client.instances(WORKFLOW)):
            if (run["initiator"].get("signal_id_map") or {}).get(SIGNAL) == seq:
                return int(run["workflow_instance_id"])
        return None

    def _watch(self, instance: int) -> RunProgress:
        watch = Watch(self._client, WORKFLOW, instance)
        moved = time.monotonic()
        with Screen(self._console) as screen:
            while True:
                self._service.keep_running()
                # An API, or its database, that is being started again answers the next time.
                with contextlib.suppress(ServerUnreachable, ServerRefused):
                    progress = watch.look()
                    if screen.show(progress):
                        moved = time.monotonic()
                    if progress.has_ended:
                        return progress
                if time.monotonic() - moved > _STALLED_SECONDS:
                    raise DemoFailed(f"nothing has changed for {_STALLED_SECONDS:.0f} s")
                time.sleep(_POLL_SECONDS)

    def _show_failures(self, instance: int, progress: RunProgress) -> None:
        """Print the ends of the logs of the steps that failed; of a foreach, of its first failed iteration."""
        for step in progress.steps:
            if "FAILED" not in step.status:
                continue
            self._say(f"{step.step_id} {step.text}")
            workflow_id, number = WORKFLOW, instance
            if step.total:
                iterations = self._client.iterations(WORKFLOW, instance, step.step_id)
                failed = [iteration for iteration in iterations if iteration["status"] == "FAILED"]
                workflow_id, number = failed[-1]["workflow_id"], failed[-1]["workflow_instance_id"]
            for inner in self._client.steps(workflow_id, number):
                if "FAILED" in inner["runtime_state"]["status"]:
                    chunks = self._client.log(workflow_id, number, inner["step_id"])["chunks"]
                    lines = "".join(chunk["text"] for chunk in chunks).splitlines()[-_LOG_LINES:]
                    self._say("\n".join(f"  {line}" for line in lines))

    def _until(self, within_seconds: float, fact: str, ask: Callable[[], T | None]) -> T:
        """
        Return the first answer of *ask* that is not None; that nobody answers counts as "not yet".

        Raises:
            DemoFailed: *fact* did not come true in time.
            ServiceFailed: the service ended meanwhile.
        """
        deadline = time.monotonic() + within_seconds
        while True:
            self._service.keep_running()
            try:
                if (answer := ask()) is not None:
                    return answer
            except ServerRefused as refusal:
                if refusal.status < _SERVER_ERROR:
                    raise DemoFailed(str(refusal)) from refusal
            except (ServerUnreachable, NotAnswered):
                pass
            if time.monotonic() > deadline:
                raise DemoFailed(f"within {within_seconds:.0f} s it did not happen that {fact}")
            time.sleep(_POLL_SECONDS)

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def score_lines(outputs: Mapping[str, Any]) -> list[str]:
    """Return what the outputs of ``model_train`` say, for people."""
    alone, of_rate = outputs["auc_of_recent_delay_alone"], outputs["log_loss_of_base_rate"]
    learned, judged = outputs["train_flights"], outputs["test_flights"]
    rows = [
        ("learned from", f"{learned:,} flights", outputs["trained_on"]),
        ("judged by", f"{judged:,} flights", f"{outputs['tested_on']}: {outputs['base_rate']:.1%} of them were late"),
        ("AUC", f"{outputs['auc']:.3f}", f"guessing has 0.5, the airport's delay of late alone {alone:.3f}"),
        ("log loss", f"{outputs['log_loss']:.3f}", f"believing in the learned rate of late flights has {of_rate:.3f}"),
    ]
    weighs = ", ".join(outputs["strongest_features"])
    return [
        f"The model predicts: {outputs['predicts']}.",
        *(f"  {name:<13} {value:>15}  {remark}" for name, value, remark in rows),
        f"  what weighs most: {weighs}",
    ]


def _printed_by(command: Sequence[str]) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode != 0 or not ran.stdout.startswith("{"):
        raise NotAnswered(ran.stderr.strip() or ran.stdout)
    return ran.stdout.strip()


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.ml_pipeline.demo", description=__doc__)
    parser.add_argument("--transport", choices=("postgres", "kafka"), default="postgres", help="what carries hints")
    parser.add_argument("--data-dir", type=Path, default=ROOT / ".demo", help="database, files and log (.demo)")
    return parser.parse_args(arguments)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str]) -> int:
    """Run the demo, and return its exit status."""
    options = _options(arguments)
    console = Console()
    if shutil.which("curl") is None:
        console.print("the demo announces its signal by curl, and there is none: install it first")
        return 1
    data_directory = options.data_dir.absolute()
    service = Service(
        data_directory,
        [
            *("--workers", "2", "--slots", "4"),
            *("--config", str(HERE / "backends.toml"), "--code", str(HERE.parent)),
            *(("--transport", "kafka") if options.transport == "kafka" else ()),
        ],
        {FOLDER_VARIABLE: str(data_directory / "flights")},
        say=lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True),
    )
    # SIGINT, too: a shell without job control has what it runs in the background ignore it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        Demo(service, console).run()
    except KeyboardInterrupt:
        console.print("interrupted: stopping what was started (Ctrl-C again hurries)")
        return _INTERRUPTED
    except (DemoFailed, ServiceFailed) as failure:
        console.print(f"FAILED: {failure}", style="bold red", highlight=False, markup=False, soft_wrap=True)
        console.print(f"the end of {_shown(service.log)}, which has the rest:", highlight=False, soft_wrap=True)
        console.print(service.last_words(_LOG_LINES), highlight=False, markup=False, soft_wrap=True)
        return 1
    finally:
        service.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
