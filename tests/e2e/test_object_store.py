"""Two machines with one object store: the second finds what the first has published, and serves through an outage."""

from __future__ import annotations

import base64
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.reader import MODEL, Reader, reader
from tests.e2e.served import Served
from tests.e2e.texts import document, in_system
from tests.objects.conftest import bucket, s3_address, s3_server
from tests.objects.fault_proxy import FaultProxy

__all__ = ["bucket", "s3_server"]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

TEXT = document("handbook", 4_000)
FLEET = ("kvproxy.sqlite3", "keys.secret", "host-keys")
"""Beginnings of what a fleet shares of a store's folder, where no database of its own does: here by copying."""


def figure(client: Reader, name: str) -> float:
    metrics = client.http.get("/metrics").raise_for_status().text
    found = re.search(rf"^kvproxy_{name}(?:_total)? (\S+)$", metrics, re.M)
    assert found is not None, name
    return float(found[1])


def tiers(client: Reader) -> dict[str, int]:
    info = client.http.get("/kv/v1/documents/handbook").raise_for_status().json()
    counts: dict[str, int] = info["framings"][0]["tiers"]
    return counts


def settled(client: Reader) -> None:
    deadline = time.monotonic() + 60
    while figure(client, "object_backlog"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def config_of(server: str, bucket: str) -> dict[str, Any]:
    address = s3_address(server, bucket)
    objects = {"url": address.url, "options": dict(address.options), "timeout_s": 5, "attempts": 1}
    key = base64.b64encode(os.urandom(32)).decode()
    return {"model": {"name": MODEL}, "store": {"objects": objects, "encryption_keys": [key]}}


def wait_for_page_files(proxy: Served, count: float) -> None:
    deadline = time.monotonic() + 60
    while len(list((proxy.store / "pages").rglob("*.page"))) < count:
        assert time.monotonic() < deadline, "fetched pages are kept locally"
        time.sleep(0.05)


def copy_fleets_files(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for path in source.iterdir():
        if not path.name.startswith(FLEET):
            continue
        if path.is_dir():
            shutil.copytree(path, target / path.name)
        else:
            shutil.copy2(path, target / path.name)


@contextmanager
def fault_proxy(server: str) -> Iterator[FaultProxy]:
    url = urlsplit(server)
    assert url.hostname is not None and url.port is not None
    proxy = FaultProxy((url.hostname, url.port))
    try:
        yield proxy
    finally:
        proxy.close()


def ask(client: Reader) -> Any:
    return client.ask(in_system(TEXT, "What may be copied?"), max_tokens=8)


@pytest.mark.slow  # three starts of the real model
def test_a_second_machine_serves_what_the_first_published(
    smollm2: Path, tmp_path: Path, s3_server: str, bucket: str
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with fault_proxy(s3_server) as far:
        config = config_of(far.url, bucket)
        with Served(tmp_path / "one", smollm2, config) as one, reader(one.url) as client:
            client.publish("handbook", TEXT)
            right = ask(client)
            assert (right.outcome, tiers(client)["objects"]) == ("hit", 0)
            settled(client)
            pages = figure(client, "object_pages")
            assert pages == figure(client, "object_pages_written") >= 4
        copy_fleets_files(one.store, tmp_path / "two" / "store")

        two = Served(tmp_path / "two", smollm2, config)
        with two, reader(two.url) as client:
            kept = tiers(client)
            assert kept["objects"] >= 800 and kept["disk"] == kept["memory"] == 0
            hit = ask(client)
            assert (hit.outcome, hit.text, hit.cached) == ("hit", right.text, right.cached)
            assert tiers(client)["memory"] == sum(kept.values())
            assert figure(client, "object_page_reads") == pages
            assert "will be prefilled again" not in two.log
            wait_for_page_files(two, pages)
        files = [path for path in (two.store / "pages").rglob("*.page")]
        assert not any(TEXT[:40].encode() in path.read_bytes() for path in files)

        # Its disk is lost, and the object store stalls: readers are prefilled, with the same answer.
        shutil.rmtree(two.store)
        copy_fleets_files(one.store, two.store)
        with two, reader(two.url) as client:
            assert tiers(client)["objects"] == sum(kept.values())
            far.fault = "stall"
            miss = ask(client)
            assert (miss.outcome, miss.text) == ("fwd=miss", right.text)
            assert ask(client).outcome == "hit"
            assert figure(client, "object_failures") >= 1
            far.fault = "none"
