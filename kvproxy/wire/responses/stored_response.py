"""The stored record of a response: the object itself, and the conversation that it answered."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kvproxy.errors import InvalidRequest
from kvproxy.wire.bodies.json_text import encode
from kvproxy.wire.responses.types import Item, ItemList, Response

Order = Literal["asc", "desc"]


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response with its whole conversation: ``input`` holds earlier responses' items too, so it outlives them."""

    response: Response
    input: list[Item]

    @property
    def conversation(self) -> list[Item]:
        """Return the conversation that a response continuing this one begins with."""
        return [*self.input, *self.response["output"]]

    def encode(self) -> bytes:
        """Encode the record as JSON."""
        return encode({"response": self.response, "input": self.input})

    @classmethod
    def decode(cls, record: bytes) -> StoredResponse | None:
        """Return the value that ``encode`` wrote; None for another record, or one that was changed on disk."""
        try:
            value = json.loads(record)
            response, items = value["response"], value["input"]
            whole = all(isinstance(item["id"], str) for item in (*items, *response["output"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        return cls(response, items) if whole and isinstance(items, list) else None


def page(items: Sequence[Item], *, limit: int, order: Order, after: str | None) -> ItemList:
    """Return up to ``limit`` items behind the one with the id ``after``. Raises InvalidRequest when there is none.

    Example: ``page(items, limit=20, order="desc", after=None)["has_more"]``.
    """
    ordered = list(items) if order == "asc" else list(reversed(items))
    start = 0
    if after is not None:
        places = [i for i, item in enumerate(ordered) if item["id"] == after]
        if not places:
            raise InvalidRequest("Invalid 'after': no such item in this response.", param="after")
        start = places[0] + 1
    data = ordered[start : start + limit]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": start + limit < len(ordered),
    }
