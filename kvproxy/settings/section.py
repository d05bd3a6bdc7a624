"""`Section`: the base of every section of the configuration."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


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
        for name in data:
            if name not in cls.model_fields:
                near = difflib.get_close_matches(str(name), list(cls.model_fields), n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(cls.model_fields)}"
                raise ValueError(f"unknown setting '{name}'; {hint}")
        # An empty value counts as absent, like a section with only comments in it.
        return {name: value for name, value in data.items() if value is not None}
