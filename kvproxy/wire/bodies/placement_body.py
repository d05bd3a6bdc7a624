"""`PlacementBody`: the field by which a client has known documents moved to the front of its prompt."""

from __future__ import annotations

from pydantic import Field

from kvproxy.core import Placement
from kvproxy.wire.bodies.strict import Strict

PLACEMENT_FIELD = "kv_placement"


class PlacementBody(Strict):
    """The place of known documents in a conversation."""

    kv_placement: Placement | None = Field(
        default=None,
        description="front: known documents are moved to the head of the system message, where their KV is reused. The "
        "prompt is another one then, and the answer says so.",
    )

    @property
    def placement(self) -> Placement:
        """Return the place that was asked for; as the client wrote them by default."""
        return self.kv_placement or "keep"
