"""Ids of responses and of their items. An item's id names the response that it came with."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ITEM = re.compile(r"[a-z]+_([0-9a-f]{32})[01][0-9a-f]{4,}")


@dataclass(frozen=True, slots=True)
class ResponseIds:
    """Makes the ids of one response. ``key``: 32 random hex digits, so that an id cannot be guessed."""

    key: str

    @property
    def response(self) -> str:
        """Return the id of the response itself."""
        return f"resp_{self.key}"

    def for_input(self, prefix: str, index: int) -> str:
        """Return the id of an item of the request that came without one."""
        return f"{prefix}_{self.key}0{index:04x}"

    def for_output(self, prefix: str, index: int) -> str:
        """Return the id of an item of the answer."""
        return f"{prefix}_{self.key}1{index:04x}"


def owner(item_id: str) -> str | None:
    """Return the response that an item came with; None when the id was not made here."""
    match = _ITEM.fullmatch(item_id)
    return None if match is None else f"resp_{match[1]}"
