"""
One warm Python process: calls the functions it is told to, one after the other, for as long as it lives.

Started by `maestro_py.workers.function_pool` with one end of a socket as its standard input; frames in both directions
are four bytes of length and a MessagePack document.  What a function prints goes to the pipe that the worker reads.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import socket
import struct
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from maestro_py.model.statuses import Outcome
from maestro_py.step import Context, FatalError

HEADER: Final = struct.Struct("!I")
_CHUNK: Final = 1 << 16


class Call(msgspec.Struct, array_like=True):
    """A request to call *function* with *args*, *kwargs*, and what it names of *params*."""

    function: str  #: ``module:function``
    params: dict[str, Any]
    workflow_id: str
    instance_id: int
    run_id: int
    step_id: str
    attempt: int
    idempotency_key: str
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    environment: dict[str, str] = {}


class Answer(msgspec.Struct, array_like=True):
    """How the call ended."""

    outcome: Outcome
    message: str = ""
    outputs: bytes | None = None  #: JSON object.


class CannotCall(Exception):
    """There is no such function, or it wants what the step does not have."""


class _Function(NamedTuple):
    call: Callable[..., Any]
    in_order: tuple[str, ...]  #: Arguments it can be given by position.
    names: tuple[str, ...]  #: Arguments it can be given by name.
    required: tuple[str, ...]
    takes_more: bool  #: It has ``*arguments``.
    takes_any: bool  #: It has ``**keywords``.


def load(path: str) -> _Function:
    """
    Return the function that *path*, ``module:function``, names.

    Raises:
        CannotCall: *path* is malformed, or the module has no such function.
    """
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise CannotCall(f'a function is named "module:function", not {path!r}')
    target: Any = importlib.import_module(module_name)
    for part in name.split("."):
        try:
            target = getattr(target, part)
        except AttributeError:
            raise CannotCall(f"module {module_name!r} has no {name!r}") from None
    if not callable(target):
        raise CannotCall(f"{path!r} cannot be called")
    arguments = inspect.signature(target).parameters.values()
    by_name = [a for a in arguments if a.kind in (a.POSITIONAL_OR_KEYWORD, a.KEYWORD_ONLY)]
    in_order = [a for a in arguments if a.kind in (a.POSITIONAL_ONLY, a.POSITIONAL_OR_KEYWORD)]
    return _Function(
        target,
        tuple(a.name for a in in_order),
        tuple(a.name for a in by_name),
        tuple(dict.fromkeys(a.name for a in (*in_order, *by_name) if a.default is a.empty)),
        any(a.kind is a.VAR_POSITIONAL for a in arguments),
        any(a.kind is a.VAR_KEYWORD for a in arguments),
    )


def arguments_of(function: _Function, call: Call) -> Mapping[str, Any]:
    """
    Return the named arguments of *function*: its ``kwargs``, and the parameters that it names, or all if it takes any.

    ``params`` is the dict of all parameters and ``context`` the attempt, unless the step has parameters of these names.

    Raises:
        CannotCall: an argument without a default has no value, or it is given one that it does not take.
    """
    in_order = _taken_in_order(function, call)
    if function.takes_any:
        arguments = {name: value for name, value in call.params.items() if name not in in_order}
    else:
        arguments = {n: call.params[n] for n in function.names if n in call.params and n not in in_order}
    arguments.update(_keywords(function, call, in_order))
    if "params" in function.names and "params" not in in_order:
        arguments.setdefault("params", call.params)
    if "context" in function.names and "context" not in (*arguments, *in_order):
        arguments["context"] = Context(
            workflow_id=call.workflow_id,
            instance_id=call.instance_id,
            run_id=call.run_id,
            step_id=call.step_id,
            attempt=call.attempt,
            idempotency_key=call.idempotency_key,
            params=call.params,
        )
    missing = [name for name in function.required if name not in (*arguments, *in_order)]
    if missing:
        has = ", ".join(sorted(call.params)) or "none"
        raise CannotCall(f"{call.function} wants {', '.join(missing)}; the step's parameters are: {has}")
    return arguments


def _taken_in_order(function: _Function, call: Call) -> Sequence[str]:
    """Return the names of the arguments that ``args`` fill."""
    if len(call.args) > len(function.in_order) and not function.takes_more:
        takes = len(function.in_order)
        raise CannotCall(f"{call.function} takes {takes} arguments in order; args has {len(call.args)}")
    return function.in_order[: len(call.args)]


def _keywords(function: _Function, call: Call, in_order: Sequence[str]) -> Mapping[str, Any]:
    for name in call.kwargs:
        if name in in_order and name in function.names:
            raise CannotCall(f"{call.function} is given {name!r} twice, by args and by kwargs")
        if name not in function.names and not function.takes_any:
            raise CannotCall(f"{call.function} takes no argument {name!r}, which kwargs has")
    return call.kwargs


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Have *variables* in the environment, and afterwards what was there before."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def answer(call: Call, functions: dict[str, _Function]) -> Answer:
    """Do *call* and say how it ended; what goes wrong in it is the user's error, with the traceback in the log."""
    try:
        with _environment(call.environment):
            function = functions.get(call.function)
            if function is None:
                function = functions[call.function] = load(call.function)
            result = function.call(*call.args, **arguments_of(function, call))
            if inspect.iscoroutine(result):
                import asyncio  # only here: it is half of the start of a process

                result = asyncio.run(result)
    except CannotCall as exc:
        return Answer(Outcome.USER_ERROR, str(exc))
    except BaseException as exc:
        # SystemExit and KeyboardInterrupt too: they end the function, not the process that other steps will use.
        traceback.print_exc()
        outcome = Outcome.FATAL_ERROR if isinstance(exc, FatalError) else Outcome.USER_ERROR
        return Answer(outcome, f"{type(exc).__name__}: {exc}")
    if result is None:
        return Answer(Outcome.DONE)
    outputs = result if isinstance(result, dict) else {"result": result}
    try:
        return Answer(Outcome.DONE, "", msgspec.json.encode(outputs, enc_hook=_as_json))
    except Exception as exc:
        return Answer(Outcome.USER_ERROR, f"what {call.function} returned cannot be written as JSON: {exc}")


def _as_json(value: Any) -> Any:
    """Return a JSON value for what data people return: NumPy and pandas scalars and arrays."""
    for method in ("tolist", "item", "isoformat"):
        if callable(convert := getattr(value, method, None)):
            return convert()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"a {type(value).__name__} is no JSON value")


def serve(control: socket.socket) -> None:
    """Say that we are ready, by an empty frame, and answer calls until the other end is closed."""
    decoder = msgspec.msgpack.Decoder(Call)
    encoder = msgspec.msgpack.Encoder()
    functions: dict[str, _Function] = {}
    home = Path.cwd()
    incoming = bytearray()
    control.sendall(HEADER.pack(0))
    while data := control.recv(_CHUNK):
        incoming += data
        while len(incoming) >= HEADER.size:
            (length,) = HEADER.unpack_from(incoming)
            if len(incoming) < HEADER.size + length:
                break
            call = decoder.decode(bytes(incoming[HEADER.size : HEADER.size + length]))
            del incoming[: HEADER.size + length]
            body = encoder.encode(answer(call, functions))
            _flush_output()
            os.chdir(home)
            control.sendall(HEADER.pack(len(body)) + body)


def _flush_output() -> None:
    for stream in (sys.stdout, sys.stderr):
        # Closed by the function: then there is nothing to flush.
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def main() -> None:
    """Serve the worker that holds the other end of standard input."""
    control = socket.socket(fileno=os.dup(0))
    # What a function starts must neither read our frames nor hold the socket open.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    serve(control)


if __name__ == "__main__":
    main()
