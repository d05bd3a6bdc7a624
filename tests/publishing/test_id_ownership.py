from __future__ import annotations

import pytest

from kvproxy.core import DocumentRef
from kvproxy.documents.library.document import Document, etag_of
from kvproxy.errors import DocumentNotFound, DocumentRejected, PermissionDenied
from kvproxy.wire.kv_documents.document_ref import parse_document_ref
from tests.test_publish import ALICE, BOB, TEXT, Shop, folder, shop

__all__ = ["folder", "shop"]


async def test_ids_belong_to_their_publisher(shop: Shop) -> None:
    await shop.publish("rules", TEXT)
    with pytest.raises(PermissionDenied):
        await shop.publish("rules", "mine now", caller=BOB)
    with pytest.raises(PermissionDenied):
        await shop.publisher.delete(DocumentRef("rules"), BOB)
    await shop.publish("secret", TEXT, "private")
    for attempt in (shop.publisher.get, shop.publisher.text, shop.publisher.delete):
        with pytest.raises(DocumentNotFound):
            await attempt(DocumentRef("secret"), BOB)
    assert await shop.refs(ALICE) == ["rules@1", "secret@1"]


WAYS = [
    "a/../b",
    "a/./b",
    "a//b",
    "a/",
    "/a",
    "./a",
    "../a",
    "a/..",
    "a/.",
    "..",
    "a%2Fb",
    "a\\b",
    "a/..;/b",
    "a?b",
    "a#b",
]
"""Ids that a client, or a proxy on the way, could take for another one."""


@pytest.mark.parametrize("id", ["", "a@1", "-a", ".", "a b", "ä", "x" * 129, "a\n", *WAYS])
async def test_ids_that_are_refused(shop: Shop, id: str) -> None:
    with pytest.raises(DocumentRejected) as caught:
        await shop.publish(id, TEXT)
    assert caught.value.param == "id"


@pytest.mark.parametrize(
    "id", ["a", "a.b", "a..b", "a/.b", "a/b..", "a/...", "a/-", "a.", "0/_", "x" * 128, "x/" * 63 + "y"]
)
async def test_ids_that_are_accepted(shop: Shop, id: str) -> None:
    assert (await shop.publish(id, "a text")).id == id


async def test_ids_of_older_stores_can_still_be_read_and_deleted(shop: Shop) -> None:
    await shop.publish("team/b", TEXT)
    older = Document(
        "team/a/../b", 1, "an older text", etag_of("an older text"), "public", ALICE.scope, 1_700_000_000
    )
    shop.registry.publish(older, ())
    again = shop.reopen()
    await again.publisher.restore()
    ref = parse_document_ref("team/a/../b", param="document")
    assert await again.publisher.text(ref, BOB) == "an older text"
    await again.publisher.delete(ref, ALICE)
    assert await again.refs(ALICE) == ["team/b@1"]
    again.registry.close()
