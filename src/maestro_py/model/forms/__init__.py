"""
The forms in which people write definitions, and how each becomes a `maestro_py.model.definition.Workflow`.

Nothing behind the door knows which form it was.
"""

from __future__ import annotations

from maestro_py.model.forms.properties import Properties
from maestro_py.model.forms.push import Push, read_push
from maestro_py.model.forms.reference_checks import ExpressionNames, NamesOf
from maestro_py.model.forms.render import params_document, to_document, trigger_document
from maestro_py.model.forms.step_words import KNOWN_TYPES, STEP_TYPES

__all__ = [
    "KNOWN_TYPES",
    "STEP_TYPES",
    "ExpressionNames",
    "NamesOf",
    "Properties",
    "Push",
    "params_document",
    "read_push",
    "to_document",
    "trigger_document",
]
