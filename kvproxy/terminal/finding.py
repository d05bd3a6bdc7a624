"""One thing that an examination found, for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding: its level, its subject, its text, and the remedy."""

    level: Level
    check: str
    what: str
    advice: str = ""
    """The remedy; empty for ``ok``."""
