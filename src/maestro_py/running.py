"""
Run one process of the service: its name, its log, its event loop, its signals, and its end with its parent.

What the process does is handed in; it is composed elsewhere (`maestro_py.bootstrap`).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Final

import setproctitle
import structlog

from maestro_py.model.statuses import ProcessKind
from maestro_py.parent import PARENT_FD, watch_parent

#: Objects made, more than dropped, until the youngest are looked at; and how often that happens until older ones are.
_GC_THRESHOLDS: Final = (50_000, 20, 50)


def run_process(
    kind: ProcessKind, serve: Callable[[asyncio.Event], Awaitable[None]], *, log_format: str = "auto"
) -> None:
    """Run *serve*, which returns soon after its event is set, until it does; SIGTERM and SIGINT set the event."""
    setproctitle.setproctitle(f"maestro {kind}")
    _collect_seldom()
    configure_logging(log_format, under_supervisor=PARENT_FD in os.environ)
    watch_parent(os.environ)

    async def main() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        await serve(stopping)

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(main())


def _collect_seldom() -> None:
    """
    Have Python look for reference cycles seldom.

    A batch makes tens of thousands of objects and hardly a cycle; looking through them, and through the runs in memory,
    at the usual pace takes a quarter of an engine's processor time and a third of an API's that is asked for starts.
    """
    gc.collect()
    gc.freeze()  # what was imported stays
    gc.set_threshold(*_GC_THRESHOLDS)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


def configure_logging(log_format: str, *, under_supervisor: bool = False) -> None:
    """
    Write log events to stderr, one a line.

    Args:
        log_format: ``json``, ``text``, ``coloured``, or ``auto``: coloured on a terminal, else JSON.
        under_supervisor: Whoever reads text is told by `maestro up` which process it is from.
    """
    if log_format == "auto":
        log_format = "coloured" if sys.stderr.isatty() else "json"
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
    ]
    if log_format == "json":
        processors += [
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    else:
        if under_supervisor:
            processors.append(_without_identity)
        processors += [
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(
                colors=log_format == "coloured", pad_event_to=24, exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )


def _without_identity(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for name in ("process", "id"):
        event.pop(name, None)
    return event


async def until(stopping: asyncio.Event, running: Awaitable[None], stop: Callable[[], None]) -> None:
    """Await *running*; call *stop*, which makes it return, when *stopping* is set."""

    async def stop_when_asked() -> None:
        await stopping.wait()
        stop()

    waiter = asyncio.create_task(stop_when_asked())
    try:
        await running
    finally:
        waiter.cancel()
