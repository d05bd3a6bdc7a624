"""`FilledStore`: a real store with documents, pages, responses and an alias, and what holds of it after any fault."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kvproxy.config import Config
from kvproxy.core import DocumentRef
from kvproxy.documents.library.document import Document
from kvproxy.errors import KVProxyError
from kvproxy.stack.offline_upkeep import check_offline, repair_offline
from kvproxy.store.disk import page_name
from kvproxy.store.page_results import Loaded
from kvproxy.store.page_store import PageStore
from kvproxy.store.stored_responses import FileResponses
from kvproxy.upkeep.repair_store import StoreRepair
from kvproxy.upkeep.store_faults import StoreCheck
from tests.documents.registry.own_registry import OwnRegistry
from tests.store.killed_worker import (
    FINGERPRINT,
    MAX_SIZE,
    TOKENS,
    document,
    framing,
    owner_of,
    payload_of,
    stored_keys,
)

RESPONSES = 3
DOCUMENTS = tuple(f"doc{number}" for number in range(4))


@dataclass
class FilledStore:
    """A store that was closed; ``texts`` are what was published."""

    folder: Path
    texts: dict[tuple[str, int], str] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path) -> FilledStore:
        made = cls(folder)
        with made.open() as (pages, registry):
            for id in DOCUMENTS:
                for version in (1, 2):
                    made.publish(pages, registry, id, version)
            registry.set_alias("doc0", "stable", 2)
        with made.responses() as responses:
            for number in range(RESPONSES):
                asyncio.run(stored(responses, f"resp_{number}"))
        return made

    def publish(self, pages: PageStore, registry: OwnRegistry, id: str, version: int) -> Document:
        for key in stored_keys(id, version):
            pages.put(key, b"", TOKENS, payload_of(key), owner_of(id))
        published = document(id, version)
        registry.publish(published, [framing(id, version)])
        self.texts[id, version] = published.text
        return published

    @contextmanager
    def open(self, max_size: int = MAX_SIZE) -> Iterator[tuple[PageStore, OwnRegistry]]:
        with (
            PageStore(self.folder, max_size=max_size, fingerprint=FINGERPRINT) as pages,
            OwnRegistry(self.folder) as registry,
        ):
            yield pages, registry

    def responses(self) -> FileResponses:
        return FileResponses(self.folder / "responses", ttl_s=3600, max_size=2**24)

    @property
    def config(self) -> Config:
        return Config.model_validate({"store": {"path": str(self.folder)}, "model": {"path": "smollm2-135m"}})

    def check(self, *, deep: bool = True) -> StoreCheck:
        return check_offline(self.config, deep=deep)

    def repair(self) -> StoreRepair:
        return repair_offline(self.config)

    def page(self, id: str, version: int, number: int = 0) -> Path:
        return self.folder / "pages" / page_name(stored_keys(id, version)[number])

    @property
    def page_paths(self) -> list[Path]:
        return sorted((self.folder / "pages").rglob("*.page"))

    def assert_nothing_wrong_is_served(self) -> dict[tuple[str, int], int]:
        """Open the store as a start does, and read all of it. Return the sound pages of each version that is there.

        What is read is what was written; a start that refuses serves nothing, and so nothing that is wrong.
        """
        try:
            with self.open() as (pages, registry):
                entries = registry.load()
                pages.assign(registry.page_owners())
                found = {}
                for entry in entries:
                    id, version = entry.document.id, entry.document.version
                    assert entry.document.text == self.texts[id, version]
                    loaded = [(key, pages.get(key, b"", TOKENS)) for key in stored_keys(id, version)]
                    for key, page in loaded:
                        if isinstance(page, Loaded):
                            assert bytes(page.payload) == payload_of(key), "wrong numbers were served"
                    found[id, version] = sum(isinstance(page, Loaded) for _, page in loaded)
        except KVProxyError:
            return {}
        with self.responses() as responses:
            for number in range(RESPONSES):
                record = asyncio.run(read(responses, f"resp_{number}"))
                assert record is None or record == f"resp_{number}".encode()
        return found

    def refs(self) -> set[tuple[str, int]]:
        with self.open() as (_, registry):
            return {(e.document.id, e.document.version) for e in registry.load()}


async def stored(responses: FileResponses, id: str) -> None:
    await responses.put("tenant:a", id, id.encode())


async def read(responses: FileResponses, id: str) -> bytes | None:
    return await responses.get("tenant:a", id)


def ref_of(id: str, version: int) -> DocumentRef:
    return document(id, version).ref
