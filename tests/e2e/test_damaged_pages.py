"""Pages that the disk has damaged, or that another engine wrote: a miss with a reason, never an answer."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kvproxy.documents.registry import Registry
from kvproxy.store.disk import page_name
from kvproxy.store.pages import PageStore
from tests.e2e.reader import MODEL, Answer, Reader, reader
from tests.e2e.served import Served
from tests.e2e.texts import document, in_system

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

CHARACTERS = 1_700


def flipped(page: Path, other: Path) -> None:
    data = bytearray(page.read_bytes())
    data[len(data) // 2] ^= 0x10
    page.write_bytes(data)


def truncated(page: Path, other: Path) -> None:
    """Torn by a power cut."""
    page.write_bytes(page.read_bytes()[: page.stat().st_size // 2])


def swapped(page: Path, other: Path) -> None:
    """A sound page, of another document."""
    shutil.copy(other, page)


def gone(page: Path, other: Path) -> None:
    page.unlink()


# Which page of the document is hit, the last one included; and what its reader is told.
DAMAGE: dict[Callable[[Path, Path], None], tuple[int, str]] = {
    gone: (0, "not-resident"),
    flipped: (0, "pages-rejected"),
    truncated: (-1, "pages-rejected"),
    swapped: (-1, "pages-rejected"),
}


def test_a_damaged_page_is_a_miss(smollm2: Path, tmp_path: Path) -> None:
    proxy = Served(tmp_path, smollm2, {"model": {"name": MODEL}})
    with proxy:
        with reader(proxy.url) as client:
            for damage in DAMAGE:
                client.publish(damage.__name__, text_of(damage.__name__))
            client.publish("sound", text_of("sound"))
            right = {id: ask(client, id) for id in [*(d.__name__ for d in DAMAGE), "sound"]}
        assert {a.outcome for a in right.values()} == {"hit"}
        assert proxy.stop() == 0
        broken = damage_all(proxy.store)

        proxy.start()
        with reader(proxy.url) as client:
            for damage, (_, reason) in DAMAGE.items():
                id = damage.__name__
                first = ask(client, id)
                assert (first.outcome, first.key, first.detail) == ("fwd=miss", f"{id}@1", reason)
                again = ask(client, id)
                assert (again.outcome, again.key) == ("hit", f"{id}@1")
                assert first.text == again.text == right[id].text
                if reason == "pages-rejected":
                    assert f"page {broken[id]} rejected: " in proxy.log
            assert ask(client, "sound").outcome == "hit"
        assert "dropped 1 pages that lost their files" in proxy.log
        assert proxy.stop() == 0
        # What had to be computed again was stored again.
        assert faults(proxy.store) == []

        proxy.start("--dtype", "float32")
        with reader(proxy.url) as client:
            another_engines_pages_are_not_used(proxy, client)
    assert faults(proxy.store) == []


def another_engines_pages_are_not_used(proxy: Served, client: Reader) -> None:
    first = ask(client, "sound")
    assert (first.outcome, first.key, first.detail) == ("fwd=miss", "sound@1", "not-resident")
    assert "sound@1 (system) will be prefilled again: 0 of " in proxy.log
    again = ask(client, "sound")
    assert (again.outcome, again.text) == ("hit", first.text)
    # In the background every document gets pages of this engine.
    deadline = time.monotonic() + 60
    while not all(f["resident_tokens"] == f["tokens"] for d in listed(client) for f in d["framings"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def listed(client: Reader) -> list[dict[str, list[dict[str, int]]]]:
    documents: list[dict[str, list[dict[str, int]]]] = client.http.get("/kv/v1/documents").json()["data"]
    return documents


def ask(client: Reader, id: str) -> Answer:
    return client.ask(in_system(text_of(id), "What is it?"), max_tokens=8)


def text_of(id: str) -> str:
    return document(id, CHARACTERS)


def damage_all(store: Path) -> dict[str, str]:
    """The key of the page that was damaged, for each document."""
    broken = {}
    with Registry(store / "documents.sqlite3") as registry:
        pages = {e.document.id: [p.key for f in e.framings for p in f.kept.pages] for e in registry.load()}
    for damage, (index, _) in DAMAGE.items():
        keys = pages[damage.__name__]
        assert len(keys) == 2, "one full page, and one in part"
        damage(store / "pages" / page_name(keys[index]), store / "pages" / page_name(pages["sound"][0]))
        broken[damage.__name__] = keys[index].hex()
    return broken


def faults(store: Path) -> list[str]:
    with PageStore(store, max_size=2**40, fingerprint="none") as pages:
        return pages.check()
