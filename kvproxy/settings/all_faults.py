"""`validated`: a configuration, or every fault in it, those behind an unknown name included."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from kvproxy.settings.section import UNKNOWN_NAMES

M = TypeVar("M", bound=BaseModel)
Place = tuple[int | str, ...]

_MOST_ROUNDS = 20
"""Sections below one another that may have unknown names."""


def validated(model: type[M], data: dict[str, Any]) -> tuple[M | None, list[tuple[Place, str]]]:
    """Return the settings, or None and each fault with its place. A section with an unknown name is refused as a whole,
    so that its other faults are found without that name. ``data`` stays as it is.

    Example: ``config, faults = validated(Config, {"server": {"prot": 1, "host": []}})``
    """
    faults: list[tuple[Place, str]] = []
    rest = data
    for _ in range(_MOST_ROUNDS):
        try:
            settings = model.model_validate(rest)
            return (None if faults else settings), faults
        except ValidationError as e:
            found = e.errors(include_input=False)
        new = [(one["loc"], one["msg"].removeprefix("Value error, ")) for one in found]
        faults += [fault for fault in new if fault not in faults]
        unknown = [(one["loc"], one["ctx"]["names"]) for one in found if one["type"] == UNKNOWN_NAMES]
        if not unknown:
            break
        rest = _without(rest, unknown)
    return None, faults


def _without(data: dict[str, Any], unknown: list[tuple[Place, list[str]]]) -> dict[str, Any]:
    result = copy.deepcopy(data)
    for place, names in unknown:
        section: Any = result
        for step in place:
            if isinstance(section, dict) and step in section:
                section = section[step]
            elif isinstance(section, list) and isinstance(step, int) and step < len(section):
                section = section[step]
            # else: a step of pydantic's own, such as the member of a union
        if isinstance(section, dict):
            for name in names:
                section.pop(name, None)
    return result
