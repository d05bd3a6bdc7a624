"""A new version computes only what follows the first change, and says so."""

from __future__ import annotations

import pytest

from kvproxy.core import PAGE_TOKENS, Visibility
from kvproxy.documents.library.document_info import Published
from tests.publishing.test_document_pins import folder, shop
from tests.test_publish import ALICE, BOB, TEXT, Shop

__all__ = ["folder", "shop"]

LONG = TEXT * 3
CHANGED = LONG + "One more rule.\n" * 30


async def publish(shop: Shop, text: str, visibility: Visibility, id: str = "rules") -> Published:
    return await shop.publisher.publish(id, text, visibility, ALICE)


@pytest.mark.parametrize("visibility", ["public", "private", "granted"])
async def test_only_what_follows_the_first_change_is_computed(shop: Shop, visibility: Visibility) -> None:
    first = await publish(shop, LONG, visibility)
    tokens = sum(f.tokens for f in first.info.framings)
    assert first.computed + first.reused == tokens
    second = await publish(shop, CHANGED, visibility)
    framings = second.info.framings
    assert second.computed + second.reused == sum(f.tokens for f in framings)
    for before, after in zip(first.info.framings, framings, strict=True):
        assert after.resident_tokens == after.tokens > before.tokens
    assert second.computed <= sum(
        after.tokens - before.tokens + 2 * PAGE_TOKENS
        for before, after in zip(first.info.framings, framings, strict=True)
    )


@pytest.mark.parametrize(
    ("before", "after"), [("private", "granted"), ("granted", "public"), ("private", "public")]
)
async def test_a_change_of_visibility_copies_the_publishers_own_pages(
    shop: Shop, before: Visibility, after: Visibility
) -> None:
    await publish(shop, LONG, before)
    assert (await publish(shop, LONG, after)).computed == 0


async def test_public_pages_are_copied_into_no_private_version(shop: Shop) -> None:
    """They may be another publisher's: a private publish takes as long as if nobody had its text."""
    first = await publish(shop, LONG, "public")
    await shop.publisher.publish("theirs", CHANGED, "public", BOB)
    again = await publish(shop, LONG, "private")
    assert again.computed == first.computed


async def test_the_same_text_again_computes_nothing(shop: Shop) -> None:
    await publish(shop, LONG, "public")
    again = await publish(shop, LONG, "public")
    assert (again.created, again.computed, again.reused) == (False, 0, 0)


async def test_pages_in_quarantine_are_not_copied(shop: Shop) -> None:
    first = await publish(shop, LONG, "granted")
    (known,) = shop.library.versions("rules", ALICE)
    await shop.publisher.quarantine.confine({known.document.ref: "page 1 differs"})
    second = await publish(shop, LONG + "More.", "granted")
    assert second.computed >= first.computed
