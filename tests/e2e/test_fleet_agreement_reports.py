"""Reports of a fleet for its operator: residency by replica, agreement on request and in idle time, metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kvproxy.client import Client, RequestFailed
from kvproxy.errors import ModelNotFound
from tests.e2e.fake_fleet import BLOCK, FLEET, FakeFleet, served_fleet
from tests.e2e.reader import Reader, reader
from tests.e2e.served import Served
from tests.e2e.texts import document, in_system

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

TEXT = document("What an operator sees", 2_600)
Open = tuple[FakeFleet, Served]


@pytest.fixture(scope="module")
def opened(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    folder = tmp_path_factory.mktemp("reports")
    with served_fleet(folder, smollm2, "rack-one", "rack-two", fleet={"audit": 1.0}) as (fleet, proxy):
        with Client(proxy.url) as client:
            client.publish("handbook", TEXT)
        yield fleet, proxy


@pytest.fixture
def asked(opened: Open) -> Iterator[Reader]:
    with reader(opened[1].url) as one:
        yield one


@pytest.fixture
def client(opened: Open) -> Iterator[Client]:
    with Client(opened[1].url) as one:
        yield one


def metrics(url: str) -> dict[str, float]:
    text = httpx.get(f"{url}/metrics", trust_env=False).raise_for_status().text
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_a_document_is_shown_by_replica(client: Client) -> None:
    [framing] = client.document("handbook")["framings"]
    [held] = framing["replicas"]
    assert held["replica"] in ("rack-one", "rack-two") and held["tier"] == "device"
    assert held["tokens"] == framing["resident_tokens"] == framing["tokens"] - framing["tokens"] % BLOCK
    assert 0 <= time.time() - held["since"] < 3600
    pinned: dict[str, Any] = client.publish("handbook", TEXT, pinned=True)["info"]
    assert pinned["pinned"] == "best effort"


def test_verification_tells_agreement_and_never_exactness(client: Client) -> None:
    for model in (None, FLEET):
        found = client.verify("handbook", tokens=8, model=model)
        assert (found["exact"], found["agrees"]) == (False, True)
        [row] = found["data"]
        assert (row["equal_greedy"], row["greedy_tokens"], row["largest_difference"]) == (8, 8, 0.0)
        assert row["agreement"]["cold_cached_tokens"] == 0 and row["cached_tokens"] % BLOCK == 0
        assert row["agreement"]["replica"] in ("rack-one", "rack-two")
    with pytest.raises(RequestFailed) as refused:
        client.verify("handbook", model="nobody")
    assert refused.value.kind is ModelNotFound


def test_a_replica_that_reports_no_cached_token_is_not_compared(opened: Open, client: Client) -> None:
    opened[0].set(cached_null=True)
    try:
        found = client.verify("handbook", tokens=8)
    finally:
        opened[0].set(cached_null=False)
    assert found["exact"] is False and found["data"][0]["note"]


def test_hits_are_audited_in_idle_time_and_counted(opened: Open, asked: Reader) -> None:
    fleet, proxy = opened
    for question in ("Why?", "How long?"):
        assert asked.ask(in_system(TEXT, question), model=FLEET).outcome == "hit"
    label = f'fleet="{FLEET}"'
    deadline = time.monotonic() + 60
    while metrics(proxy.url)[f'kvproxy_fleet_audits_total{{{label},result="agree"}}'] < 2:
        assert time.monotonic() < deadline, metrics(proxy.url)
        time.sleep(0.05)
    found = metrics(proxy.url)
    assert found[f'kvproxy_fleet_audits_total{{{label},result="differ"}}'] == 0
    assert found['kvproxy_fleet_expectations_total{reported="equal"}'] == 2
    for name in fleet.replicas:
        assert found[f'kvproxy_replica_up{{{label},replica="{name}"}}'] == 1
        assert found[f'kvproxy_replica_event_gaps_total{{{label},replica="{name}"}}'] == 0
    answers = [
        found.get(f'kvproxy_replica_answers_total{{{label},replica="{n}"}}', 0) for n in fleet.replicas
    ]
    assert sum(answers) == 2
    assert found[f"kvproxy_fleet_resident_blocks{{{label}}}"] > len(TEXT) / 5 / BLOCK / 2
    assert not any("handbook" in name for name in found)
