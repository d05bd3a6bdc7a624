from __future__ import annotations

import unicodedata

import pytest

from kvproxy.core import DocumentRef
from kvproxy.documents.library.document import etag_of
from kvproxy.errors import StorageFull
from tests.test_publish import ALICE, BOB, FRAMINGS, LINES, TEXT, Interrupted, Shop, folder, over, shop

__all__ = ["folder", "shop"]


async def test_every_spelling_is_prefilled_and_in_the_view(shop: Shop) -> None:
    progress: list[tuple[int, int]] = []
    text = "\n" + LINES
    info = (
        await shop.publisher.publish("rules", text, None, ALICE, lambda d, t: progress.append((d, t)))
    ).info
    assert [s.name for s in info.spellings] == ["published", "lf", "stripped", "stripped+lf"]
    assert [s.leading for s in info.spellings] == ["\n", "\n", "", ""]
    for spelling, sent in zip(info.spellings, (text, "\n" + TEXT, LINES, TEXT), strict=True):
        core = sent.strip()
        assert (spelling.characters, spelling.sha256) == (len(core), etag_of(core))
    names = [f.name for f in FRAMINGS]
    assert [f.name for f in info.framings] == [
        *names,
        *(f"{name}:{s}" for s in ("lf", "stripped", "stripped+lf") for name in names),
    ]
    total = sum(f.tokens for f in info.framings)
    assert progress[-1] == (total, total) and {t for _, t in progress} == {total}
    kept = {f.name: f.tokens for f in info.framings}
    for sent, name in (
        (text, "system"),
        ("\n" + TEXT, "system:lf"),
        (LINES, "system:stripped"),
        (TEXT.rstrip(), "system:stripped+lf"),
    ):
        assert shop.cached(sent, BOB) == kept[name] > 500
    assert info.etag == etag_of(text), "of the text as published"


async def test_a_document_of_an_older_version_gets_its_spellings(shop: Shop) -> None:
    old = shop.reopen(spellings="exact")
    await old.publish("rules", LINES)
    assert old.cached(LINES, BOB) > 500 and old.cached(TEXT, BOB) < 50, "the first line"
    old.registry.close()
    again = shop.reopen()
    await again.publisher.restore()
    assert again.cached(LINES, BOB) > 500 and again.cached(TEXT, BOB) < 50, "known at once, its pages follow"
    await again.publisher.refresh()
    assert again.cached(TEXT, BOB) > 500
    (info,) = await again.publisher.list(BOB)
    assert sorted(f.name for f in info.framings if ":lf" in f.name) == sorted(
        f"{f.name}:lf" for f in FRAMINGS
    )
    assert all(f.resident_tokens == f.tokens for f in info.framings)
    again.registry.close()


async def test_the_other_spelling_published_later_costs_nothing_and_survives(shop: Shop) -> None:
    """One person publishes the file as bytes, another as text."""
    await shop.publish("bytes", LINES)
    before = set(shop.backend.disk)
    twin = await shop.publish("text", TEXT, caller=BOB)
    assert shop.backend.disk == before, "its pages were there"
    await shop.publisher.delete(DocumentRef("bytes"), ALICE)
    assert shop.cached(TEXT, ALICE) > 500 and shop.cached(LINES, ALICE) < 50
    assert shop.registry.page_keys() == shop.backend.disk
    await shop.publisher.delete(twin, BOB)
    assert shop.cached(TEXT, ALICE) == 0 and shop.backend.disk == set()


async def test_the_other_spelling_under_the_same_id_is_a_new_version(shop: Shop) -> None:
    """A reference stands for the text as published, to the character."""
    assert str(await shop.publish("rules", LINES)) == "rules@1"
    before = set(shop.backend.disk)
    assert str(await shop.publish("rules", TEXT)) == "rules@2"
    assert shop.backend.disk == before
    assert await shop.publisher.text(DocumentRef("rules"), BOB) == TEXT


async def test_when_a_spelling_cannot_be_kept_nothing_of_the_document_is(shop: Shop) -> None:
    backend = Interrupted(disk=shop.backend.disk, max_context=16_384)
    publisher = over(shop, backend)
    backend.at = len(FRAMINGS) + 1

    async def full() -> None:
        raise StorageFull("full")

    backend.meanwhile = full
    with pytest.raises(StorageFull):
        await publisher.publish("rules", LINES, None, ALICE)
    assert shop.backend.disk == set() and await publisher.list(ALICE) == []


async def test_quarantine_and_its_end_cover_all_spellings(shop: Shop) -> None:
    ref = await shop.publish("rules", LINES)
    names = [f.framing for f in shop.registry.load()[0].framings]
    await shop.publisher.quarantine.confine({ref: "it differs"})
    assert shop.cached(TEXT, BOB) == shop.cached(LINES, BOB) == 0
    await shop.publish("rules", LINES)
    assert [f.framing for f in shop.registry.load()[0].framings] == names
    assert shop.cached(TEXT, BOB) > 500 and shop.cached(LINES, BOB) > 500


async def test_another_normal_form_has_the_same_tokens_here(shop: Shop) -> None:
    """The tokenizer composes characters: the pages are found, though the text is not the document's."""
    composed = TEXT.replace("everyone", "Andr\u00e9")
    await shop.publish("rules", composed)
    sent = unicodedata.normalize("NFD", composed)
    assert sent != composed and shop.cached(sent, BOB) == shop.cached(composed, BOB) > 500
