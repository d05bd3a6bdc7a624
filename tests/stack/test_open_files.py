"""The host's part of manifests as the stack makes it: name, keys, engine, and the terms of the market."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from kvproxy.documents.library.document import Document, TokenizedDocument
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.errors import SetupError
from kvproxy.manifests.manifest_claims import MOST_NUMBER
from kvproxy.settings.trusted_host_settings import TrustedHostSettings
from kvproxy.stack.open_files import make_exchange, make_issuer, page_transfer
from kvproxy.stack.open_market import host_of
from kvproxy.store.page_store import PageStore
from kvproxy.tariffs.document_terms import DocumentTerms
from tests.stack.test_open_market import config, the_market

DOCUMENT = Document("handbook", 1, "text", "0" * 64, "granted", "tenant:acme", 1)
KNOWN = KnownDocument(DOCUMENT, TokenizedDocument("text", "k", (1,), (), 0, 0, 0), ())


@dataclass
class Weights:
    fingerprint: str = "f" * 64
    identity: Any = field(default_factory=lambda: MappingProxyType({"dtype": "bfloat16"}))
    page_shape: Any = None


@dataclass
class Model:
    name: str = "small"
    weights: Weights = field(default_factory=Weights)


@dataclass
class Stores:
    pages: PageStore


async def test_a_manifest_says_the_terms_of_the_market(tmp_path: Path) -> None:
    settings = config(tmp_path)
    with await asyncio.to_thread(
        PageStore, tmp_path / "pages", max_size=2**20, fingerprint="f" * 64
    ) as pages:
        stores: Any = Stores(pages)
        model: Any = Model()
        async with the_market(settings, host_of(settings, "f" * 64, 8192)) as market:
            issuer = make_issuer(model, stores, market)
            assert (issuer.host, issuer.keys) == ("kv.example.com", market.host_keys)
            assert issuer.engine.identity == {"dtype": "bfloat16"} and issuer.share is None
            free = issuer.policies(KNOWN, "acme")
            assert free.visibility == "granted" and free.terms is not None and free.licence == ""
            assert (free.terms["kind"], free.terms["currency"]) == ("free", "EUR")
            terms = DocumentTerms(kind="fixed", nano_per_1000=20_000_000)
            await asyncio.to_thread(
                market.terms.set_terms, "handbook", "acme", terms, licence="Answers may be published."
            )
            priced = issuer.policies(KNOWN, "acme")
        assert priced.terms is not None and priced.licence == "Answers may be published."
        assert priced.terms["nano_per_1000"] == 20_000_000 and priced.terms["id"] == terms.id
        assert all(isinstance(value, str) or value <= MOST_NUMBER for value in priced.terms.values())


async def test_a_host_that_sells_nothing_has_no_terms(tmp_path: Path) -> None:
    settings = config(tmp_path)
    settings = settings.model_copy(update={"tariff": None})
    with await asyncio.to_thread(
        PageStore, tmp_path / "pages", max_size=2**20, fingerprint="f" * 64
    ) as pages:
        stores: Any = Stores(pages)
        model: Any = Model()
        async with the_market(settings, host_of(settings, "f" * 64, 8192)) as market:
            policy = make_issuer(model, stores, market).policies(KNOWN, "acme")
        assert policy.terms is None and page_transfer(stores).fingerprint == "f" * 64


async def test_a_trusted_host_that_is_nowhere_is_refused_at_the_start(tmp_path: Path) -> None:
    settings = config(tmp_path)
    trusted = TrustedHostSettings(name="kv.example", jwks="ftp://kv.example/jwks")
    documents = replace_documents(settings.documents, trusted)
    nothing: Any = None
    with await asyncio.to_thread(
        PageStore, tmp_path / "pages", max_size=2**20, fingerprint="f" * 64
    ) as pages:
        stores: Any = Stores(pages)
        async with the_market(settings, host_of(settings, "f" * 64, 8192)) as market:
            with pytest.raises(SetupError, match=r"'kv\.example' is neither a file nor a URL"):
                make_exchange(documents, nothing, stores, nothing, market, nothing)


def replace_documents(documents: Any, trusted: TrustedHostSettings) -> Any:
    return documents.model_copy(update={"trusted_hosts": (trusted,)})
