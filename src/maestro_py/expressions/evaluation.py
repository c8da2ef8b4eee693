"""
Evaluate expressions: compile once per text, keep what was compiled, run it against parameters.

Evaluation is pure given its sources: the same text, parameters and sources give the same result or the same error,
and the caller's parameters are never changed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from maestro_py.expressions.errors import ExpressionError, LimitExceeded
from maestro_py.expressions.limits import DEEPEST, DEFAULT_LIMITS, Limits, Usage
from maestro_py.expressions.render import plain
from maestro_py.expressions.sources import Sources
from maestro_py.expressions.state import State
from maestro_py.expressions.statements import compile_statement
from maestro_py.expressions.survey import Lookup, survey
from maestro_py.expressions.syntax import parse

_CACHED_CHARACTERS: Final = 500_000  # of all texts kept together
_VISITS_PER_CHARACTER: Final = 40  # what parsing costs, in the visits of an evaluation

_cache: OrderedDict[str, CompiledExpression] = OrderedDict()
_cached_characters = 0


class CompiledExpression:
    """
    An expression ready to run, any number of times.

    Args:
        source: Its text.

    Raises:
        ExpressionSyntaxError: The text is not of the language.
        LimitExceeded: It nests deeper than any limit allows.
    """

    __slots__ = ("_execute", "_surveyed", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        try:
            program = parse(source)
            self._surveyed = survey(program)
            if self._surveyed.depth > DEEPEST:
                raise LimitExceeded(f"the expression nests deeper than {DEEPEST}", limit="stack")
            self._execute = compile_statement(program)
        except ExpressionError as error:
            raise error.inside(source, {}) from None
        except RecursionError:
            raise _too_deep(source) from None

    @property
    def variables(self) -> frozenset[str]:
        """The names that the expression reads as variables without having assigned them."""
        return self._surveyed.variables

    @property
    def parameters(self) -> frozenset[str]:
        """The names that the expression reads by ``params.get('x')`` or ``params['x']``."""
        return self._surveyed.parameters

    @property
    def lookups(self) -> frozenset[Lookup]:
        """What the expression asks of ``params.getFrom...``, as far as its text says."""
        return self._surveyed.lookups

    @property
    def free_names(self) -> frozenset[str]:
        """All names that the expression needs from its parameters."""
        return self._surveyed.variables | self._surveyed.parameters

    @property
    def visits(self) -> int:
        """The visits of one run without rounds of loops and work inside built-ins: the least it can cost."""
        return self._surveyed.size

    @property
    def has_loops(self) -> bool:
        """Whether the expression can visit a node more than once."""
        return self._surveyed.loops

    def evaluate(
        self,
        params: Mapping[str, object],
        *,
        limits: Mapping[str, int] | None = None,
        sources: Sources | None = None,
        usage: Usage | None = None,
    ) -> object:
        """Return the value of the expression, see `evaluate`; what it cost is added to *usage*."""
        bounds = DEFAULT_LIMITS if limits is None else Limits.of(limits)
        state = State(params, bounds, sources)
        try:
            if self._surveyed.depth > bounds.stack:
                raise LimitExceeded(f"the expression nests deeper than {bounds.stack}", limit="stack")
            self._execute(state)
            return plain(state, state.result)
        except ExpressionError as error:
            raise error.inside(self.source, state.values_seen()) from error.__cause__
        except RecursionError:
            raise _too_deep(self.source) from None
        finally:
            if usage is not None:
                usage.visits += bounds.visit - state.visits_left


def evaluate(
    source: str,
    params: Mapping[str, object],
    *,
    limits: Mapping[str, int] | None = None,
    sources: Sources | None = None,
) -> object:
    """
    Return the value of the expression *source*.

    Args:
        params: Parameters by name, as plain Python: LONG is ``int``, DOUBLE ``float``, arrays ``list``, maps ``dict``.
            ``params`` in the expression means all of them, or - if it is itself a mapping - the one named ``params``.
        limits: Any of ``stack``, ``loop``, ``array``, ``length``, ``visit`` and ``memory``, instead of the defaults.
        sources: Time, chance and look-ups; the machine's own, without look-ups, if not given.

    Raises:
        ExpressionError: The expression is wrong, fails, or asks for more than a limit allows.
    """
    length = DEFAULT_LIMITS.length if limits is None else limits.get("length", DEFAULT_LIMITS.length)
    compiled = compile_expression(source, length=length)
    return compiled.evaluate(params, limits=limits, sources=sources)


def compile_expression(source: str, *, length: int = DEFAULT_LIMITS.length) -> CompiledExpression:
    """
    Return *source* compiled, from the cache if it is there.

    Args:
        length: How many characters the text may have.

    Raises:
        ExpressionError: The text is too long or not of the language.
    """
    if len(source) > length:
        raise LimitExceeded(f"an expression of more than {length} characters", source[:200], limit="length")
    compiled = _cache.get(source)
    if compiled is not None:
        _touch(source)
        return compiled
    compiled = CompiledExpression(source)
    _keep(source, compiled)
    return compiled


def free_names(source: str) -> frozenset[str]:
    """
    Return the names that *source* needs from its parameters.

    These are the variables it reads without having assigned them (``step__param`` among them) and the literal names of
    ``params.get('x')`` and ``params['x']``.

    Raises:
        ExpressionError: *source* is too long or not of the language.
    """
    return compile_expression(source).free_names


def expected_visits(source: str) -> int:
    """
    Return the least visits that evaluating *source* now would cost, parsing included if it is not in the cache.

    Nothing is parsed to answer, so a caller with little time can ask first.
    """
    compiled = _cache.get(source)
    return compiled.visits if compiled is not None else _VISITS_PER_CHARACTER * len(source)


def clear_cache() -> None:
    """Forget what was compiled; for measurements."""
    global _cached_characters
    _cache.clear()
    _cached_characters = 0


def _touch(source: str) -> None:
    try:
        _cache.move_to_end(source)
    except KeyError:  # another thread has just dropped it
        return


def _keep(source: str, compiled: CompiledExpression) -> None:
    global _cached_characters
    _cache[source] = compiled
    _cached_characters += len(source) + 50
    while _cached_characters > _CACHED_CHARACTERS and len(_cache) > 1:
        dropped, _ = _cache.popitem(last=False)
        _cached_characters -= len(dropped) + 50


def _too_deep(source: str) -> LimitExceeded:
    return LimitExceeded("the expression nests too deep", source, limit="stack")
