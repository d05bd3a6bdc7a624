"""``python -m tests.upkeep.evicting_worker FOLDER SEED``: publishes into a store that is full, until it is killed."""

from __future__ import annotations

import random
import sys
from pathlib import Path

from kvproxy.store.page_store import PageStore
from tests.documents.registry.own_registry import OwnRegistry
from tests.store.killed_worker import (
    FINGERPRINT,
    TOKENS,
    document,
    framing,
    owner_of,
    payload_of,
    say,
    stored_keys,
)

MAX_SIZE = 12 * 2**15
"""Room for a dozen pages: four versions."""


def work(folder: Path, seed: int) -> None:
    """Publish versions of six documents of six publishers, each of which takes room from others."""
    source = random.Random(seed)
    with (
        PageStore(folder, max_size=MAX_SIZE, fingerprint=FINGERPRINT) as pages,
        OwnRegistry(folder) as registry,
    ):
        say("begin")
        while True:
            id = f"doc{source.randrange(6)}"
            version = registry.last_version(id, owner_of(id)) + 1
            for key in stored_keys(id, version):
                pages.put(key, b"", TOKENS, payload_of(key), owner_of(id))
            registry.publish(document(id, version), [framing(id, version)])
            pages.assign(registry.page_owners())
            say(id, version)


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]))
