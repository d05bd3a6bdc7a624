"""Metered tokens of one request, and the charge for them: pure values between tariff, ledger, receipts and wire."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DocumentTokens:
    """Positions of one document version that a request took from kept pages."""

    document: str
    """``handbook@3``, as ``str(DocumentRef)``."""
    etag: str
    """sha256 of the version's text, hex."""
    publisher: str
    """The publisher's tenant."""
    tokens: int
    terms: str
    """Id of the publisher's terms that price it: see ``kvproxy.tariffs``."""
    by_reference: bool = False
    """True when the request named the document and did not send its text."""
    grant: str | None = None
    """Id of the grant that let the reader in; None where none was needed."""


@dataclass(frozen=True, slots=True)
class MeteredTokens:
    """The tokens of one request, by what they cost. Cached tokens of no document are the caller's own conversation."""

    model: str
    prompt_tokens: int
    cached_tokens: int
    """All positions taken from kept pages; those of ``documents`` are a part of them."""
    completion_tokens: int
    documents: tuple[DocumentTokens, ...] = ()

    @property
    def document_tokens(self) -> int:
        """Cached tokens that belong to documents."""
        return sum(read.tokens for read in self.documents)


@dataclass(frozen=True, slots=True)
class DocumentCharge:
    """The price of one document's cached tokens, and the publisher's part of it, in nano-units."""

    read: DocumentTokens
    price: int
    """Paid by the reader for these tokens, the host's part included."""
    publisher_share: int
    """The publisher's part of ``price``."""


@dataclass(frozen=True, slots=True)
class Charge:
    """The cost of a request, and the cost of the same request cold, in nano-units of ``currency``.

    ``cost`` is the sum of the publishers' shares and ``host_share``, exactly.
    """

    currency: str
    cost: int
    cold_cost: int
    """The price of the same tokens as a miss."""
    host_share: int
    documents: tuple[DocumentCharge, ...]
    tariff: str
    """Id of the tariff that was valid then."""

    @property
    def saved(self) -> int:
        """Nano-units below the cold price; negative where a document's fixed price is above what its prefill costs."""
        return self.cold_cost - self.cost
