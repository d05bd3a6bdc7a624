"""`ReuseBody`: the field by which a client has a prompt computed from scratch, whatever is kept of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kvproxy.wire.bodies.strict import Strict

REUSE_FIELD = "kv_reuse"


class ReuseBody(Strict):
    """The use of kept KV by one request."""

    kv_reuse: Literal["any", "none"] | None = Field(
        default=None,
        description="none: the prompt is computed from scratch and leaves no page behind, to measure a miss beside a "
        "hit. It is charged as a miss.",
    )

    @property
    def reuse(self) -> bool:
        """Return whether kept pages may be used, as they may by default."""
        return self.kv_reuse != "none"
