"""Pages as objects: written once, listed, and written again only where a damaged copy was read."""

from __future__ import annotations

import hashlib

import pytest

from kvproxy.objects import object_pages
from kvproxy.objects.object_address import ObjectAddress
from kvproxy.objects.object_pages import ObjectPages
from kvproxy.objects.object_store import ObjectStore
from kvproxy.store.page_results import Missing, Rejected
from tests.objects.conftest import s3_address
from tests.objects.fault_proxy import FaultProxy

KEYS = [hashlib.sha256(bytes([i])).digest() for i in range(8)]


@pytest.fixture
def store(folder_address: ObjectAddress) -> ObjectStore:
    return ObjectStore(folder_address)


def test_a_page_is_found_by_every_proxy_of_the_same_engine_after_a_listing(store: ObjectStore) -> None:
    one, two, other = ObjectPages(store, "f" * 64), ObjectPages(store, "f" * 64), ObjectPages(store, "e" * 64)
    assert one.write(KEYS[0], b"page")
    assert one.has(KEYS[0]) and not two.has(KEYS[0])
    assert two.refresh() == 1 and two.has(KEYS[0]) and two.fetch(KEYS[0]) == b"page"
    assert other.refresh() == 0 and other.fetch(KEYS[0]) == Missing()
    assert store.read(f"pages/{'f' * 32}/{KEYS[0].hex()[:2]}/{KEYS[0].hex()}.page", 99)


def test_an_equal_page_that_is_there_is_as_good_as_ones_own(store: ObjectStore) -> None:
    one, two = ObjectPages(store, "f1"), ObjectPages(store, "f1")
    assert one.write(KEYS[0], b"page")
    assert not two.write(KEYS[0], b"page")
    assert two.has(KEYS[0])


def test_a_page_that_is_gone_is_forgotten_and_a_deleted_one_too(store: ObjectStore) -> None:
    one, two = ObjectPages(store, "f1"), ObjectPages(store, "f1")
    for key in KEYS:
        one.write(key, b"page")
    two.refresh()
    one.delete(KEYS[:3])
    assert len(one) == 5 and one.keys() == frozenset(KEYS[3:])
    assert two.has(KEYS[0])
    assert two.fetch(KEYS[0]) == Missing()
    assert not two.has(KEYS[0])
    one.delete(KEYS[:3])


def test_a_damaged_copy_counts_as_missing_and_gives_way_to_a_good_one(store: ObjectStore) -> None:
    pages = ObjectPages(store, "f1")
    pages.write(KEYS[0], b"damaged")
    pages.note_damage(KEYS[0])
    assert not pages.has(KEYS[0])
    assert pages.refresh() == 0, "the listing does not bring it back"
    assert pages.write(KEYS[0], b"good")
    assert pages.has(KEYS[0]) and pages.fetch(KEYS[0]) == b"good"


def test_names_that_are_no_pages_are_passed_over(store: ObjectStore) -> None:
    pages = ObjectPages(store, "f1")
    pages.write(KEYS[0], b"page")
    text = KEYS[1].hex()
    for name in (
        "readme",
        f"zz/{text}.page",
        f"{text[:2]}/{text}",
        "aa/aa.page",
        f"{text[:2]}/{text[:-1]}g.page",
    ):
        store.create(f"pages/f1/{name}", b"x")
    assert pages.refresh() == 1
    assert pages.keys() == frozenset(KEYS[:1])


def test_what_changes_during_a_listing_counts(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    pages, other = ObjectPages(store, "f1"), ObjectPages(store, "f1")
    pages.write(KEYS[0], b"page")
    names = store.names

    def meanwhile(prefix: str) -> list[str]:
        listed = list(names(prefix))
        pages.write(KEYS[1], b"page")
        pages.delete([KEYS[0]])
        return listed

    monkeypatch.setattr(store, "names", meanwhile)
    pages.refresh()
    assert pages.keys() == frozenset([KEYS[1]])
    monkeypatch.undo()
    assert other.refresh() == 1


def test_an_object_larger_than_any_page_is_refused(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = ObjectPages(store, "f1")
    pages.write(KEYS[0], bytes(100))
    monkeypatch.setattr(object_pages, "LARGEST", 99)
    assert pages.fetch(KEYS[0]) == Rejected("an object of 100 bytes is no page")
    assert not pages.has(KEYS[0])


def test_a_store_that_fails_rejects_and_forgets_nothing(faulty: FaultProxy, bucket: str) -> None:
    pages = ObjectPages(ObjectStore(s3_address(faulty.url, bucket, attempts=1)), "f1")
    pages.write(KEYS[0], b"page")
    faulty.fault = "error"
    assert isinstance(pages.fetch(KEYS[0]), Rejected)
    assert pages.front(KEYS[0], 2) is None
    assert pages.has(KEYS[0])
    faulty.fault = "none"
    assert pages.fetch(KEYS[0]) == b"page"
    assert pages.front(KEYS[0], 2) == b"pa"


def test_pages_of_another_proxy_are_found_by_name_without_a_listing(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = ObjectPages(store, "f1"), ObjectPages(store, "f1")
    for key in KEYS[:6]:
        one.write(key, b"page")
    assert two.find(KEYS) == 6 and all(map(two.has, KEYS[:6])) and not two.has(KEYS[7])
    monkeypatch.setattr(two, "front", None)  # what is known is not asked for again
    assert two.find(KEYS[:6]) == 6
    two.forget(KEYS[:1])
    assert not two.has(KEYS[0]) and one.has(KEYS[0]), "and nothing is deleted"
    assert one.find([]) == 0


def test_a_store_that_does_not_answer_has_no_page(s3_server: str, bucket: str, faulty: FaultProxy) -> None:
    with_pages = ObjectPages(ObjectStore(s3_address(s3_server, bucket)), "f1")
    with_pages.write(KEYS[0], b"page")
    pages = ObjectPages(ObjectStore(s3_address(faulty.url, bucket, 0.5, attempts=1)), "f1")
    faulty.fault = "refuse"
    assert pages.find(KEYS) == 0
