from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from kvproxy.errors import StorageFull
from kvproxy.store.page_record import HEADER_UNIT
from kvproxy.store.page_results import Missing
from kvproxy.store.page_store import PageStore
from kvproxy.store.publisher_shares import NO_OWNER, NoRoom, PublisherShares

PAYLOAD = bytes(1000)
PAGE = HEADER_UNIT + len(PAYLOAD)


def key(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def put(store: PageStore, name: str, owner: str | None) -> None:
    store.put(key(name), b"", (1,), PAYLOAD, owner)


def opened(folder: Path, pages: int) -> PageStore:
    return PageStore(folder / "store", max_size=pages * PAGE, fingerprint="f")


def test_one_publisher_may_fill_the_store_and_gives_room_to_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path, 6) as store:
        for i in range(6):
            put(store, f"a{i}", "a")
        with pytest.raises(StorageFull, match=r"store\.max_size"):
            put(store, "a6", "a")
        for i in range(3):
            put(store, f"b{i}", "b")
        assert [i for i in range(6) if store.has(key(f"a{i}"))] == [0, 1, 2], "the newest went"
        assert "1 pages of a made room for b" in caplog.text
        with pytest.raises(StorageFull, match="your share of a full store is"):
            put(store, "b3", "b")
        with pytest.raises(StorageFull, match="your documents hold"):
            put(store, "a5", None)
        assert all(store.has(key(f"b{i}")) for i in range(3)) and store.check() == []
        assert isinstance(store.get(key("a5"), b"", (1,)), Missing)


def test_pages_of_no_document_go_first_and_counts_outlive_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path, 4) as store:
        put(store, "a0", "a")
        put(store, "orphan", "a")
        put(store, "b0", "b")
        put(store, "b1", "b")
    with opened(tmp_path, 4) as store:
        store.assign({key("a0"): "a", key("b0"): "b", key("b1"): "b"})
        put(store, "c0", "c")
        assert not store.has(key("orphan")) and all(store.has(key(k)) for k in ("a0", "b0", "b1", "c0"))
        with pytest.raises(StorageFull):
            put(store, "b2", "b")
        put(store, "d0", "d")
        assert not store.has(key("b1")), "of whoever has the most"


def test_room_is_made_by_whoever_has_most_and_counts_stay_right() -> None:
    source = random.Random(7)
    shares = PublisherShares(1000)
    for step in range(3000):
        owner = source.choice("abcd")
        size = source.randint(1, 60)
        if step % 7 == 0 and shares.sizes:
            shares.remove(source.choice(list(shares.sizes)))
            continue
        before = {o: shares.held(o) for o in "abcd"}
        publishers = {o for o in before if before[o]} | {owner}
        room = shares.make_room(size, owner)
        if isinstance(room, NoRoom):
            assert before[owner] + size > 1000 // len(publishers) and shares.used + size > 1000
            continue
        for doomed in room:
            victim = shares.owner(doomed)
            assert victim != owner and shares.held(victim) == max(
                shares.held(o) for o in "abcd" if o != owner
            )
            shares.remove(doomed)
        shares.add(step.to_bytes(4, "big"), size, owner)
        assert shares.used == sum(shares.sizes.values()) == sum(shares.held(o) for o in "abcd") <= 1000
        assert shares.held(NO_OWNER) == 0
