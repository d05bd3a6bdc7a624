"""``python -m tests.store.killed_worker FOLDER SEED``: publishes, deletes and spills until it is killed.

Each line on stdout is one step: ``begin`` before anything of it is on disk, ``done`` when it would be answered.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
from pathlib import Path

from kvproxy.core import Kept, KeptPage, Visibility, stored_key
from kvproxy.documents.library.document import Document, etag_of
from kvproxy.documents.registry.registry_entry import KeptFraming
from kvproxy.store.page_packing import PagePacking
from kvproxy.store.page_results import Loaded
from kvproxy.store.page_store import PageStore
from kvproxy.store.spill_files import SpillFolder
from tests.documents.registry.own_registry import OwnRegistry

NAME = "documents.sqlite3"
FINGERPRINT = "f"
MAX_SIZE = 2**28
PAGES = 3
PRIVATE = ("doc1", "doc4")
TOKENS = tuple(range(256))


def text_of(id: str, version: int) -> str:
    """Return up to 20 kB, so that some overflow a database page."""
    return f"{id}@{version} 世界 " * (
        1 + int.from_bytes(hashlib.sha256(f"{id}{version}".encode()).digest()[:2]) % 1200
    )


def keys_of(id: str, version: int) -> list[bytes]:
    return [hashlib.sha256(f"{id}@{version}/{i}".encode()).digest() for i in range(PAGES)]


def payload_of(key: bytes) -> bytes:
    return key * 700


def document(id: str, version: int) -> Document:
    text = text_of(id, version)
    visibility: Visibility = "private" if id in PRIVATE else "public"
    return Document(id, version, text, etag_of(text), visibility, owner_of(id), 1)


def owner_of(id: str) -> str:
    return f"tenant:{id[-1]}"


def stored_keys(id: str, version: int) -> list[bytes]:
    """Return the keys of its pages in the page store."""
    return [stored_key(key, document(id, version).scope) for key in keys_of(id, version)]


def framing(id: str, version: int) -> KeptFraming:
    keys = keys_of(id, version)
    return KeptFraming(
        "system", Kept(FINGERPRINT, TOKENS * PAGES, tuple(KeptPage(k, 256) for k in keys), 1, 0.5)
    )


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


class Worker:
    """The parts of ``kvproxy serve`` that write to a store, in the order in which it opens them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.store = PageStore(folder, max_size=MAX_SIZE, fingerprint=FINGERPRINT)
        self.spill = SpillFolder(folder / "spill", max_size=2**24, packing=PagePacking(FINGERPRINT))
        say("begin", "open")
        self.registry = OwnRegistry(folder)
        owners = self.registry.page_owners()
        self.store.assign(owners)
        self.store.collect(owners.keys())
        say("done", "open")

    def run(self) -> None:
        for step in range(10_000):
            self.random.choice((self.publish, self.publish, self.delete, self.move))(step)

    def publish(self, step: int) -> None:
        id = f"doc{self.random.randrange(6)}"
        version = self.registry.last_version(id, owner_of(id)) + 1
        say("begin", "publish", id, version)
        for key in stored_keys(id, version):
            self.store.put(key, b"", TOKENS, payload_of(key), owner_of(id))
        self.registry.publish(document(id, version), [framing(id, version)])
        say("done", "publish", id, version)

    def delete(self, step: int) -> None:
        found = self.registry.load()
        if not found:
            return
        ref = self.random.choice(found).document.ref
        assert ref.version is not None
        say("begin", "delete", ref.id, ref.version)
        self.registry.delete([ref])
        self.store.delete(stored_keys(ref.id, ref.version))
        say("done", "delete", ref.id, ref.version)

    def move(self, step: int) -> None:
        """To the spill tier and back; and a pin, for the registry's other tables."""
        key = os.urandom(32)
        self.spill.put(str(step), key, b"", TOKENS, payload_of(key))
        loaded = self.spill.get(str(step), key, b"", TOKENS)
        assert isinstance(loaded, Loaded) and bytes(loaded.payload) == payload_of(key)
        found = self.registry.load()
        if found:
            entry = self.random.choice(found)
            self.registry.pin(entry.document.ref, not entry.pinned)
        if step % 2:
            self.spill.delete(str(step))


if __name__ == "__main__":
    Worker(Path(sys.argv[1]), int(sys.argv[2])).run()
