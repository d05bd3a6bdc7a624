from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kvproxy.core import DocumentRef
from kvproxy.errors import CannotFit, DocumentNotFound, Overloaded
from tests.test_publish import ALICE, BOB, FRAMINGS, TEXT, Shop, folder

__all__ = ["folder"]

REF = DocumentRef("rules", 1)
MORE = TEXT + "One more rule.\n" * 30


@pytest.fixture
async def shop(folder: Path, tmp_path: Path) -> AsyncIterator[Shop]:
    shop = Shop(folder, tmp_path, set(), FRAMINGS)
    yield shop
    assert shop.registry.check() == [] and shop.backend.check() == []
    shop.registry.close()


async def pin(shop: Shop, text: str = TEXT, pinned: bool | None = True, id: str = "rules") -> bool:
    published = await shop.publisher.publish(id, text, None, ALICE, pinned=pinned)
    found = await shop.publisher.get(DocumentRef(id, published.info.version), BOB)
    assert found.pinned == published.info.pinned
    return bool(found.pinned)


async def test_a_pinned_document_is_pinned_in_every_framing(shop: Shop) -> None:
    assert await pin(shop)
    assert len(shop.backend.pinned) == len(FRAMINGS)
    assert {len(tokens) for _, tokens in shop.backend.pinned} == {
        f.tokens for f in (await shop.publisher.get(REF, ALICE)).framings
    }


async def test_the_same_text_again_changes_the_pin_alone(shop: Shop) -> None:
    assert not await pin(shop, pinned=None)
    assert await pin(shop)
    assert await pin(shop, pinned=None), "nothing was said of it"
    assert len(shop.backend.pinned) == len(FRAMINGS)
    assert not await pin(shop, pinned=False)
    assert shop.backend.pinned == {} and await shop.refs(ALICE) == ["rules@1"]


async def test_a_new_version_takes_the_pin_over(shop: Shop) -> None:
    await pin(shop)
    before = set(shop.backend.pinned)
    assert await pin(shop, MORE, pinned=None)
    assert len(shop.backend.pinned) == len(FRAMINGS) and not before & set(shop.backend.pinned)
    assert not (await shop.publisher.get(REF, ALICE)).pinned
    assert not await pin(shop, TEXT, pinned=False)
    assert shop.backend.pinned == {}


async def test_more_than_the_share_is_refused_before_anything_is_computed(shop: Shop) -> None:
    await pin(shop)
    needed = shop.backend.most_pinned = sum(shop.backend.pinned.values())
    with pytest.raises(CannotFit, match=r"may pin 0 more.*engine\.page_budget"):
        await pin(shop, "Other. " + TEXT, id="others")
    with pytest.raises(DocumentNotFound):
        await shop.publisher.get(DocumentRef("others"), ALICE)
    assert await pin(shop, TEXT.replace("nothing", "anything")), "in the place of the version before it"
    assert sum(shop.backend.pinned.values()) <= needed
    assert not await pin(shop, "Other. " + TEXT, pinned=None, id="others")
    with pytest.raises(CannotFit, match=r"would take \d+ pages of KV, and documents may pin 0 more"):
        await pin(shop, "Other. " + TEXT, id="others")
    assert len(shop.backend.pinned) == len(FRAMINGS)


async def test_a_publish_cancelled_while_it_is_written_pins_all_the_same(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version is visible then: it is so with its pin, and the version before it without."""
    await pin(shop)
    loop, publish = asyncio.get_running_loop(), shop.registry.publish

    def and_leave(*arguments: Any, **options: Any) -> None:
        publish(*arguments, **options)
        loop.call_soon_threadsafe(task.cancel)

    monkeypatch.setattr(shop.registry, "publish", and_leave)
    task = asyncio.ensure_future(shop.publisher.publish("rules", MORE, None, ALICE, pinned=True))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [(i.version, i.pinned) for i in await shop.publisher.list(BOB)] == [(1, False), (2, True)]
    assert [entry.pinned for entry in shop.registry.load()] == [False, True]
    assert len(shop.backend.pinned) == len(FRAMINGS)


async def test_two_pins_over_the_share_are_not_both_computed(shop: Shop) -> None:
    await pin(shop)
    shop.backend.most_pinned = 2 * sum(shop.backend.pinned.values())
    shop.backend.start_delay_s = 1e-3
    both = await asyncio.gather(
        *(pin(shop, f"{id}. {TEXT}", id=id) for id in ("a", "b")), return_exceptions=True
    )
    # Either may be tokenised first.
    first, second = ("a", "b") if both[0] is True else ("b", "a")
    assert True in both and any(isinstance(outcome, CannotFit) for outcome in both)
    assert [i.id for i in await shop.publisher.list(BOB)] == [first, "rules"]
    await shop.publisher.delete(DocumentRef(first), ALICE)
    assert await pin(shop, f"{second}. {TEXT}", id=second), "nothing is set aside any more"


async def test_reserved_room_is_given_back_when_a_publish_is_cancelled(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pin(shop)
    shop.backend.most_pinned = 2 * sum(shop.backend.pinned.values())
    entered = asyncio.Event()

    async def never(*_: Any) -> None:
        entered.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(shop.backend, "keep", never)
        task = asyncio.ensure_future(pin(shop, f"a. {TEXT}", id="a"))
        await entered.wait()
        with pytest.raises(CannotFit):
            await pin(shop, f"b. {TEXT}", id="b")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await pin(shop, f"b. {TEXT}", id="b")


@pytest.mark.parametrize("rooms", [1, 2])
async def test_a_refused_pin_is_a_refused_publish(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, rooms: int
) -> None:
    """A refused publish leaves no visible version, for every error that the backend raises at the last moment."""
    await pin(shop)
    before = dict(shop.backend.pinned)
    shop.backend.most_pinned = rooms * sum(before.values())
    disk, pinned, calls = set(shop.backend.disk), shop.backend.pin, 0

    async def busy_at_second(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise Overloaded("memory is short", retry_after_s=5)
        return await pinned(*arguments)

    monkeypatch.setattr(shop.backend, "pin", busy_at_second)
    with pytest.raises(Overloaded):
        await pin(shop, TEXT.replace("nothing", "anything"), pinned=None)
    assert await shop.refs(ALICE) == ["rules@1"] and shop.backend.disk == disk
    assert shop.backend.pinned == before and (await shop.publisher.get(REF, ALICE)).pinned


async def test_two_versions_may_pin_one_page(shop: Shop) -> None:
    """A text in another spelling, under the same id."""
    await pin(shop, TEXT.replace("\n", "\r\n"))
    assert await pin(shop, TEXT, pinned=None)
    assert len(shop.backend.pinned) == len(FRAMINGS)


async def test_a_deleted_document_is_pinned_no_more(shop: Shop) -> None:
    await pin(shop)
    await shop.publisher.delete(REF, ALICE)
    assert shop.backend.pinned == {}
    assert not await pin(shop, pinned=None)


async def test_pins_come_back_after_a_restart(shop: Shop) -> None:
    await pin(shop)
    pinned = dict(shop.backend.pinned)
    again = shop.reopen()
    await again.publisher.restore()
    assert (await again.publisher.get(REF, ALICE)).pinned and again.backend.pinned == {}
    await again.publisher.refresh()
    assert again.backend.pinned == pinned
    again.registry.close()


async def test_a_restart_with_less_room_pins_the_first_pages(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    await pin(shop)
    again = shop.reopen()
    again.backend.most_pinned = 1
    await again.publisher.restore()
    await again.publisher.refresh()
    assert sum(again.backend.pinned.values()) == 1 and "rules@1 is not pinned as a whole" in caplog.text
    assert again.cached(TEXT, BOB) > 500
    again.registry.close()


async def test_a_document_that_leaves_quarantine_is_pinned_anew(shop: Shop) -> None:
    await pin(shop)
    await shop.publisher.quarantine.confine({REF: "page 1 differs"})
    shop.backend.pinned.clear()  # as the engine does with pages that are dropped
    assert await pin(shop, pinned=None)
    assert len(shop.backend.pinned) == len(FRAMINGS)
