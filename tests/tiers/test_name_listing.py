"""Listings: one at the start, then one now and then; an outage is told once and ends by itself."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable

import pytest

from kvproxy.objects.object_address import ObjectAddress
from kvproxy.objects.object_pages import ObjectPages
from kvproxy.objects.object_store import ObjectStore
from kvproxy.tiers.name_listing import NameListing
from tests.objects.conftest import s3_address
from tests.objects.fault_proxy import FaultProxy

KEYS = [hashlib.sha256(bytes([i])).digest() for i in range(2)]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_pages_of_other_proxies_are_found_at_the_start_and_later(folder_address: ObjectAddress) -> None:
    other, pages = (ObjectPages(ObjectStore(folder_address), "f1") for _ in range(2))
    other.write(KEYS[0], b"page")
    known: list[bool] = []
    listing = NameListing(pages, 0.05, lambda: known.append(True))
    assert listing.wait(60) and pages.has(KEYS[0])
    other.write(KEYS[1], b"page")
    wait_until(lambda: pages.has(KEYS[1]))
    other.delete([KEYS[0]])
    wait_until(lambda: not pages.has(KEYS[0]))
    listing.close()
    assert known == [True]


def test_a_store_that_is_away_at_the_start_is_listed_when_it_is_back(
    faulty: FaultProxy, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    address = s3_address(faulty.url, bucket, attempts=1)
    ObjectPages(ObjectStore(address), "f1").write(KEYS[0], b"page")
    faulty.fault = "error"
    pages, known = ObjectPages(ObjectStore(address), "f1"), list[bool]()
    listing = NameListing(pages, 0.05, lambda: known.append(True))
    assert not listing.wait(60)
    wait_until(lambda: faulty.requests >= 3)
    assert (known, len(pages)) == ([], 0)
    faulty.fault = "none"
    wait_until(lambda: known == [True])
    listing.close()
    assert pages.has(KEYS[0])
    told = [r for r in caplog.records if r.name.endswith("name_listing") and r.levelno == logging.WARNING]
    assert len(told) == 1
