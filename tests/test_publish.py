from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kvproxy.backends.fake.fake_backend import FakeBackend
from kvproxy.core import Caller, ChatRequest, DocumentRef, Kept, Message, PagesFound, TextPart, Visibility
from kvproxy.core.document_quota import NO_QUOTA, DocumentQuota
from kvproxy.documents.library.document import Framing, etag_of
from kvproxy.documents.library.library import Library
from kvproxy.documents.library.reading_rights import ReadingRights
from kvproxy.documents.prepared.preparation import SpellingPolicy
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.errors import DocumentRejected, Overloaded, StorageFull
from kvproxy.publish import Publisher
from kvproxy.publishing.expiry_clock import ExpiryClock
from kvproxy.publishing.text_preparation import MARGIN
from tests.documents.models import write_model
from tests.documents.registry.own_registry import OwnRegistry

ALICE, BOB = Caller("alice", "tenant:a"), Caller("bob", "tenant:b")
FRAMINGS = (Framing("system"), Framing("user"), Framing("user", "You are S."))
TEXT = "".join(f"Rule {i}: everyone shall do what rule {i + 1} says, and nothing else.\n" for i in range(40))

LINES = TEXT.replace("\n", "\r\n")
"""The same text as it stands in a file of another system."""


class Shop:
    """A publisher and all that it stands on; ``reopen`` is a restart on the same disk."""

    def __init__(
        self,
        folder: Path,
        state: Path,
        disk: set[bytes],
        framings: tuple[Framing, ...],
        spellings: SpellingPolicy = "auto",
        texts: bool = False,
        pin_share: float = 1.0,
        clock: ExpiryClock | None = None,
        quota: DocumentQuota = NO_QUOTA,
        rights: ReadingRights | None = None,
    ) -> None:
        self.backend = FakeBackend(disk=disk, max_context=16_384)
        self.library = Library(rights) if rights else Library()
        state.mkdir(exist_ok=True)
        self.registry = OwnRegistry(state)
        self.composer = Composer(Tokenizer.load(folder), ChatTemplate.load(folder), self.library, framings)
        self.publisher = Publisher(
            composer=self.composer,
            library=self.library,
            registry=self.registry,
            local=self.backend,
            max_text=100_000,
            spellings=spellings,
            texts=state / "prepared.sqlite3" if texts else None,
            pin_share=lambda: pin_share,
            expiry_grace_s=600.0,
            quota_of=lambda _: quota,
            clock=clock,
        )
        self.reopen: Callable[..., Shop] = lambda framings=framings, spellings=spellings: Shop(
            folder, state, disk, framings, spellings, texts, pin_share, clock, quota, rights
        )

    def close(self) -> None:
        self.publisher.close()
        self.registry.close()

    async def publish(
        self, id: str, text: str, visibility: Visibility | None = None, caller: Caller = ALICE
    ) -> DocumentRef:
        info = (await self.publisher.publish(id, text, visibility, caller)).info
        return DocumentRef(info.id, info.version)

    def cached(self, text: str, caller: Caller) -> int:
        """Return the number of tokens that a reader of ``text`` at the head of the system message would find."""
        messages = (Message("system", (TextPart(text),)), Message("user", (TextPart("Q"),)))
        prompt = self.composer.compose(ChatRequest("fake", messages), caller)
        with self.backend.hold(prompt, caller) as lookup:
            return lookup.tokens if isinstance(lookup, PagesFound) else 0

    async def refs(self, caller: Caller) -> list[str]:
        return [f"{i.id}@{i.version}" for i in await self.publisher.list(caller)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), "qwen3")


@pytest.fixture
async def shop(folder: Path, tmp_path: Path) -> AsyncIterator[Shop]:
    shop = Shop(folder, tmp_path, set(), FRAMINGS)
    yield shop
    assert shop.registry.check() == [] and shop.backend.check() == []
    assert shop.registry.page_keys() == shop.backend.disk, "what is on disk is what documents need"
    shop.registry.close()


async def test_a_published_document_is_there_for_its_readers(shop: Shop) -> None:
    progress: list[tuple[int, int]] = []
    done = await shop.publisher.publish("rules", TEXT, None, ALICE, lambda d, t: progress.append((d, t)))
    assert done.created
    info = done.info
    assert (info.id, info.version, info.current, info.visibility) == ("rules", 1, True, "public")
    assert info.etag == etag_of(TEXT) and info.characters == len(TEXT) and info.tokens > 500
    assert [f.name for f in info.framings] == [f.name for f in FRAMINGS]
    assert all(f.resident_tokens == f.tokens > info.tokens - 30 for f in info.framings)
    total = sum(f.tokens for f in info.framings)
    assert progress == sorted(progress) and progress[-1] == (total, total)
    assert shop.cached(TEXT, BOB) == info.framings[0].tokens
    assert await shop.publisher.get(DocumentRef("rules"), BOB) == info
    assert await shop.publisher.text(DocumentRef("rules", 1), BOB) == TEXT


async def test_the_same_text_again_changes_nothing(shop: Shop) -> None:
    first = await shop.publisher.publish("rules", TEXT, None, ALICE)
    again = await shop.publisher.publish("rules", TEXT, "public", ALICE)
    assert not again.created and again.prefill_s == 0.0 and again.info == first.info


async def test_versions(shop: Shop) -> None:
    await shop.publish("rules", TEXT, "private")
    assert str(await shop.publish("rules", TEXT + "More.")) == "rules@2"
    assert str(await shop.publish("rules", TEXT)) == "rules@3"
    infos = await shop.publisher.list(ALICE)
    assert [(i.version, i.current, i.visibility) for i in infos] == [
        (1, False, "private"),
        (2, False, "private"),
        (3, True, "private"),
    ]
    assert await shop.refs(BOB) == []
    assert str(await shop.publish("rules", TEXT, "public")) == "rules@4"
    assert await shop.refs(BOB) == ["rules@4"]
    assert (await shop.publisher.get(DocumentRef("rules"), BOB)).current


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("a\ud800", "surrogate"),
        ("x" * 100_001, "100001 bytes; at most 100000"),
        ("a b " * 15_000, f"context has 16384, {MARGIN} of them kept free"),
    ],
)
async def test_texts_that_are_refused(shop: Shop, text: str, says: str) -> None:
    with pytest.raises(DocumentRejected, match=says) as caught:
        await shop.publish("rules", text)
    assert caught.value.param == "text"
    assert await shop.refs(ALICE) == []


class FailingSecond(FakeBackend):
    """Fails, or never ends, at the second framing."""

    failure: BaseException | None = None
    calls = 0

    def __init__(self, disk: set[bytes]) -> None:
        super().__init__(disk=disk, max_context=16_384)
        self.second = asyncio.Event()

    async def keep(
        self,
        token_ids: tuple[int, ...],
        scope: str,
        progress: Callable[[int, int], None] | None = None,
        owner: str | None = None,
        reuse: tuple[str, ...] = (),
    ) -> Kept:
        self.calls += 1
        if self.calls == 2:
            self.second.set()
            if self.failure is not None:
                raise self.failure
            await asyncio.Event().wait()
        return await super().keep(token_ids, scope, progress, owner, reuse)


def over(shop: Shop, backend: FakeBackend) -> Publisher:
    return Publisher(composer=shop.composer, library=shop.library, registry=shop.registry, local=backend)


async def test_a_failed_publish_leaves_nothing(shop: Shop) -> None:
    backend = FailingSecond(shop.backend.disk)
    backend.failure = StorageFull("full")
    publisher = over(shop, backend)
    with pytest.raises(StorageFull):
        await publisher.publish("rules", TEXT, None, ALICE)
    assert shop.backend.disk == set() and await shop.refs(ALICE) == []
    assert str(await shop.publish("rules", TEXT)) == "rules@1"


async def test_a_cancelled_publish_leaves_nothing(shop: Shop) -> None:
    backend = FailingSecond(shop.backend.disk)
    publisher = over(shop, backend)
    task = asyncio.ensure_future(publisher.publish("rules", TEXT, None, ALICE))
    await backend.second.wait()
    assert shop.backend.disk, "the first framing is kept"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert shop.backend.disk == set() and await shop.refs(ALICE) == []
    assert (await publisher.publish("rules", TEXT, None, ALICE)).created


async def test_a_registry_that_fails_leaves_nothing(shop: Shop) -> None:
    shop.registry.limit_pages(1)
    with pytest.raises(StorageFull):
        await shop.publish("rules", TEXT * 4)
    assert shop.backend.disk == set() and len(shop.library) == 0 and shop.cached(TEXT * 4, ALICE) == 0


async def test_pages_that_cannot_be_dropped_keep_no_deletion_from_its_end(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await shop.publish("rules", TEXT)
    await shop.publish("rules", TEXT + "More.", "private")
    disk = dict.fromkeys(shop.backend.disk)
    forget, calls = shop.backend.forget, 0

    async def stuck_once(
        kept: Kept, scope: str, still_kept: frozenset[bytes], owner: str | None = None
    ) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise StorageFull("stuck")
        await forget(kept, scope, still_kept, owner)

    monkeypatch.setattr(shop.backend, "forget", stuck_once)
    await shop.publisher.delete(DocumentRef("rules"), ALICE)
    assert await shop.refs(ALICE) == [] and calls == 2 * len(FRAMINGS)
    assert caplog.text.count("could not be dropped; the next start drops them: stuck") == 1
    assert 0 < len(shop.backend.disk) < len(disk), (
        "the first prefix alone is left, for the next start to collect"
    )
    shop.backend.disk.clear()


async def test_one_publisher_per_id_at_a_time(shop: Shop) -> None:
    texts = [f"{TEXT} {i}" for i in range(4)]
    done = await asyncio.gather(
        *(shop.publisher.publish("rules", t, None, ALICE) for t in [*texts, *texts[3:]])
    )
    assert sorted(d.info.version for d in done) == [1, 2, 3, 4, 4]
    assert [d.created for d in done].count(False) == 1


async def test_deletion_keeps_pages_that_other_documents_need(shop: Shop) -> None:
    await shop.publish("rules", TEXT)
    await shop.publish("rules", TEXT + "One more rule, and then the last.\n" * 20)
    await shop.publish("twin", TEXT, caller=BOB)
    await shop.publisher.delete(DocumentRef("rules", 2), ALICE)
    assert await shop.refs(ALICE) == ["rules@1", "twin@1"]
    assert (await shop.publisher.get(DocumentRef("rules"), ALICE)).current
    await shop.publisher.delete(DocumentRef("rules"), ALICE)
    assert await shop.refs(ALICE) == ["twin@1"]
    assert shop.cached(TEXT, ALICE) > 500
    await shop.publisher.delete(DocumentRef("twin"), BOB)
    assert shop.backend.disk == set() and shop.cached(TEXT, ALICE) == 0
    assert str(await shop.publish("rules", TEXT)) == "rules@3", "a deleted version's number is not used again"


class Interrupted(FakeBackend):
    """Runs ``meanwhile`` before the keep number ``at``."""

    at = 0
    calls = 0
    meanwhile: Callable[[], Awaitable[None]]

    async def keep(
        self,
        token_ids: tuple[int, ...],
        scope: str,
        progress: Callable[[int, int], None] | None = None,
        owner: str | None = None,
        reuse: tuple[str, ...] = (),
    ) -> Kept:
        self.calls += 1
        if self.calls == self.at:
            await self.meanwhile()
        return await super().keep(token_ids, scope, progress, owner, reuse)


async def test_a_publish_survives_the_deletion_of_its_twin_meanwhile(shop: Shop) -> None:
    backend = Interrupted(disk=shop.backend.disk, max_context=16_384)
    publisher = over(shop, backend)
    await publisher.publish("rules", TEXT, None, ALICE)
    backend.at = backend.calls + len(FRAMINGS)
    backend.meanwhile = lambda: publisher.delete(DocumentRef("rules"), ALICE)
    info = (await publisher.publish("twin", TEXT, None, BOB)).info
    assert [i.id for i in await publisher.list(ALICE)] == ["twin"]
    assert shop.registry.page_keys() == shop.backend.disk
    assert [f.resident_tokens for f in info.framings] == [f.tokens for f in info.framings]


async def test_a_private_twin_survives_the_public_document_unseen(shop: Shop) -> None:
    await shop.publish("public", TEXT)
    await shop.publish("private", TEXT, "private", BOB)
    await shop.publisher.delete(DocumentRef("public"), ALICE)
    assert shop.cached(TEXT, ALICE) == 0, "nothing tells Alice that Bob has the same text"
    assert shop.cached(TEXT, BOB) > 500
    assert shop.registry.page_keys() == shop.backend.disk


async def test_restart(shop: Shop) -> None:
    await shop.publish("rules", TEXT, "private")
    await shop.publish("rules", TEXT + "More.")
    before = await shop.publisher.list(ALICE)
    again = shop.reopen()
    await again.publisher.restore()
    assert await again.publisher.list(ALICE) == before
    assert again.cached(TEXT, ALICE) > 500 and again.cached(TEXT, BOB) == 0
    await again.publisher.refresh()
    assert again.backend.generations == [] and await again.publisher.list(ALICE) == before
    again.registry.close()


@pytest.mark.parametrize("lost", ["pages", "fingerprint", "tokens", "framing"])
async def test_pages_that_a_restart_misses_are_computed_again(
    shop: Shop, lost: str, caplog: pytest.LogCaptureFixture
) -> None:
    ref = await shop.publish("rules", TEXT)
    (entry,) = shop.registry.load()
    system = next(f for f in entry.framings if f.framing == "system")
    others = [f for f in entry.framings if f.framing != "system"]
    if lost == "pages":
        shop.backend.disk.discard(system.kept.pages[-1].key)
    elif lost == "fingerprint":
        shop.registry.replace_kept(
            ref, [*others, replace(system, kept=replace(system.kept, fingerprint="old"))]
        )
    elif lost == "tokens":
        changed = (*system.kept.token_ids[:-1], 7)
        shop.registry.replace_kept(
            ref, [*others, replace(system, kept=replace(system.kept, token_ids=changed))]
        )
    else:
        shop.registry.replace_kept(ref, others)
    again = shop.reopen()
    with caplog.at_level(logging.INFO, logger="kvproxy"):
        await again.publisher.restore()
    assert caplog.text.count("will be prefilled again") == 1
    assert await again.refs(BOB) == ["rules@1"], "known at once, its pages follow"
    again.backend.fail_next(Overloaded("busy", retry_after_s=0))
    await again.publisher.refresh()
    (info,) = await again.publisher.list(BOB)
    assert all(f.resident_tokens == f.tokens for f in info.framings) and len(info.framings) == 3
    again.registry.close()


async def test_refresh_goes_on_after_a_failure(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a", "b"):
        await shop.publish(name, f"{name} {TEXT}")
    shop.registry.replace_kept(DocumentRef("a", 1), [])
    shop.registry.replace_kept(DocumentRef("b", 1), [])
    again = shop.reopen(framings=FRAMINGS[:1])
    await again.publisher.restore()
    again.backend.fail_next(DocumentRejected("no"))
    await again.publisher.refresh()
    assert caplog.text.count("stays without pages") == 1
    a, b = await again.publisher.list(ALICE)
    assert a.framings == () and len(b.framings) == 1
    again.registry.close()
    shop.backend.disk.clear()
    shop.backend.disk.update(shop.registry.page_keys())


async def test_a_document_deleted_before_its_refresh_stays_deleted(shop: Shop) -> None:
    ref = await shop.publish("rules", TEXT)
    shop.registry.replace_kept(ref, [])
    shop.backend.disk.clear()
    again = shop.reopen()
    await again.publisher.restore()
    await again.publisher.delete(ref, ALICE)
    await again.publisher.refresh()
    assert again.backend.disk == set() and await again.refs(ALICE) == []
    again.registry.close()
