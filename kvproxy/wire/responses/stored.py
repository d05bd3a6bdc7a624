"""What is kept of a response: the object itself, and everything that it was an answer to."""

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
class Stored:
    """Whole: ``input`` holds the items of the responses before it too, so it outlives them."""

    response: Response
    input: list[Item]

    @property
    def conversation(self) -> list[Item]:
        """What a response that continues this one stands on."""
        return [*self.input, *self.response["output"]]

    def encode(self) -> bytes:
        return encode({"response": self.response, "input": self.input})

    @classmethod
    def decode(cls, record: bytes) -> Stored | None:
        """What ``encode`` was given; None for a record that it did not make, or whose disk has changed it."""
        try:
            value = json.loads(record)
            response, items = value["response"], value["input"]
            whole = all(isinstance(item["id"], str) for item in (*items, *response["output"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        return cls(response, items) if whole and isinstance(items, list) else None


def page(items: Sequence[Item], *, limit: int, order: Order, after: str | None) -> ItemList:
    """Up to ``limit`` items behind the one with the id ``after``. Raises InvalidRequest when there is none."""
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
