"""``json.loads`` without Python's extensions of JSON: ``NaN`` and the infinities are errors."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def loads_finite(text: str) -> Any:
    """Parse JSON. Raises ValueError for text that is no JSON, ``NaN`` included, and RecursionError for deep nesting.

    ``loads_finite('{"a": 1}')`` returns ``{"a": 1}``.
    """
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
