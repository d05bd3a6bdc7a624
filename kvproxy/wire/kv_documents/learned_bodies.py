"""`PromoteBody`: the body that publishes a learned document under an id of its own."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from kvproxy.core import Visibility
from kvproxy.documents.library.document import ID_PATTERN


class PromoteBody(BaseModel):
    """The id and the readers of what was learned."""

    model_config = ConfigDict(strict=True, extra="forbid")

    id: str = Field(
        min_length=1,
        description="The id of the document that it becomes.",
        json_schema_extra={"pattern": ID_PATTERN},
    )
    visibility: Visibility | None = Field(
        default=None,
        description="As in a publish; without it that of the version before, else the configured one.",
    )
    tenant: str | None = Field(
        default=None,
        description="The tenant that it was learned from, for the operator; default: the caller's own.",
    )
