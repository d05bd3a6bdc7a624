"""Private documents of another publisher are invisible: in answers, and in the work behind them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kvproxy.core import ChatRequest, DocumentPart, DocumentRef, Message, TextPart
from kvproxy.documents.library.document import Document, etag_of
from kvproxy.errors import DocumentNotFound, KVProxyError, PermissionDenied
from kvproxy.exactness.verify import Verifier
from tests.documents.registry.old_registry import OldRegistry
from tests.documents.registry.own_registry import OwnRegistry
from tests.documents.registry.test_old_registry_import import make_old
from tests.documents.registry.test_registry import framing
from tests.test_publish import ALICE, BOB, FRAMINGS, TEXT, Shop, folder

__all__ = ["folder"]

OTHER = TEXT.replace("nothing", "anything")


@pytest.fixture
async def shop(folder: Path, tmp_path: Path) -> AsyncIterator[Shop]:
    shop = Shop(folder, tmp_path, set(), FRAMINGS)
    yield shop
    assert shop.registry.check() == [] and shop.backend.check() == []
    assert shop.registry.page_keys() == shop.backend.disk
    shop.registry.close()


Call = Callable[[Shop], Awaitable[Any]]


async def read(shop: Shop, ref: DocumentRef) -> int:
    """A request that names a document."""
    messages = (Message("user", (DocumentPart(ref), TextPart("Q"))),)
    return len((await shop.composer.compose_async(ChatRequest("fake", messages), BOB)).token_ids)


async def verified(shop: Shop, ref: DocumentRef) -> Any:
    return await Verifier(shop.composer, shop.library, shop.backend, "m").verify(ref, BOB)


SECRET = DocumentRef("secret")
FIRST = DocumentRef("secret", 1)

CALLS: dict[str, Call] = {
    "publish": lambda shop: shop.publisher.publish("secret", TEXT, None, BOB),
    "publish privately": lambda shop: shop.publisher.publish("secret", TEXT, "private", BOB),
    "publish another text": lambda shop: shop.publisher.publish("secret", OTHER, "private", BOB),
    "publish the text elsewhere": lambda shop: shop.publisher.publish("mine", TEXT, "private", BOB),
    "publish pinned": lambda shop: shop.publisher.publish("secret", TEXT, "private", BOB, pinned=True),
    "unpin": lambda shop: shop.publisher.publish("secret", TEXT, "private", BOB, pinned=False),
    "get": lambda shop: shop.publisher.get(SECRET, BOB),
    "get a version": lambda shop: shop.publisher.get(FIRST, BOB),
    "text": lambda shop: shop.publisher.text(SECRET, BOB),
    "list": lambda shop: shop.publisher.list(BOB),
    "delete": lambda shop: shop.publisher.delete(SECRET, BOB),
    "delete a version": lambda shop: shop.publisher.delete(FIRST, BOB),
    "verify": lambda shop: verified(shop, SECRET),
    "read": lambda shop: read(shop, SECRET),
    "read a version": lambda shop: read(shop, FIRST),
}


def counted(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Every call on the backend and on the registry, with its arguments and its result."""
    calls: list[tuple[str, str]] = []

    def watched(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            shown: list[object] = [None if callable(x) else x for x in arguments]
            if isinstance(document := shown[0] if shown else None, Document):
                shown[0] = replace(document, created=0)
            calls.append((name, f"{shown} {options}"))
            return real(*arguments, **options)

        return call

    for part, names in (
        (shop.backend, ("keep", "known", "forget", "pin", "pin_room", "compare", "hold")),
        (
            shop.registry,
            ("publish", "replace_kept", "quarantine", "quarantine_all", "pin", "delete", "last_version"),
        ),
    ):
        for name in names:
            if hasattr(part, name):
                monkeypatch.setattr(part, name, watched(name, getattr(part, name)))
    return calls


async def outcome(work: Awaitable[Any]) -> str:
    try:
        result = await work
    except KVProxyError as e:
        result = (type(e).__name__, e.http_status, e.body())
    return re.sub(r"created=\d+", "", str(result))  # seconds, not whether


def writes(shop: Shop, before: set[bytes]) -> tuple[int, int]:
    """The numbers of pages written and pages dropped."""
    return len(shop.backend.disk - before), len(before - shop.backend.disk)


async def seen_by_bob(shop: Shop, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen = []
    for name in calls:
        before = set(shop.backend.disk)
        with monkeypatch.context() as patch:
            work = counted(shop, patch)
            result = await outcome(CALLS[name](shop))
        seen.append((name, result, work, writes(shop, before)))
    return seen


SEQUENCES = [
    *([name] for name in CALLS),
    ["publish privately", "publish another text", "get a version", "delete", "publish privately"],
    ["publish pinned", "unpin", "publish", "list", "delete a version", "list", "delete"],
    ["publish the text elsewhere", "read", "publish privately", "verify", "read a version"],
]


@pytest.mark.parametrize("calls", SEQUENCES, ids=lambda calls: ", ".join(calls))
async def test_same_answer_and_same_work(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    """A caller sees the same in a proxy where another publisher has it privately, in three versions."""
    seen = []
    for somebody in (False, True):
        shop = Shop(folder, tmp_path / str(somebody), set(), FRAMINGS)
        if somebody:
            for text in (OTHER, "Another text.", TEXT):
                await shop.publish("secret", text, "private")
        seen.append(await seen_by_bob(shop, calls, monkeypatch))
        assert shop.registry.check() == [] and shop.registry.page_keys() == shop.backend.disk
        shop.registry.close()
    assert seen[0] == seen[1]


async def test_other_publishers_do_not_wait_for_a_private_publish(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on, keep = asyncio.Event(), asyncio.Event(), shop.backend.keep

    async def slowly(tokens: tuple[int, ...], scope: str, *more: Any, **options: Any) -> Any:
        if scope.startswith(ALICE.scope):
            entered.set()
            await go_on.wait()
        return await keep(tokens, scope, *more, **options)

    monkeypatch.setattr(shop.backend, "keep", slowly)
    publishing = asyncio.ensure_future(shop.publish("secret", TEXT, "private"))
    await entered.wait()
    with pytest.raises(DocumentNotFound):
        await shop.publisher.delete(SECRET, BOB)
    assert str(await shop.publish("secret", TEXT, "private", BOB)) == "secret@1"
    assert str(await shop.publish("secret", TEXT, "public", BOB)) == "secret@2"
    go_on.set()
    with pytest.raises(PermissionDenied):
        await shop.publish("secret", TEXT, "public")  # that Bob has it can be seen by now
    assert (await publishing).version == 1


async def test_each_publisher_has_its_own_private_id(shop: Shop) -> None:
    await shop.publish("notes", TEXT, "private")
    await shop.publish("notes", OTHER, "private", BOB)
    assert await shop.publisher.text(DocumentRef("notes", 1), ALICE) == TEXT
    assert await shop.publisher.text(DocumentRef("notes", 1), BOB) == OTHER
    assert shop.cached(TEXT, ALICE) > 500 and shop.cached(TEXT, BOB) < 100
    await shop.publisher.quarantine.confine({DocumentRef("notes", 1, BOB.scope): "it differs"})
    assert (await shop.publisher.get(DocumentRef("notes"), ALICE)).quarantined is None
    await shop.publish("notes", OTHER, "private", BOB)
    again = shop.reopen()
    await again.publisher.restore()
    assert await again.publisher.text(DocumentRef("notes"), BOB) == OTHER
    assert again.cached(TEXT, ALICE) > 500
    await again.publisher.delete(DocumentRef("notes"), BOB)
    assert await again.refs(ALICE) == ["notes@1"] and await again.refs(BOB) == []
    assert again.cached(TEXT, ALICE) > 500
    again.registry.close()


async def test_an_own_private_version_comes_before_anothers_public_one(shop: Shop) -> None:
    await shop.publish("notes", TEXT, "private")
    await shop.publish("notes", OTHER, "public", BOB)
    assert await shop.refs(ALICE) == ["notes@1", "notes@1"]
    assert [i.current for i in await shop.publisher.list(ALICE)] == [True, True]
    assert await shop.publisher.text(DocumentRef("notes"), ALICE) == TEXT
    assert await shop.publisher.text(DocumentRef("notes"), BOB) == OTHER
    assert str(await shop.publish("notes", TEXT + "More.", "private")) == "notes@2"
    await shop.publisher.delete(DocumentRef("notes"), ALICE)
    assert await shop.publisher.text(DocumentRef("notes"), ALICE) == OTHER
    with pytest.raises(PermissionDenied):
        await shop.publisher.delete(DocumentRef("notes"), ALICE)
    with pytest.raises(PermissionDenied):
        await shop.publish("notes", TEXT, "private")
    await shop.publisher.delete(DocumentRef("notes"), BOB)
    assert str(await shop.publish("notes", TEXT)) == "notes@3", "no number stands for two texts"


def test_a_store_of_an_older_version_is_imported(tmp_path: Path) -> None:
    """Private documents lay under ids of all publishers, and rows had no digests: both are made good in one step."""
    texts = {1: "one", 2: "two", 3: "three"}
    source = tmp_path / "new" / "documents.sqlite3"
    with closing(OldRegistry(source)) as old:
        for version, text in texts.items():
            secret = Document("secret", version, text, etag_of(text), "private", ALICE.scope, 1)
            mixed = replace(secret, id="mixed", visibility="public" if version == 2 else "private")
            old.publish(mixed, [framing("system", version)])
            old.publish(secret, [framing("system", version)])
        old.pin(DocumentRef("secret", 1, ALICE.scope))
        old.quarantine(DocumentRef("secret", 2, ALICE.scope), "it differs")
        old.delete(DocumentRef("secret", 3, ALICE.scope))
        old.publish(replace(secret, id="gone", visibility="public"), ())
        old.delete(DocumentRef("gone", 3))
    make_old(tmp_path / "old" / "documents.sqlite3", source)
    with OwnRegistry(source.parent) as registry:
        wanted, pages = registry.load(), registry.page_owners()
    for _ in range(2):
        with OwnRegistry(tmp_path / "old") as registry:
            assert registry.load() == wanted and registry.check() == [] and registry.page_owners() == pages
            assert registry.last_version("secret", ALICE.scope) == 3
            assert registry.last_version("secret", BOB.scope) == 0
            assert registry.last_version("mixed", BOB.scope) == registry.last_version("gone", BOB.scope) == 3
