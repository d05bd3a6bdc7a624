"""Bodies and answers of a version's life: touched, revoked, named by an alias."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

from kvproxy.wire.kv_documents.document_bodies import MOST_TTL_S

MOST_REASON = 256
"""Characters of the reason of a revocation."""


class TouchBody(BaseModel):
    """The body that sets when a version ends."""

    model_config = ConfigDict(strict=True, extra="forbid")

    ttl_s: int | None = Field(
        ge=1, le=MOST_TTL_S, description="Seconds from now from which it is not served any more; null: never."
    )


class RevokeBody(BaseModel):
    """The body that revokes a version."""

    model_config = ConfigDict(strict=True, extra="forbid")

    reason: str = Field(
        min_length=1,
        max_length=MOST_REASON,
        description="Told to whoever names the version from now on, in one line.",
        json_schema_extra={"pattern": r"^[ -~]*$"},
    )

    @field_validator("reason")
    @classmethod
    def _one_line(cls, reason: str) -> str:
        if not reason.isprintable():
            raise ValueError("write one line of text, without control characters")
        return reason


class AliasBody(BaseModel):
    """The body that lets an alias mean a version."""

    model_config = ConfigDict(strict=True, extra="forbid")

    version: int | None = Field(
        default=None, ge=1, le=10**9 - 1, description="A version of the document. Default: the current one."
    )


class KvRevoked(TypedDict):
    """Versions that are never served again."""

    object: Literal["kv_document.revoked"]
    id: str
    versions: list[str]
    reason: str


class KvAlias(TypedDict):
    """An alias and the version that it means; ``etag`` is the version's."""

    object: Literal["kv_alias"]
    alias: str
    document: str
    etag: str


class KvAliasDeleted(TypedDict):
    """An alias that means nothing any more."""

    object: Literal["kv_alias.deleted"]
    alias: str
    deleted: bool
