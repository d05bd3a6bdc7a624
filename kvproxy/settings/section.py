"""`Section`: the base of every section of the configuration."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

UNKNOWN_NAMES = "unknown_names"
"""The type of the error of a section with unknown names, which are in its context."""


class Section(BaseModel):
    """A frozen section; an unknown name is rejected with the nearest known one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known_names(cls, data: Any) -> Any:
        if data is None:
            return {}
        if isinstance(data, cls):
            return data
        if not isinstance(data, dict):
            kind = "a text" if isinstance(data, str) else "a list" if isinstance(data, list) else "a value"
            raise ValueError(f"must hold settings by name ({', '.join(cls.model_fields)}), and is {kind}")
        if unknown := [name for name in data if name not in cls.model_fields]:
            raise PydanticCustomError(
                UNKNOWN_NAMES,
                "{told}",
                {"told": "; ".join(map(cls._unknown, map(str, unknown))), "names": unknown},
            )
        # An empty value counts as absent, like a section with only comments in it.
        return {name: value for name, value in data.items() if value is not None}

    @classmethod
    def _unknown(cls, name: str) -> str:
        near = difflib.get_close_matches(name, list(cls.model_fields), n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(cls.model_fields)}"
        return f"unknown setting '{name}'; {hint}"
