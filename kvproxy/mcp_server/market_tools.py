"""Tools that search the catalog and price a read before it is paid."""

from __future__ import annotations

from typing import Annotated, Any

from mcp.server import MCPServer
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field

from kvproxy.errors import InvalidRequest
from kvproxy.mcp_server.remote import Remote
from kvproxy.mcp_server.tool_arguments import Reference
from kvproxy.mcp_server.tool_errors import as_tool_error

_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_MOST = 50
"""Offers of one answer: what an agent reads fills its context."""


class OfferedRead(BaseModel):
    """A document on offer, with the price of a read of all of it."""

    reference: str = Field(description="Names this very version, for `ask` and `quote_read`.")
    publisher: str
    licence: str | None
    tokens: int
    price: str = Field(description="From kept KV, with its currency; free where this host has no prices.")
    cold_price: str = Field(description="For the same tokens computed anew.")
    reads: int = Field(description="So far, by all readers.")


class OfferList(BaseModel):
    """The documents on offer to this API key."""

    offers: list[OfferedRead]
    more: bool = Field(description="True: there are more than these; search more narrowly.")


class QuotedRead(BaseModel):
    """The price of a read as it would be served now. Nothing was computed."""

    hit: bool
    reason: str = Field(description="Why it would be a miss; empty for a hit.")
    prompt_tokens: int
    cached_tokens: int
    price: str
    cold_price: str
    most: str = Field(description="With the longest answer: what is held or authorised.")
    expires: int = Field(description="Unix seconds, until which these prices are honoured.")
    jws: str = Field(description="Sent as the header x-kvproxy-quote, once, it fixes these prices.")


def add_market_tools(server: MCPServer[Any], remote: Remote) -> None:
    """Add the tools that find and price documents of others."""

    @server.tool(title="Search the catalog", annotations=_READS)
    async def search_catalog(
        id: Annotated[str | None, Field(description="The beginning of a document's id.")] = None,
        publisher: Annotated[str | None, Field(description="One publisher's documents.")] = None,
        sha256: Annotated[
            str | None, Field(description="Of a text in UTF-8, hex: is this very text on offer?")
        ] = None,
    ) -> OfferList:
        """Search the documents on offer, with what a read of each costs from kept KV and cold."""
        with as_tool_error():
            page = await remote.catalog({"id": id, "publisher": publisher, "sha256": sha256}, _MOST)
            return OfferList(offers=[_offer(one) for one in page["data"]], more=page["next"] is not None)

    @server.tool(title="Quote a read", annotations=_READS)
    async def quote_read(
        document: Reference | None = None,
        sha256: Annotated[
            str | None, Field(description="Instead: of a text that would be sent, in UTF-8, hex.")
        ] = None,
        max_tokens: Annotated[int | None, Field(ge=1, description="Of the answer.")] = None,
    ) -> QuotedRead:
        """Price a read of a document, or of a text on offer, before it is paid. Nothing is generated."""
        with as_tool_error():
            if (document is None) == (sha256 is None):
                raise InvalidRequest("give either 'document' or 'sha256'")
            asked = {"document": document, "sha256": sha256, "max_tokens": max_tokens}
            return _quoted(await remote.quote({k: v for k, v in asked.items() if v is not None}))


def _offer(entry: dict[str, Any]) -> OfferedRead:
    price = next(iter(entry["price"].values()), None)
    return OfferedRead(
        reference=entry["document"],
        publisher=entry["publisher"],
        licence=entry["licence"],
        tokens=max(entry["tokens"].values(), default=0),
        price="free" if price is None else _money(price["read"]),
        cold_price="free" if price is None else _money(price["cold"]),
        reads=entry["reads"],
    )


def _quoted(quote: dict[str, Any]) -> QuotedRead:
    return QuotedRead(
        hit=quote["decision"] == "hit",
        reason=quote["reason"],
        prompt_tokens=quote["prompt_tokens"],
        cached_tokens=quote["cached_tokens"],
        price=_money(quote["hit"]),
        cold_price=_money(quote["miss"]),
        most=_money(quote["most"]),
        expires=quote["expires"],
        jws=quote["jws"],
    )


def _money(amount: dict[str, Any]) -> str:
    return f"{amount['amount']} {amount['currency']}"
