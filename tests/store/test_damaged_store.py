"""Every file of a store, damaged at many places: it opens, says so in lines, and nothing wrong is read from it."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from kvproxy.cli.store_findings import store_findings
from kvproxy.core import PUBLIC, Kept, KeptPage, documents_scope, stored_key
from kvproxy.documents.library.document import Document, FramedPrefix, TokenizedDocument, etag_of
from kvproxy.documents.prepared.preparation import Prepared
from kvproxy.documents.prepared.prepared_texts import PreparedTexts
from kvproxy.documents.registry.registry_entry import KeptFraming
from kvproxy.errors import SetupError
from kvproxy.store.page_packing import PagePacking
from kvproxy.store.page_results import Loaded
from kvproxy.store.page_store import PageStore
from kvproxy.store.spill_files import SpillFolder
from kvproxy.store.stored_responses import FileResponses
from tests.documents.registry.own_registry import OwnRegistry
from tests.documents.registry.test_old_registry_import import cuts, flips, holes

PLACES = int(os.environ.get("KVPROXY_DAMAGED_PLACES", "2"))
"""Number of places of each file that are damaged in each way; some hundreds take many minutes."""

TEXTS = {
    "short": "the rules\n",
    "long": "A sentence of a handbook. " * 400,
    "private": "for one tenant alone " * 30,
}
RESPONSES = {f"resp_{i}": b"an answer %d " % i * (500 if i % 3 == 0 else 5) for i in range(9)}
DELETED = "resp_deleted"
TOKENS = (1, 2, 3)

logger = logging.getLogger(__name__)


def document(id: str) -> Document:
    text = TEXTS[id]
    return Document(id, 1, text, etag_of(text), "private" if id == "private" else "public", "tenant:a", 1)


def keys_of(id: str) -> list[bytes]:
    return [hashlib.sha256(f"{id} {i}".encode()).digest() for i in range(2)]


def stored_keys(id: str) -> list[bytes]:
    """As the page store has them."""
    owner = document(id)
    scope = PUBLIC if owner.visibility == "public" else documents_scope(owner.owner_scope)
    return [stored_key(key, scope) for key in keys_of(id)]


def payload_of(key: bytes) -> bytes:
    return key * 150


def prepared_of(id: str) -> Prepared:
    core = TEXTS[id].strip()
    tokens = tuple(range(len(core) // 4))
    return Prepared(
        TokenizedDocument(core, etag_of(core), tokens, (), 0, 0, 0), (FramedPrefix("system", tokens),), ()
    )


class Opened:
    """All parts of a store that a start opens, in its order."""

    def __init__(self, folder: Path, life: ExitStack) -> None:
        self.pages = life.enter_context(PageStore(folder, max_size=2**24, fingerprint="f"))
        self.spill = SpillFolder(folder / "spill", max_size=2**24, packing=PagePacking("f"))
        self.responses = life.enter_context(FileResponses(folder / "responses", ttl_s=600, max_size=2**22))
        self.registry = life.enter_context(OwnRegistry(folder))
        owners = self.registry.page_owners()
        self.pages.assign(owners)
        if not self.registry.damage_reports():
            self.pages.collect(owners.keys())
        self.texts = PreparedTexts(folder / "prepared.sqlite3", "recipe")
        life.callback(self.texts.close)


@dataclass(frozen=True, slots=True)
class Held:
    """Counts of the things found again."""

    documents: int
    pages: int
    responses: int
    texts: int
    deleted: bool


ALL = Held(len(TEXTS), 2 * len(TEXTS), len(RESPONSES), len(TEXTS), False)


async def fill(store: Opened) -> None:
    for id in TEXTS:
        for key in stored_keys(id):
            store.pages.put(key, b"", TOKENS, payload_of(key), "tenant:a")
        pages = tuple(KeptPage(key, len(TOKENS)) for key in keys_of(id))
        kept = Kept("f", TOKENS * 2, pages, 1000, 1.5)
        store.registry.publish(document(id), [KeptFraming("system", kept)])
        store.texts.put(document(id), prepared_of(id))
    for id, record in {**RESPONSES, DELETED: b"an answer that was deleted" * 100}.items():
        await store.responses.put("alice", id, record)
    await store.responses.delete("alice", DELETED)
    store.spill.put("left", keys_of("short")[0], b"", TOKENS, bytes(5000))


async def read(store: Opened) -> Held:
    """Compare everything that can be read with the things that were put, and count them."""
    known = {e.document.ref: e.document for e in store.registry.load()}
    for ref, found in known.items():
        assert found == document(ref.id)
    pages = responses = texts = 0
    for id in TEXTS:
        for key in stored_keys(id):
            page = store.pages.get(key, b"", TOKENS)
            pages += isinstance(page, Loaded)
            assert not isinstance(page, Loaded) or bytes(page.payload) == payload_of(key)
        prepared = store.texts.get(document(id))
        texts += prepared is not None
        assert prepared in (None, prepared_of(id))
    for id, record in RESPONSES.items():
        answer = await store.responses.get("alice", id)
        responses += answer is not None
        assert answer in (None, record) and await store.responses.get("bob", id) is None
    deleted = await store.responses.get("alice", DELETED) is not None
    store.texts.keep_only([document(id).ref for id in TEXTS])
    return Held(len(known), pages, responses, texts, deleted)


@pytest.fixture
async def stores(tmp_path: Path) -> dict[str, Path]:
    """One that was closed, and one that was killed: its last changes are in the write-ahead logs alone."""
    with ExitStack() as life:
        await fill(Opened(tmp_path / "closed", life))
        shutil.copytree(tmp_path / "closed", tmp_path / "killed")
    for store in ("closed", "killed"):
        shutil.copytree(tmp_path / store, tmp_path / "again")
        with ExitStack() as life:
            assert await read(Opened(tmp_path / "again", life)) == ALL
        shutil.rmtree(tmp_path / "again")
    return {"closed": tmp_path / "closed", "killed": tmp_path / "killed"}


def damaged_names(source: Path, state: str) -> list[str]:
    """Return the files that are damaged: all of a closed store, and what only a killed one has besides."""
    names = sorted(p.relative_to(source).as_posix() for p in source.rglob("*") if p.is_file())
    assert len(names) >= (12 if state == "closed" else 20), names
    return [n for n in names if state == "closed" or n.endswith(("-wal", "-shm"))]


def assert_told(
    name: str, held: Held, lines: list[logging.LogRecord], where: tuple[object, ...], *, cut_log: bool
) -> None:
    """Check that losses were told, in lines, and that only what the damaged file holds is missing.

    ``cut_log``: a log that was cut where a transaction ends cannot be told from one that went no further.
    """
    assert all(r.exc_info is None and "\n" not in r.getMessage() for r in lines), where
    assert held == ALL or lines or cut_log or held.texts < ALL.texts, where
    assert not held.deleted or cut_log or name.endswith("-wal"), where
    only = {"kvproxy.sqlite3": "documents", "pages": "pages", "responses": "responses"}
    for part, field in only.items():
        if not name.startswith(part) and not (part == "pages" and name.startswith("kvproxy")):
            assert getattr(held, field) == getattr(ALL, field), where


@pytest.mark.timeout(60 + 30 * PLACES)
@pytest.mark.parametrize("damage", [flips, cuts, holes])
@pytest.mark.parametrize("state", ["closed", "killed"])
async def test_nothing_wrong_is_read_from_a_damaged_store(
    stores: dict[str, Path],
    tmp_path: Path,
    state: str,
    damage: Callable[[bytes, int], Iterator[bytes]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    source, folder = stores[state], tmp_path / "store"
    names = damaged_names(source, state)
    tried = noticed = 0
    for name in names:
        content = (source / name).read_bytes()
        for number, damaged in enumerate(damage(content, PLACES) if content else ()):
            shutil.copytree(source, folder)
            (folder / name).write_bytes(damaged)
            found = list(store_findings(folder)) if number % 8 == 0 else []
            caplog.clear()
            try:
                with ExitStack() as life:
                    held = await read(Opened(folder, life))
            except SetupError as e:  # damage beside the documents is not guessed: the start ends, and says so
                assert name.startswith("kvproxy.sqlite3") and "backup" in e.message, (name, number)
                shutil.rmtree(folder)
                noticed += 1
                continue
            lines = [r for r in caplog.records if r.levelno >= logging.WARNING]
            where = (name, number, held, [r.getMessage() for r in lines])
            assert_told(name, held, lines, where, cut_log=name.endswith("-wal") and damage is cuts)
            assert found == [] or all("\n" not in f.what for f in found)
            if number % 4 == 1:
                with ExitStack() as life:
                    again = await read(Opened(folder, life))
                assert again.documents == held.documents and again.responses == held.responses, where
            tried += 1
            noticed += bool(lines)
            shutil.rmtree(folder)
    counts = (state, damage.__name__, tried, len(names), noticed)
    logger.warning("%s, %s: %d damaged stores, %d files, %d noticed", *counts)
    assert noticed
