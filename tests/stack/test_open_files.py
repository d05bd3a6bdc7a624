"""The host's part of manifests and its documents in files, opened from a configuration."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kvproxy.core import ANONYMOUS, PUBLIC
from kvproxy.core.page_form import PageForm
from kvproxy.document_files.document_import import Imported, ImportWish
from kvproxy.document_files.file_exchange import FileExchange
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.errors import DocumentRejected, SetupError, SignatureRefused
from kvproxy.manifests.manifest import Manifest, manifest_sha256
from kvproxy.manifests.manifest_claims import MOST_NUMBER
from kvproxy.objects.manifest_objects import ManifestObjects
from kvproxy.settings.trusted_host_settings import TrustedHostSettings
from kvproxy.stack.open_files import make_exchange, page_transfer
from kvproxy.store.page_transfer import ExpectedPage
from kvproxy.tariffs import DocumentTerms
from kvproxy.tiers.tiered_pages import TieredPages
from tests.document_files.conftest import exported, small, texts
from tests.document_files.hosts import TEXT, Exported, chunks_of
from tests.stack.small_stack import NAME, SmallStack, open_small_stack

__all__ = ["exported", "small", "texts"]
TARIFF = 'currency: USD\ntariffs: [{valid_from: 2026-01-01, models: {small: {input: "5", output: "15"}}}]\n'


class Opener:
    """Opens one stack for a test."""

    def __init__(self, life: AsyncExitStack, folder: Path, weights: TileModel, texts: Path) -> None:
        self._life, self.folder, self._weights, self._texts = life, folder, weights, texts

    async def __call__(self, **settings: Any) -> SmallStack:
        opening = open_small_stack(self.folder, self._weights, self._texts, **settings)
        return await self._life.enter_async_context(opening)

    async def with_objects(self) -> tuple[SmallStack, TieredPages]:
        stack = await self(**{"store.objects.url": f"file://{self.folder / 'objects'}"})
        assert isinstance(stack.stores.pages, TieredPages)
        return stack, stack.stores.pages


@pytest.fixture
async def opened(small: TileModel, texts: Path, tmp_path: Path) -> AsyncIterator[Opener]:
    async with AsyncExitStack() as life:
        yield Opener(life, tmp_path, small, texts)


async def published(stack: SmallStack) -> tuple[str, Manifest]:
    publisher = stack.documents.publisher
    await publisher.publish("handbook", TEXT, "public", ANONYMOUS)
    assert publisher.manifests is not None
    signed = await publisher.manifests.current(publisher.current_ref("handbook", ANONYMOUS))
    return signed.jws, signed.manifest


def exchange(stack: SmallStack, **documents: Any) -> FileExchange:
    settings = stack.config.documents.model_copy(update=documents)
    return make_exchange(
        settings, stack.model, stack.stores, stack.engine, stack.market, stack.documents.publisher
    )


async def taken_in(files: FileExchange, file: bytes, **wish: Any) -> Imported:
    return await files.importer.take_in(chunks_of(file), ImportWish(visibility="public", **wish), ANONYMOUS)


async def test_a_manifest_names_this_host_and_its_engine(opened: Opener) -> None:
    stack = await opened()
    jws, manifest = await published(stack)
    assert (manifest.host, manifest.engine.model) == (NAME, "small")
    assert manifest.engine.fingerprint == stack.model.weights.fingerprint
    assert manifest.engine.identity == stack.model.weights.identity
    assert all(page.digest is not None for framing in manifest.framings for page in framing.pages)
    claims = stack.market.host_keys.verify(jws, "kvproxy-manifest+jws")
    assert claims["iss"] == NAME


async def test_without_prices_a_manifest_has_no_terms(opened: Opener) -> None:
    policy = (await published(await opened()))[1].policy
    assert (policy.visibility, policy.terms, policy.licence) == ("public", None, "")


async def test_terms_are_told_as_they_are_now(opened: Opener) -> None:
    (opened.folder / "tariff.yaml").write_text(TARIFF)
    stack = await opened(tariff=opened.folder / "tariff.yaml")
    terms, publisher = stack.market.terms, stack.documents.publisher
    before = (await published(stack))[1].policy.terms
    assert before is not None and before["currency"] == "USD"
    assert before["id"] == terms.terms("handbook", "anonymous").id
    chosen = DocumentTerms(kind="fixed", nano_per_1000=20_000_000)
    licence = "Answers may be published."
    await asyncio.to_thread(terms.set_terms, "handbook", "anonymous", chosen, licence=licence)
    assert publisher.manifests is not None
    now = (await publisher.manifests.current(publisher.current_ref("handbook", ANONYMOUS))).manifest.policy
    assert now.terms is not None and now.terms["id"] == chosen.id != before["id"]
    assert (now.terms["nano_per_1000"], now.licence) == (20_000_000, licence)
    assert all(isinstance(value, str) or value <= MOST_NUMBER for value in now.terms.values())


async def test_a_fleet_gets_the_manifest_of_a_new_version(opened: Opener) -> None:
    stack, pages = await opened.with_objects()
    jws, _ = await published(stack)
    shared = ManifestObjects(pages.objects.store)
    assert shared.get(PUBLIC, "handbook", 1) == jws
    pointer = shared.current(PUBLIC, "handbook")
    assert pointer is not None
    assert (pointer.current.version, pointer.current.manifest_sha256) == (1, manifest_sha256(jws))


async def test_a_page_from_elsewhere_waits_in_local_files_alone(opened: Opener) -> None:
    stack, pages = await opened.with_objects()
    ids, form = tuple(range(256)), stack.model.weights.page_shape.form
    key, staged, parent = (bytes([n]) * 32 for n in (1, 2, 3))
    pages.put(key, parent, ids, _payload(form))
    transfer = page_transfer(stack.stores)
    sent = transfer.outgoing(key, parent, ids)
    assert sent is not None
    assert transfer.take_in(staged, sent.file, ExpectedPage(parent, ids, sent.page.digest)) is None
    assert pages.behind.settle(60)
    assert (pages.objects.has(key), pages.objects.has(staged)) == (True, False)
    assert pages.local.has(staged)
    pages.delete([key, staged])


async def test_a_document_leaves_and_comes_back_under_the_hosts_own_keys(opened: Opener) -> None:
    stack = await opened()
    await published(stack)
    files = exchange(stack)
    ref = stack.documents.publisher.current_ref("handbook", ANONYMOUS)
    leaving = await files.exporter.open(ref, ANONYMOUS)
    file = b"".join([piece async for piece in leaving.content])
    back = await taken_in(files, file, id="guide", pages="required")
    assert back.published.created and back.manifest.host == NAME and back.pages > 0
    assert await stack.documents.publisher.text(replace(ref, id="guide"), ANONYMOUS) == TEXT


async def test_another_host_is_believed_where_the_settings_name_it(
    opened: Opener, exported: Exported
) -> None:
    stack = await opened()
    with pytest.raises(SignatureRefused, match="not trusted here"):
        await taken_in(exchange(stack), exported.file)
    trusted = (TrustedHostSettings(name="a.example", jwks=str(exported.jwks)),)
    back = await taken_in(exchange(stack, trusted_hosts=trusted), exported.file, pages="none")
    assert back.manifest.host == "a.example" and back.published.created
    other = (TrustedHostSettings(name="c.example", jwks=str(exported.jwks)),)
    with pytest.raises(SignatureRefused, match="not trusted here"):
        await taken_in(exchange(stack, trusted_hosts=other), exported.file, id="other")


async def test_a_trusted_host_that_is_nowhere_is_refused_at_the_start(opened: Opener) -> None:
    trusted = (TrustedHostSettings(name="kv.example", jwks="ftp://kv.example/jwks"),)
    stack = await opened()
    with pytest.raises(SetupError, match=r"'kv\.example' is neither a file nor a URL"):
        exchange(stack, trusted_hosts=trusted)


@pytest.mark.parametrize(("share", "checked"), [(1.0, 6), (0.2, 4)])
async def test_the_settings_say_how_much_of_an_import_is_computed_again(
    opened: Opener, exported: Exported, share: float, checked: int
) -> None:
    trusted = (TrustedHostSettings(name="a.example", jwks=str(exported.jwks)),)
    files = exchange(await opened(), trusted_hosts=trusted, import_check=share)
    back = await taken_in(files, exported.file, pages="required")
    assert (back.pages, back.checked) == (6, checked), back.note


async def test_a_text_that_is_too_long_for_the_settings_is_refused(
    opened: Opener, exported: Exported
) -> None:
    trusted = (TrustedHostSettings(name="a.example", jwks=str(exported.jwks)),)
    files = exchange(await opened(), trusted_hosts=trusted, max_text=len(TEXT) - 1)
    with pytest.raises(DocumentRejected):
        await taken_in(files, exported.file)


def _payload(form: PageForm) -> bytes:
    return os.urandom(form.payload_bytes(256))
