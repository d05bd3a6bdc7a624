"""kill -9 at random moments of publish, delete, spill and the import of an old store.

Nothing acknowledged is lost, nothing else is there than was published, and every start is clean.
``KVPROXY_KILL_ROUNDS=50`` for as many rounds.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from kvproxy.database.database import FILE_NAME
from kvproxy.database.tables.document_tables import DOCUMENTS
from kvproxy.store.page_packing import PagePacking
from kvproxy.store.page_results import Loaded
from kvproxy.store.page_store import PageStore
from kvproxy.store.spill_files import SpillFolder
from tests.documents.registry.old_registry import OldRegistry
from tests.documents.registry.own_registry import OwnRegistry
from tests.documents.registry.test_old_registry_import import make_old
from tests.store.killed_worker import (
    FINGERPRINT,
    MAX_SIZE,
    NAME,
    TOKENS,
    owner_of,
    payload_of,
    stored_keys,
    text_of,
)

ROUNDS = int(os.environ.get("KVPROXY_KILL_ROUNDS", "3"))

Version = tuple[str, int]

logger = logging.getLogger(__name__)


class Story:
    """Output of the killed processes, over all rounds."""

    def __init__(self) -> None:
        self.published: set[Version] = set()
        self.deleted: set[Version] = set()
        self.publishing: set[Version] = set()
        self.deleting: set[Version] = set()
        self.cut_short: dict[str, int] = {}

    def hear(self, lines: list[str]) -> None:
        begun: tuple[str, ...] | None = None
        for line in lines:
            when, what, *rest = line.split()
            begun = (what, *rest) if when == "begin" else None
            if rest:
                version = (rest[0], int(rest[1]))
                which = {
                    "publish": (self.publishing, self.published),
                    "delete": (self.deleting, self.deleted),
                }[what]
                which[when == "done"].add(version)
        where = begun[0] if begun is not None else "between"
        self.cut_short[where] = self.cut_short.get(where, 0) + 1


def killed(folder: Path, source: random.Random, seed: int, importing: bool) -> list[str]:
    """Run a worker and kill it: at any moment, or soon after it began to open the registry."""
    command = [sys.executable, "-m", "tests.store.killed_worker", str(folder), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first == "begin open\n"
        time.sleep(source.uniform(0, 0.3) if importing else source.uniform(0.01, 0.5))
        process.send_signal(signal.SIGKILL)
        return [first, *process.stdout.readlines()]


def check(folder: Path, story: Story) -> int:
    """Open the store as the next start does; the number of versions that are there."""
    with (
        PageStore(folder, max_size=MAX_SIZE, fingerprint=FINGERPRINT) as store,
        OwnRegistry(folder) as registry,
    ):
        SpillFolder(folder / "spill", max_size=2**24, packing=PagePacking(FINGERPRINT))
        assert list((folder / "spill").iterdir()) == []
        owners = registry.page_owners()
        store.assign(owners)
        store.collect(owners.keys())
        assert registry.damage_reports() == [] and registry.check() == [] and store.check() == []
        found = {(e.document.id, e.document.version): e for e in registry.load()}
        assert story.published - story.deleting <= found.keys(), "acknowledged, and lost"
        assert not story.deleted & found.keys(), "deleted, and there"
        assert found.keys() <= story.publishing
        for (id, version), entry in found.items():
            assert entry.document.text == text_of(id, version)
            assert registry.last_version(id, owner_of(id)) >= version
        for id, version in found.keys() - story.deleting:
            for key in stored_keys(id, version):
                page = store.get(key, b"", TOKENS)
                assert isinstance(page, Loaded) and bytes(page.payload) == payload_of(key)
        for id, version in story.published:
            assert registry.last_version(id, owner_of(id)) >= version, "a number that would be used again"
        story.published = set(found)
        story.deleting = set()
        return len(found)


def make_old_store(folder: Path) -> None:
    """Turn a store into one that the first version wrote: its registry a file of its own, without digests."""
    with OwnRegistry(folder) as registry, closing(OldRegistry(folder / "new")) as old:
        for entry in registry.load():
            old.publish(entry.document, entry.framings)
            if entry.pinned:
                old.pin(entry.document.ref)
        with registry.database.snapshot() as db:
            for name, last in db.execute(select(DOCUMENTS.c.name, DOCUMENTS.c.last_version)):
                old.number(name, last)
    make_old(folder / NAME, folder / "new")
    for file in ("new", FILE_NAME, f"{NAME}.imported"):
        (folder / file).unlink(missing_ok=True)


@pytest.mark.timeout(60 + 10 * ROUNDS)
def test_kill_9_at_any_moment(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder, story, source = tmp_path / "store", Story(), random.Random(11)
    caplog.set_level(logging.WARNING)
    versions = 0
    for number in range(ROUNDS):
        importing = number % 4 == 2 and versions > 0
        if importing:
            make_old_store(folder)
        story.hear(killed(folder, source, number, importing))
        caplog.clear()
        versions = check(folder, story)
        # A delete that was cut short is ended, and said so, in one line.
        lines = [r.getMessage() for r in caplog.records]
        # A process that was killed before it made the database leaves an empty file of it.
        # One that was killed within a write to the index's log leaves half a record there: no change that was told.
        known = (
            *("pages that lost their files", "is an empty file, so nothing is known of before"),
            "the last change is undone: the end of the write-ahead log fails its checksum",
        )
        assert all(any(told in line for told in known) for line in lines) and len(lines) < 2
    logger.warning(
        "%d kills %s; %d published, %d there", ROUNDS, story.cut_short, len(story.publishing), versions
    )
    assert story.publishing
