"""Versions end: revoked, or when their time is over; and aliases that move between them. On a fake backend."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from kvproxy.core import LATEST, ChatRequest, DocumentPart, DocumentRef, Message
from kvproxy.documents.library.preconditions import Preconditions
from kvproxy.documents.library.served_documents import while_served
from kvproxy.errors import (
    DocumentExpired,
    DocumentNotFound,
    DocumentRevoked,
    InvalidRequest,
    PermissionDenied,
    PreconditionFailed,
    StorageFull,
)
from kvproxy.publishing.expiry_clock import SETTLE_S
from tests.documents.models import write_model
from tests.publishing.test_expiry_clock import Times
from tests.test_publish import ALICE, BOB, FRAMINGS, TEXT, Shop

OTHER = TEXT.replace("e", "a")
RULES = DocumentRef("rules", 1)
READER = replace(BOB, permissions=BOB.permissions - {"admin"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), "qwen3")


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
async def shop(folder: Path, tmp_path: Path, times: Times) -> AsyncIterator[Shop]:
    shop = Shop(folder, tmp_path, set(), FRAMINGS, clock=times.clock)
    yield shop
    assert shop.registry.check() == [] and shop.backend.check() == []
    assert shop.registry.page_keys() == shop.backend.disk, "what is on disk is what documents need"
    shop.close()


@asynccontextmanager
async def swept(shop: Shop) -> AsyncIterator[None]:
    task = asyncio.create_task(shop.publisher.endings.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def gone(shop: Shop, ref: DocumentRef) -> None:
    """Wait until its pages are dropped."""
    while shop.publisher.holding(ref).framings:  # noqa: ASYNC110  the publisher tells nobody
        await asyncio.sleep(0.01)


def named(ref: DocumentRef) -> ChatRequest:
    return ChatRequest("fake", (Message("user", (DocumentPart(ref),)),))


async def test_a_revoked_version_is_never_served_again(shop: Shop) -> None:
    await shop.publish("rules", TEXT)
    await shop.publish("rules", OTHER)
    assert await shop.publisher.endings.revoke(DocumentRef("rules", 2), ALICE, "wrong") == [
        DocumentRef("rules", 2)
    ]
    for reader in (ALICE, BOB):
        with pytest.raises(DocumentRevoked, match="'rules@2' was revoked by its publisher \\(wrong\\)"):
            await shop.publisher.get(DocumentRef("rules", 2), reader)
        assert (await shop.publisher.get(DocumentRef("rules"), reader)).version == 1, (
            "the newest that is served"
        )
    assert shop.cached(OTHER, BOB) < 20 and shop.cached(TEXT, BOB) > 500
    withdrawn = shop.library.withdrawn.at_front(f"{OTHER} And?", BOB)
    assert withdrawn is not None and (withdrawn.ending, withdrawn.reason) == ("revoked", "wrong")
    again = shop.reopen()
    await again.publisher.restore()
    assert await again.refs(BOB) == ["rules@1"]
    with pytest.raises(DocumentRevoked):
        again.composer.compose(named(DocumentRef("rules", 2)), BOB)
    again.close()
    assert str(await shop.publish("rules", OTHER)) == "rules@3", "its number is not used again"
    await shop.publisher.delete(DocumentRef("rules", 2), ALICE)
    with pytest.raises(DocumentNotFound):
        await shop.publisher.get(DocumentRef("rules", 2), ALICE)


async def test_all_versions_are_revoked_and_the_id_stays_its_publishers(shop: Shop) -> None:
    await shop.publish("rules", TEXT)
    await shop.publish("rules", OTHER)
    with pytest.raises(PermissionDenied):
        await shop.publisher.endings.revoke(DocumentRef("rules"), READER, "not mine")
    assert len(await shop.publisher.endings.revoke(DocumentRef("rules"), ALICE, "both")) == 2
    assert len(shop.library) == 0 and shop.backend.disk == set()
    with pytest.raises(DocumentRevoked):
        await shop.publisher.get(DocumentRef("rules"), BOB)
    with pytest.raises(PermissionDenied, match="another publisher"):
        await shop.publish("rules", TEXT, caller=BOB)
    ended = shop.publisher.endings.withdrawn(ALICE)
    assert [str(w.document.ref) for w in ended] == ["rules@1", "rules@2"]
    await shop.publisher.delete(DocumentRef("rules"), ALICE)
    assert str(await shop.publish("rules", TEXT, caller=BOB)) == "rules@3"


async def test_an_admin_may_revoke_what_it_can_name(shop: Shop) -> None:
    await shop.publish("rules", TEXT)
    admin = replace(BOB, permissions=BOB.permissions | {"admin"})
    with pytest.raises(PermissionDenied):
        await shop.publisher.endings.revoke(RULES, READER, "x")
    assert await shop.publisher.endings.revoke(RULES, admin, "unlawful") == [RULES]
    await shop.publish("notes", TEXT, "private")
    with pytest.raises(DocumentNotFound):
        await shop.publisher.endings.revoke(DocumentRef("notes"), admin, "x")


async def test_nobody_else_hears_of_a_private_version_that_was_revoked(shop: Shop) -> None:
    ref = await shop.publish("rules", TEXT, "private")
    private = DocumentRef("rules", ref.version)
    await shop.publisher.endings.revoke(private, ALICE, "secret reason")
    with pytest.raises(DocumentRevoked, match="secret reason"):
        await shop.publisher.get(private, ALICE)
    with pytest.raises(DocumentNotFound):
        await shop.publisher.get(private, BOB)
    assert shop.library.withdrawn.at_front(TEXT, BOB) is None
    assert shop.library.withdrawn.at_front(TEXT, ALICE) is not None
    assert shop.publisher.endings.withdrawn(BOB) == []


async def test_a_revocation_that_cannot_be_written_hides_all_the_same(shop: Shop) -> None:
    await shop.publish("rules", TEXT)

    def full(ref: DocumentRef, note: str) -> None:
        raise StorageFull("full")

    revoke = shop.registry.revoke
    shop.registry.revoke = full  # type: ignore[method-assign]  # a disk that is full at this one moment
    with pytest.raises(StorageFull):
        await shop.publisher.endings.revoke(RULES, ALICE, "wrong")
    with pytest.raises(DocumentRevoked):
        await shop.publisher.get(RULES, BOB)
    shop.registry.revoke = revoke  # type: ignore[method-assign]  # a disk that fails
    assert await shop.publisher.endings.revoke(RULES, ALICE, "wrong") == [RULES]


async def test_a_version_ends_and_is_deleted_after_the_grace(shop: Shop, times: Times) -> None:
    info = (await shop.publisher.publish("rules", TEXT, None, ALICE, ttl_s=100)).info
    assert info.expires == times.wall + 100
    async with swept(shop):
        times.wait(99)
        await asyncio.sleep(0.05)
        assert shop.cached(TEXT, BOB) > 500
        times.wait(2)
        await asyncio.wait_for(gone(shop, RULES), 10)
    assert shop.cached(TEXT, BOB) == 0 and await shop.refs(ALICE) == []
    with pytest.raises(DocumentExpired, match="'rules@1' has expired"):
        await shop.publisher.get(RULES, BOB)
    await shop.publisher.endings.delete_ended()
    assert [str(w.document.ref) for w in shop.publisher.endings.withdrawn(ALICE)] == ["rules@1"]
    times.wait(600 + SETTLE_S)
    await shop.publisher.endings.delete_ended()
    assert shop.registry.load() == [] and shop.publisher.endings.withdrawn(ALICE) == []
    with pytest.raises(DocumentNotFound):
        await shop.publisher.get(RULES, BOB)
    assert str(await shop.publish("rules", TEXT)) == "rules@2"


async def test_a_touch_moves_the_end(shop: Shop, times: Times) -> None:
    await shop.publisher.publish("rules", TEXT, None, ALICE, ttl_s=10)
    with pytest.raises(PermissionDenied):
        await shop.publisher.endings.touch(RULES, BOB, 1)
    await shop.publisher.endings.touch(RULES, ALICE, 1000)
    async with swept(shop):
        times.wait(50)
        await asyncio.sleep(0.05)
    assert (await shop.publisher.get(RULES, ALICE)).expires == times.wall + 950
    again = await shop.publisher.publish("rules", TEXT, None, ALICE, ttl_s=2000)
    assert not again.created and again.info.expires == times.wall + 2000
    assert (await shop.publisher.publish("rules", TEXT, None, ALICE)).info.expires == times.wall + 2000
    await shop.publisher.endings.touch(RULES, ALICE, None)
    assert [e.document.expires for e in shop.registry.load()] == [None]


async def test_what_has_expired_is_served_again_by_a_touch(shop: Shop, times: Times) -> None:
    await shop.publisher.publish("rules", TEXT, None, ALICE, ttl_s=10)
    async with swept(shop):
        times.wait(20)
        await asyncio.wait_for(gone(shop, RULES), 10)
        assert await shop.publisher.endings.touch(RULES, ALICE, 60) == RULES
        assert shop.cached(TEXT, BOB) > 500 and await shop.refs(BOB) == ["rules@1"]
        times.wait(61)
        await asyncio.wait_for(gone(shop, RULES), 10)
    await shop.publisher.endings.revoke(RULES, ALICE, "and now for ever")
    with pytest.raises(DocumentRevoked):
        await shop.publisher.endings.touch(RULES, ALICE, 60)


async def test_a_clock_that_jumps_deletes_and_resurrects_nothing(shop: Shop, times: Times) -> None:
    await shop.publisher.publish("rules", TEXT, None, ALICE, ttl_s=3600)
    times.wait(SETTLE_S)
    async with swept(shop):
        times.wall += 10 * 365 * 86_400  # years ahead
        await asyncio.wait_for(gone(shop, RULES), 10)
        await shop.publisher.endings.delete_ended()
        assert len(shop.registry.load()) == 1, "hidden, and deleted by no jump"
        times.wall -= 20 * 365 * 86_400  # and years back
        await asyncio.sleep(0.05)
        with pytest.raises(DocumentExpired):
            await shop.publisher.get(RULES, BOB)
    times.wall += 10 * 365 * 86_400
    await shop.publisher.endings.touch(RULES, ALICE, 60)
    assert shop.cached(TEXT, BOB) > 500


async def test_a_restart_serves_nothing_that_has_ended(shop: Shop, times: Times) -> None:
    await shop.publisher.publish("rules", TEXT, None, ALICE, ttl_s=3600)
    await shop.publisher.publish("soon", OTHER, None, ALICE, ttl_s=10)
    times.wait(20)
    again = shop.reopen()
    await again.publisher.restore()
    assert await again.refs(BOB) == ["rules@1"]
    with pytest.raises(DocumentExpired):
        await again.publisher.get(DocumentRef("soon"), BOB)
    async with swept(again):
        times.wait(3600)
        await asyncio.wait_for(gone(again, RULES), 10)
    assert await again.refs(BOB) == []
    again.close()
    async with swept(shop):
        await asyncio.wait_for(gone(shop, DocumentRef("soon", 1)), 10)
        await asyncio.wait_for(gone(shop, RULES), 10)


async def test_an_alias_is_the_version_that_its_publisher_says(shop: Shop) -> None:
    endings = shop.publisher.endings
    await shop.publish("rules", TEXT)
    await shop.publish("rules", OTHER)
    stable = DocumentRef("rules", alias="stable")
    with pytest.raises(DocumentNotFound, match="'rules@stable'"):
        await shop.publisher.get(stable, BOB)
    await endings.set_alias("rules", "stable", 1, ALICE)
    info = await shop.publisher.get(stable, BOB)
    assert (info.version, info.aliases) == (1, ("stable",))
    assert (await shop.publisher.get(DocumentRef("rules", alias=LATEST), BOB)).version == 2
    assert shop.composer.compose(named(stable), BOB).documents[0].document == RULES
    with pytest.raises(PermissionDenied):
        await endings.set_alias("rules", "stable", 2, BOB)
    with pytest.raises(InvalidRequest):
        await endings.set_alias("rules", LATEST, 1, ALICE)
    with pytest.raises(PreconditionFailed):
        await endings.set_alias("rules", "stable", 2, ALICE, Preconditions(if_none_match=("*",)))
    await endings.set_alias("rules", "stable", None, ALICE, Preconditions(if_match=(info.etag,)))
    again = shop.reopen()
    await again.publisher.restore()
    assert (await again.publisher.get(stable, BOB)).version == 2
    again.close()
    await endings.drop_alias("rules", "stable", ALICE)
    with pytest.raises(DocumentNotFound):
        await endings.drop_alias("rules", "stable", ALICE)
    with pytest.raises(DocumentNotFound):
        await shop.publisher.get(stable, ALICE)


async def test_aliases_of_two_publishers_are_their_own(shop: Shop) -> None:
    await shop.publish("rules", TEXT, "private")
    await shop.publish("rules", OTHER, "private", caller=BOB)
    await shop.publisher.endings.set_alias("rules", "stable", None, ALICE)
    stable = DocumentRef("rules", alias="stable")
    assert (await shop.publisher.get(stable, ALICE)).version == 1
    with pytest.raises(DocumentNotFound):
        await shop.publisher.get(stable, BOB)


async def test_an_alias_follows_its_document_into_the_open(shop: Shop) -> None:
    await shop.publish("rules", TEXT, "private")
    await shop.publisher.endings.set_alias("rules", "stable", 1, ALICE)
    await shop.publish("rules", OTHER, "public")
    await shop.publisher.endings.set_alias("rules", "stable", 2, ALICE)
    stable = DocumentRef("rules", alias="stable")
    assert [(await shop.publisher.get(stable, who)).version for who in (ALICE, BOB)] == [2, 2]
    assert len(shop.registry.aliases()) == 1


async def test_deleting_an_alias_deletes_that_version_alone(shop: Shop) -> None:
    for text in (TEXT, OTHER, TEXT + "More."):
        await shop.publish("rules", text)
    await shop.publisher.endings.set_alias("rules", "old", 1, ALICE)
    await shop.publisher.delete(DocumentRef("rules", alias="old"), ALICE)
    assert await shop.refs(ALICE) == ["rules@2", "rules@3"]
    await shop.publisher.delete(DocumentRef("rules", alias=LATEST), ALICE)
    assert await shop.refs(ALICE) == ["rules@2"]
    with pytest.raises(DocumentNotFound):
        await shop.publisher.delete(DocumentRef("rules", alias="old"), ALICE)


async def test_what_is_published_may_depend_on_what_is_there(shop: Shop) -> None:
    new = Preconditions(if_none_match=("*",))
    first = (await shop.publisher.publish("rules", TEXT, None, ALICE, conditions=new)).info
    with pytest.raises(PreconditionFailed, match="'rules' has the ETag"):
        await shop.publisher.publish("rules", OTHER, None, ALICE, conditions=new)
    with pytest.raises(PreconditionFailed, match="does not exist"):
        await shop.publisher.publish("none", TEXT, None, ALICE, conditions=Preconditions(if_match=("*",)))
    same = Preconditions(if_match=(first.etag,))
    second = (await shop.publisher.publish("rules", OTHER, None, ALICE, conditions=same)).info
    with pytest.raises(PreconditionFailed, match="If-Match asks for another"):
        await shop.publisher.publish("rules", TEXT, None, ALICE, conditions=same)
    with pytest.raises(PreconditionFailed):
        await shop.publisher.delete(DocumentRef("rules"), ALICE, same)
    await shop.publisher.delete(DocumentRef("rules"), ALICE, Preconditions(if_match=("x", second.etag)))
    assert await shop.refs(ALICE) == []


async def test_who_waits_for_a_document_hears_of_its_end_at_once(shop: Shop) -> None:
    await shop.publish("rules", TEXT)
    prompt = shop.composer.compose(named(RULES), BOB)
    waiting = asyncio.Event()

    async def wait() -> None:
        async with while_served(shop.library, prompt.documents):
            waiting.set()
            await asyncio.Event().wait()

    reader = asyncio.create_task(wait())
    await waiting.wait()
    await shop.publisher.endings.revoke(RULES, ALICE, "wrong")
    with pytest.raises(DocumentRevoked):
        await asyncio.wait_for(reader, 10)
    with pytest.raises(DocumentRevoked):
        async with while_served(shop.library, prompt.documents):
            raise AssertionError("it began")


async def test_a_block_that_times_out_by_itself_is_no_withdrawal(shop: Shop) -> None:
    await shop.publish("rules", TEXT)
    prompt = shop.composer.compose(named(RULES), BOB)
    with pytest.raises(TimeoutError):
        async with while_served(shop.library, prompt.documents):
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
