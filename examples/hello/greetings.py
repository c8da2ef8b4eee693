"""A function that steps call: its arguments are parameters of the step, what it returns are the outputs."""

from __future__ import annotations

from maestro_py.step import Context


def greet(greeting: str, name: str, mark: str, context: Context) -> dict[str, str]:
    """Greet *name*; what is printed goes to the step's log."""
    text = f"{greeting}, {name}{mark}"
    print(f"{text} (attempt {context.attempt})")
    return {"text": text}
