"""A document's price on the wire: what a publisher asks for a read, as decimal text, and the views of its terms."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

from kvproxy.wire.market.quote_types import MoneyBody

MOST_LICENCE = 200


class PriceBody(BaseModel):
    """The price that a publisher asks for a read of its document, on top of the host's for a cached token."""

    model_config = ConfigDict(strict=True, extra="forbid")

    kind: Literal["free", "share", "fixed"] = Field(
        description="free, a share of what a read saves, or a fixed amount for a thousand tokens."
    )
    share: str | None = Field(
        default=None, max_length=40, description="For `share`: the part of the saving, as text like `25%`."
    )
    per_1000: str | None = Field(
        default=None,
        max_length=40,
        description="For `fixed`: the amount for a thousand tokens of the document, as decimal text like `0.02`.",
    )
    publisher_share: str | None = Field(
        default=None,
        max_length=40,
        description="The publisher's part of this price, like `80%`; the host has the rest. Default and most: what "
        "the host gives.",
    )
    text_readers: Literal["discount", "full_price"] = Field(
        default="discount",
        description="Readers who send the text themselves, without a grant: `discount` lets them use the kept pages, "
        "`full_price` keeps the pages and that they exist from them.",
    )


class TermsChangeBody(BaseModel):
    """The body that sets the terms of a document from now on."""

    model_config = ConfigDict(strict=True, extra="forbid")

    price: PriceBody
    licence: str | None = Field(
        default=None,
        max_length=MOST_LICENCE,
        description="What readers may do with the answers, in a few words. Default: as before.",
    )


class TermsBody(TypedDict):
    """Terms of a document from ``valid_from_ms`` on (Unix milliseconds), until the next ones begin.

    ``per_1000`` is the amount of kind ``fixed``, ``share`` the part of kind ``share``.
    """

    id: str
    kind: Literal["free", "share", "fixed"]
    share: str | None
    per_1000: MoneyBody | None
    publisher_share: str
    text_readers: Literal["discount", "full_price"]
    licence: str
    valid_from_ms: int


class KvTerms(TypedDict):
    """The terms of all versions of a document. ``current`` is null where its publisher has set none: then the host's
    count. ``history`` has all that its publisher has set, the earliest first."""

    object: Literal["kv_terms"]
    document: str
    publisher: str
    current: TermsBody | None
    history: list[TermsBody]
