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
from maestro_py.parent import watch_parent

#: Objects made, more than dropped, until the youngest are looked at; and how often that happens until older ones are.
_GC_THRESHOLDS: Final = (50_000, 20, 50)


def run_process(kind: ProcessKind, serve: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run *serve*, which returns soon after its event is set, until it does; SIGTERM and SIGINT set the event."""
    setproctitle.setproctitle(f"maestro {kind}")
    _collect_seldom()
    configure_logging()
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


def configure_logging() -> None:
    """Write log events to stderr: one JSON object a line, or coloured text on a terminal."""
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if sys.stderr.isatty():
        renderer = structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )


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
