from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from kvproxy.backends.fake.fake_backend import FakeBackend
from kvproxy.core import Caller, DocumentRef, Span
from kvproxy.database.announcements import Change, ChangeTopic
from kvproxy.documents.library.library import Library
from kvproxy.documents.library.preconditions import Preconditions
from kvproxy.documents.library.served_documents import while_served
from kvproxy.documents.prepared.preparation import Prepared
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.registry.registry_entry import RegistryEntry
from kvproxy.documents.registry.registry_names import NamedDocuments
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.errors import DocumentRevoked, PreconditionFailed
from kvproxy.publishing import library_follower
from kvproxy.publishing.expiry_clock import ExpiryClock
from kvproxy.publishing.hidden_endings import hide_ended
from kvproxy.publishing.library_follower import LibraryFollower
from kvproxy.publishing.publishing_parts import make_parts
from kvproxy.publishing.restoration import Restoration
from kvproxy.publishing.text_preparation import TextPreparer
from tests.database.postgres import new_schema
from tests.documents.models import write_model
from tests.publishing.test_expiry_clock import Times
from tests.publishing.two_proxies import FRAMINGS, ProxyOfFleet, SharedDisk, proxy_of_fleet, until

ALICE, BOB = Caller("alice", "tenant:a"), Caller("bob", "tenant:b")
TEXT = "".join(f"Rule {i}: everyone shall do what rule {i + 1} says, and nothing else.\n" for i in range(40))
RULES = DocumentRef("rules", 1)


@dataclass
class Two:
    a: ProxyOfFleet
    b: ProxyOfFleet
    shared: SharedDisk
    """The object store as B sees it; A's disk is what A has put there."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), "qwen3")


@pytest.fixture
def url(postgres_url: str) -> Iterator[str]:
    with new_schema(postgres_url) as url:
        yield url


@pytest.fixture
async def two(url: str, model: Path, tmp_path: Path) -> AsyncIterator[Two]:
    disk: set[bytes] = set()
    own: set[bytes] = set()
    shared = SharedDisk(own, disk)
    async with AsyncExitStack() as life:
        a = await life.enter_async_context(proxy_of_fleet(url, model, tmp_path / "a", disk=disk))
        b = await life.enter_async_context(
            proxy_of_fleet(url, model, tmp_path / "b", disk=own, shared=shared)
        )
        yield Two(a, b, shared)


async def test_what_is_published_on_one_is_a_hit_on_the_other(two: Two) -> None:
    await two.a.publish("rules", TEXT, "public", ALICE)
    await until(lambda: two.b.cached(TEXT, BOB))
    assert two.b.cached(TEXT, BOB) == two.a.cached(TEXT, BOB) > 500
    assert two.b.backend._prefixes.computed == 0, "found, and not computed"
    (view,) = await two.b.publisher.list(BOB)
    assert (view.id, view.version, view.etag) == ("rules", 1, (await two.a.publisher.get(RULES, BOB)).etag)
    await two.b.publish("notes", TEXT + "More.", "private", BOB)
    await until(lambda: two.a.library.versions("notes", BOB))
    assert two.a.library.versions("notes", ALICE) == []


async def test_pages_that_come_late_are_looked_for_again(two: Two) -> None:
    there = set(two.shared.shared)
    two.shared.shared = there  # what A writes from now on is not in the object store yet
    await two.a.publish("rules", TEXT, "public", ALICE)
    await until(lambda: two.b.library.find(RULES))
    assert two.b.cached(TEXT, BOB) == 0
    two.shared.shared = two.a.backend.disk
    await until(lambda: two.b.cached(TEXT, BOB))
    assert two.b.backend._prefixes.computed == 0


async def test_without_shared_pages_the_other_computes_its_own(url: str, model: Path, tmp_path: Path) -> None:
    async with (
        proxy_of_fleet(url, model, tmp_path / "a", disk=set()) as a,
        proxy_of_fleet(url, model, tmp_path / "b", disk=set(), fingerprint="other") as b,
    ):
        await a.publish("rules", TEXT, "public", ALICE)
        await until(lambda: b.cached(TEXT, BOB))
        await until(lambda: len(b.registry.load("other")[0].framings) == len(FRAMINGS))
        assert {f.kept.fingerprint for f in a.registry.load()[0].framings} == {"fake", "other"}
        assert len(a.registry.load("fake")[0].framings) == len(FRAMINGS), (
            "neither overwrites the other's record"
        )
        assert a.registry.page_owners("fake").keys() == a.backend.disk
        assert b.registry.page_owners("other").keys() == b.backend.disk
        await b.publisher.delete(RULES, ALICE)
        await until(lambda: not a.backend.disk)
        assert a.registry.load() == [] and a.registry.page_owners() == {} and not b.backend.disk


async def test_a_revoked_version_ends_everywhere_and_cancels_what_waits(two: Two) -> None:
    await two.a.publish("rules", TEXT, "public", ALICE)
    await until(lambda: two.b.cached(TEXT, BOB))
    entered = asyncio.Event()

    async def reader() -> None:
        async with while_served(two.b.library, [Span(RULES, 0, 10)]):
            entered.set()
            await asyncio.Event().wait()

    reading = asyncio.create_task(reader())
    await entered.wait()
    await two.a.publisher.endings.revoke(RULES, ALICE, "it was wrong")
    with pytest.raises(DocumentRevoked, match="it was wrong"):
        await reading
    with pytest.raises(DocumentRevoked):
        two.b.library.resolve(DocumentRef("rules"), BOB)
    await until(lambda: not two.b.backend.disk)
    assert two.shared.released, "A deletes the objects, B its own files alone"
    assert two.b.cached(TEXT, BOB) == 0


async def test_a_deleted_version_is_not_served_while_a_publish_runs_here(two: Two) -> None:
    await two.a.publish("rules", TEXT, "public", ALICE)
    await until(lambda: two.b.cached(TEXT, BOB))
    async with two.b.publisher._locks.local(f"rules\n{ALICE.scope}"):  # as a publish or a prefill holds it
        await two.a.publisher.delete(RULES, ALICE)
        await until(lambda: two.b.library.find(RULES) is None)
        assert two.b.backend.disk, "what is kept of it is dropped under the lock"
    await until(lambda: not two.b.backend.disk)


async def test_a_version_that_is_deleted_while_it_is_made_known_is_gone(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name without rows has the state of one that was never seen, and must not be taken for it."""
    restoration = two.b.publisher._restoration
    prepared, began, go_on = restoration.prepared, threading.Event(), threading.Event()

    def slow(entries: Sequence[RegistryEntry]) -> list[tuple[RegistryEntry, Prepared]]:
        began.set()
        go_on.wait(30)
        return prepared(entries)

    monkeypatch.setattr(restoration, "prepared", slow)
    await two.a.publish("rules", TEXT, "public", ALICE)
    assert await asyncio.to_thread(began.wait, 30)
    await two.a.publisher.delete(RULES, ALICE)
    await asyncio.sleep(0.5)  # the other has heard of it
    go_on.set()
    await asyncio.sleep(0.5)  # it is known now, and has to go again
    async with asyncio.timeout(8):
        await until(lambda: two.b.library.find(RULES) is None)


async def test_rows_that_were_read_earlier_are_never_followed_later(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id is free for several publishers: the lock of one keeps nobody out who follows under another's."""
    await two.a.publish("rules", TEXT, "public", ALICE)
    await until(lambda: two.b.library.find(RULES))
    second, named = DocumentRef("rules", 2), two.b.registry.named
    read, go_on = threading.Event(), threading.Event()

    def slow(name: str, fingerprint: str = "") -> NamedDocuments:
        found = named(name, fingerprint)
        read.set()
        go_on.wait(30)
        return found

    async with two.b.publisher._locks.local(f"rules\n{ALICE.scope}"):
        await two.a.publish("rules", TEXT + "More.", "public", ALICE)
        await until(lambda: two.b.publisher._locks.waiting == 2)
        monkeypatch.setattr(two.b.registry, "named", slow)
        catching_up = asyncio.create_task(two.b.publisher.follower.catch_up(f"rules\n{BOB.scope}"))
        assert await asyncio.to_thread(read.wait, 30)
        monkeypatch.setattr(two.b.registry, "named", named)
        await two.a.publisher.endings.revoke(second, ALICE, "it was wrong")
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            await until(lambda: two.b.library.withdrawn.find(second))
            await asyncio.sleep(0.5)  # whatever was told of is followed
    go_on.set()
    await catching_up
    async with asyncio.timeout(
        8
    ):  # before pages that are missing are given up, which has the name read again
        await until(lambda: two.b.library.withdrawn.find(second))
    assert two.b.library.find(second) is None


async def test_a_failure_that_nobody_foresaw_is_tried_again(
    two: Two, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> NoReturn:
        raise RuntimeError("no reason")

    monkeypatch.setattr(library_follower, "RETRY_FAILED_S", 0.3)
    registry = two.b.registry
    monkeypatch.setattr(registry, "states", fails)
    two.b.database.changes.tell(Change(ChangeTopic.DOCUMENTS))
    await until(lambda: "could not be read" in caplog.text)
    monkeypatch.undo()
    monkeypatch.setattr(library_follower, "RETRY_FAILED_S", 0.3)
    monkeypatch.setattr(registry, "named", fails)
    await two.a.publish("rules", TEXT, "public", ALICE)
    await until(lambda: "could not be followed" in caplog.text)
    monkeypatch.undo()
    await until(lambda: two.b.library.find(RULES))


async def test_marks_follow(two: Two) -> None:
    await two.a.publish("rules", TEXT, "public", ALICE)
    await two.a.publisher.endings.set_alias("rules", "stable", 1, ALICE)
    await until(lambda: two.b.library.aliases.version("rules", "stable") == 1)
    await two.b.publisher.endings.drop_alias("rules", "stable", ALICE)
    await until(lambda: two.a.library.aliases.version("rules", "stable") is None)

    await until(lambda: two.b.cached(TEXT, BOB))
    await two.b.publisher.residency.pin(RULES, ALICE)
    await until(lambda: two.a.backend.pin_room() < two.a.backend.most_pinned)
    await two.a.publisher.residency.unpin(RULES, ALICE)
    await until(lambda: two.b.backend.pin_room() == two.b.backend.most_pinned)

    await two.a.publisher.quarantine.confine({RULES: "page 1 differs"})
    await until(lambda: (known := two.b.library.find(RULES)) is not None and known.quarantined)
    await until(lambda: two.b.cached(TEXT, BOB) == 0)
    await two.a.publish("rules", TEXT, "public", ALICE)  # computed again, and released
    await until(lambda: (known := two.b.library.find(RULES)) is not None and not known.quarantined)
    await until(lambda: two.b.cached(TEXT, BOB))

    await two.b.publisher.endings.touch(RULES, ALICE, 3600)
    await until(lambda: (k := two.a.library.find(RULES)) is not None and k.document.expires is not None)
    await two.b.publisher.endings.touch(RULES, ALICE, 0)
    await until(lambda: two.a.library.find(RULES) is None)
    assert two.a.library.withdrawn.find(RULES) is not None
    await two.a.publisher.endings.touch(RULES, ALICE, None)
    await until(lambda: two.b.library.find(RULES) is not None and two.b.cached(TEXT, BOB))
    await two.a.publisher.delete(DocumentRef("rules"), ALICE)
    await until(lambda: not list(two.b.library) and not two.b.backend.disk)


async def test_a_version_that_another_proxy_has_touched_is_not_ended_by_who_has_not_heard_of_it(
    two: Two,
) -> None:
    info = (await two.a.publisher.publish("rules", TEXT, "public", ALICE, pinned=True, ttl_s=3600)).info
    await until(lambda: two.b.cached(TEXT, BOB))
    times = Times()
    times.wait((info.expires or 0) + 2 * 86_400)
    async with two.b.publisher._locks.local(f"rules\n{ALICE.scope}"):
        await two.a.publisher.endings.touch(RULES, ALICE, None)
        two.b.publisher.endings.clock = times.clock
        two.b.library.withdraw(RULES, "expired")
        await two.b.publisher.endings._drop_pages(RULES)
        await two.b.publisher.endings.delete_ended()
    await until(lambda: two.b.library.find(RULES))
    (entry,) = two.a.registry.load()
    assert entry.pinned and len(entry.framings) == len(FRAMINGS)


async def test_two_publishers_of_one_id_at_once_make_versions_in_order(two: Two) -> None:
    texts = [TEXT + f"Edition {i}." for i in range(6)]
    done = await asyncio.gather(
        *((two.a if i % 2 else two.b).publish("rules", text, "public", ALICE) for i, text in enumerate(texts))
    )
    assert sorted(ref.version or 0 for ref in done) == [1, 2, 3, 4, 5, 6]
    by_version = {entry.document.version: entry.document.text for entry in two.a.registry.load()}
    assert by_version == {ref.version: text for ref, text in zip(done, texts, strict=True)}
    await until(lambda: len(list(two.a.library)) == len(list(two.b.library)) == 6)
    assert two.a.publisher.current_ref("rules", ALICE).version == 6


async def test_a_condition_sees_what_the_other_has_just_published(two: Two) -> None:
    first = (await two.a.publisher.publish("rules", TEXT, "public", ALICE)).info
    held = Preconditions(if_match=(first.etag,))

    async def edit(proxy: ProxyOfFleet, text: str) -> bool:
        try:
            await proxy.publisher.publish("rules", text, "public", ALICE, conditions=held)
        except PreconditionFailed:
            return False
        return True

    done = await asyncio.gather(edit(two.a, TEXT + "By A."), edit(two.b, TEXT + "By B."))
    assert sorted(done) == [False, True], "one of them has read an older version, and is told so"


async def test_the_library_of_another_model_follows_the_publisher_of_its_process(
    url: str, model: Path, tmp_path: Path
) -> None:
    async with proxy_of_fleet(url, model, tmp_path / "a", disk=set()) as a:
        await a.publish("old", TEXT + "Old.", "public", ALICE)
        library, backend = Library(), FakeBackend(disk=set(), max_context=16_384, fingerprint="second")
        composer = Composer(Tokenizer.load(model), ChatTemplate.load(model), library, FRAMINGS)
        preparer = TextPreparer(composer, "auto", backend)
        parts = make_parts(library, a.registry, backend, preparer, None, lambda: 1.0)
        served = Restoration(parts, lambda entry: hide_ended(library, entry, ExpiryClock()) is None)
        follower = LibraryFollower(parts, served, own=True)
        await follower.restore()
        following = asyncio.create_task(follower.run())
        await a.publish("rules", TEXT, "public", ALICE)
        await until(lambda: len(list(library)) == 2)
        await until(lambda: len(a.registry.page_owners("second")) == len(a.registry.page_owners("fake")))
        await a.publisher.endings.revoke(RULES, ALICE, "wrong")
        await until(lambda: library.withdrawn.find(RULES) is not None)
        await a.publisher.delete(DocumentRef("old"), ALICE)
        await until(lambda: not list(library) and not backend.disk)
        following.cancel()
        await asyncio.wait([following])
