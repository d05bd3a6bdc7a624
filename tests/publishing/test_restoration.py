from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvproxy.core import DocumentRef
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.documents.prompts.compose import Composer
from tests.test_publish import ALICE, BOB, FRAMINGS, LINES, TEXT, Shop, folder

__all__ = ["folder"]

FILE = "prepared.sqlite3"
TEXTS = {
    "rules": TEXT,
    "lines": "\ufeff\n" + LINES,
    "short": "a",
    "spaces": " \n x \n",
    "mark": "\ufeffa\r\nb\r\n",
}


@pytest.fixture
def shop(folder: Path, tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(folder, tmp_path, set(), FRAMINGS, texts=True)
    yield shop
    assert shop.registry.check() == [] and shop.backend.check() == []
    shop.close()


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of documents that were tokenised."""
    texts: list[str] = []
    tokenize = Composer.tokenize

    def watched(self: Composer, text: str, *more: list[int]) -> object:
        texts.append(text)
        return tokenize(self, text, *more)

    monkeypatch.setattr(Composer, "tokenize", watched)
    return texts


async def restarted(shop: Shop) -> list[KnownDocument]:
    again = shop.reopen()
    await again.publisher.restore()
    known = list(again.library)
    assert again.cached(TEXT, BOB) > 500
    again.close()
    return known


async def test_a_restart_tokenises_nothing_again(shop: Shop, encoded: list[str]) -> None:
    for id, text in TEXTS.items():
        await shop.publish(id, text, "public" if len(id) % 2 else "private")
    known, done = list(shop.library), len(encoded)
    assert await restarted(shop) == known, "to the token"
    assert len(encoded) == done > 0


@pytest.mark.parametrize("damage", ["zeros", "gone", "a bit", "cut", "another text", "a folder"])
async def test_a_damaged_row_is_prepared_again(
    shop: Shop, tmp_path: Path, encoded: list[str], damage: str
) -> None:
    await shop.publish("rules", TEXT)
    known = list(shop.library)
    shop.publisher.close()
    path = tmp_path / FILE
    if damage == "zeros":
        path.write_bytes(bytes(path.stat().st_size))
    elif damage in ("gone", "a folder"):
        path.unlink()
        if damage == "a folder":
            path.mkdir()
    else:
        change = {
            "a bit": "data = CAST(substr(data, 1, 200) || x'01' || substr(data, 202) AS BLOB)",
            "cut": "data = substr(data, 1, 300)",
            "another text": "name = 'other'",
        }[damage]
        with sqlite3.connect(path) as db:
            db.execute(f"UPDATE prepared SET {change}")
        db.close()
    done = len(encoded)
    assert await restarted(shop) == known and len(encoded) > done
    if damage != "a folder":
        done = len(encoded)
        assert await restarted(shop) == known and len(encoded) == done, "and is whole again"


async def test_other_framings_and_spellings_are_another_recipe(shop: Shop, encoded: list[str]) -> None:
    await shop.publish("rules", LINES)
    done = len(encoded)
    for again in (shop.reopen(framings=FRAMINGS[:1]), shop.reopen(spellings="exact")):
        await again.publisher.restore()
        again.close()
        assert len(encoded) > done
        done = len(encoded)


async def test_a_deleted_text_leaves_nothing(shop: Shop, tmp_path: Path) -> None:
    await shop.publish("rules", TEXT)
    await shop.publisher.delete(DocumentRef("rules"), ALICE)
    shop.publisher.close()
    with sqlite3.connect(tmp_path / FILE) as db:
        assert db.execute("SELECT count(*) FROM prepared").fetchone() == (0,)
    db.close()


async def test_rows_that_a_killed_process_left_are_dropped(shop: Shop, tmp_path: Path) -> None:
    await shop.publish("rules", TEXT)
    ref = await shop.publish("gone", TEXT + "More.")
    await asyncio.to_thread(shop.registry.delete, [ref])
    await restarted(shop)
    with sqlite3.connect(tmp_path / FILE) as db:
        assert db.execute("SELECT name FROM prepared").fetchall() == [("rules",)]
    db.close()


async def test_a_text_that_another_tenant_has_makes_no_publish_faster(shop: Shop, encoded: list[str]) -> None:
    await shop.publish("rules", TEXT, "private")
    done = len(encoded)
    await shop.publish("rules", TEXT, "private", BOB)
    assert len(encoded) == 2 * done


async def test_pages_that_go_missing_while_it_runs_are_found_and_computed_again(
    folder: Path, tmp_path: Path
) -> None:
    shop = Shop(folder, tmp_path, set(), FRAMINGS)
    await shop.publish("rules", TEXT)
    await shop.publish("others", "Other. " + TEXT)
    assert await shop.publisher.look_again() == 0
    await shop.publisher.quarantine.confine({DocumentRef("others", 1): "page 1 differs"})
    shop.backend.disk.clear()
    assert await shop.publisher.look_again() == len(FRAMINGS), "those in quarantine are left out"
    await shop.publisher.refresh()
    assert await shop.publisher.look_again() == 0
    assert shop.cached(TEXT, BOB) > 500
    shop.close()
