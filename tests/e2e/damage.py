"""Damage of a disk to the pages of a document between two runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from kvproxy.store.disk import page_name
from kvproxy.store.page_store import PageStore
from tests.documents.registry.own_registry import OwnRegistry

Damage = Callable[[Path, Path], None]


def gone(page: Path, other: Path) -> None:
    page.unlink()


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


# The damaged page of the document, the last one included; and the reason that its reader gets.
DAMAGE: dict[Damage, tuple[int, str]] = {
    gone: (0, "not-resident"),
    flipped: (0, "pages-rejected"),
    truncated: (-1, "pages-rejected"),
    swapped: (-1, "pages-rejected"),
}


def damage_all(store: Path, sound: str) -> dict[str, str]:
    """Each damage to the document of its name. The key of the page it happened to, by document."""
    broken = {}
    with OwnRegistry(store) as registry:
        pages = {e.document.id: [p.key for f in e.framings for p in f.kept.pages] for e in registry.load()}
    for damage, (index, _) in DAMAGE.items():
        keys = pages[damage.__name__]
        assert len(keys) == 2, "one full page, and one in part"
        damage(store / "pages" / page_name(keys[index]), store / "pages" / page_name(pages[sound][0]))
        broken[damage.__name__] = keys[index].hex()
    return broken


def faults(store: Path) -> list[str]:
    """The faults that the store and the registry of a stopped proxy report."""
    with (
        PageStore(store, max_size=2**40, fingerprint="none") as pages,
        OwnRegistry(store) as registry,
    ):
        return pages.check() + registry.check()
