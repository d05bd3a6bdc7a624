"""32 readers of a fleet, and a replica killed with -9 in the middle of their answers."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from kvproxy.core import parse_nano
from kvproxy.database.database import Database
from kvproxy.ledger.bookings import LedgerRow
from kvproxy.ledger.ledger_check import check
from tests.e2e.fake_fleet import FLEET, FakeFleet, served_fleet
from tests.e2e.ledger_kills import all_rows, tokens_of
from tests.e2e.texts import document, in_system

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

READERS = 32
RUNNING = 6
"""Requests that a replica runs at once; those behind them have no byte yet."""
WORDS = 40
KEYS = {name: f"{name}-0123456789abcdef" for name in ("publisher", "alice", "bertha", "carol", "dora")}
TEXT = document("killed", 3_000)
TARIFF = """
currency: USD
tariffs:
  - valid_from: 2026-01-01
    models: {smol-fleet: {input: "5", output: "15"}}
    documents: {price: 50%, publisher_share: 80%}
"""


@dataclass
class Reading:
    """One reader's stream, as its client saw it."""

    number: int
    reader: str
    text: str = ""
    id: str = ""
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    whole: bool = False
    began: threading.Event = field(default_factory=threading.Event)

    def read(self, url: str) -> None:
        body = {**question(self.number), "stream": True, "stream_options": {"include_usage": True}}
        with httpx.stream(
            "POST",
            f"{url}/v1/chat/completions",
            json=body,
            headers=key(self.reader),
            timeout=300,
            trust_env=False,
        ) as answer:
            assert answer.status_code == 200, answer.read()
            for line in answer.iter_lines():
                if line == "data: [DONE]":
                    self.whole = self.error is None
                elif line.startswith("data: {"):
                    self.take(json.loads(line[6:]))

    def take(self, event: dict[str, Any]) -> None:
        self.error = event.get("error", self.error)
        self.id = event.get("id") or self.id
        self.usage = event.get("usage") or self.usage
        for choice in event.get("choices") or ():
            self.text += choice["delta"].get("content") or ""
        if self.text:
            self.began.set()


def key(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {KEYS[name]}"}


def question(number: int) -> dict[str, Any]:
    return {"model": FLEET, "messages": in_system(TEXT, f"Question {number}?"), "max_tokens": 2_000}


def config(folder: Path) -> dict[str, Any]:
    tariff = folder / "tariff.yaml"
    tariff.write_text(TARIFF, encoding="utf-8")
    return {
        "server": {"api_keys": [{"name": name, "key": text} for name, text in KEYS.items()]},
        "tariff": str(tariff),
        "billing": {"default_credit": "1000000"},
    }


def killed_in_the_middle(fleet: FakeFleet, readings: list[Reading]) -> None:
    """Kill the replica that most readers wait at, once some of its readers have a byte and others have none."""
    deadline = time.monotonic() + 120
    while True:
        states = {name: replica.state for name, replica in fleet.replicas.items()}
        name = max(states, key=lambda one: states[one]["waiting"])
        if states[name]["waiting"] >= 3 and states[name]["running"] == RUNNING:
            if sum(one.began.is_set() for one in readings) >= RUNNING:
                break
        assert time.monotonic() < deadline, f"no replica has readers with and without a byte: {states}"
        time.sleep(0.02)
    fleet[name].kill()


def rows_of(store: Path) -> tuple[list[str], dict[str, LedgerRow]]:
    with Database.open(None, store) as database:
        faults = [str(fault) for fault in check(database)]
        return faults, {row.id: row for row in all_rows(database) if row.kind == "read"}


def test_a_replica_killed_among_its_readers_costs_nobody_anything(smollm2: Path, tmp_path: Path) -> None:
    arguments = ("--decode-s", "0.02", "--answer-words", str(WORDS), "--max-num-seqs", str(RUNNING))
    folder = tmp_path / "proxy"
    folder.mkdir()
    with served_fleet(folder, smollm2, "one", "two", arguments=arguments, **config(tmp_path)) as (
        fleet,
        proxy,
    ):
        body = {"id": "killed", "text": TEXT, "visibility": "public"}
        published = httpx.post(
            f"{proxy.url}/kv/v1/documents", json=body, headers=key("publisher"), timeout=120, trust_env=False
        )
        assert published.status_code == 201, published.text
        names = [name for name in KEYS if name != "publisher"]
        readings = [Reading(number, names[number % len(names)]) for number in range(READERS)]
        threads = [threading.Thread(target=one.read, args=(proxy.url,)) for one in readings]
        for thread in threads:
            thread.start()
        killed_in_the_middle(fleet, readings)
        for thread in threads:
            thread.join()
        with ThreadPoolExecutor(READERS) as pool:
            again = list(pool.map(lambda one: expected(proxy.url, one), readings))
    faults, rows = rows_of(proxy.store)
    assert faults == []
    judge(readings, again, rows)


def expected(url: str, reading: Reading) -> str:
    """The text that a reader should have: what the other replica says to the same question."""
    answer = httpx.post(
        f"{url}/v1/chat/completions",
        json=question(reading.number),
        headers=key(reading.reader),
        timeout=300,
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text
    text: str = answer.json()["choices"][0]["message"]["content"]
    return text


def judge(readings: list[Reading], again: list[str], rows: dict[str, LedgerRow]) -> None:
    broken = [one for one in readings if one.error is not None]
    whole = [one for one in readings if one.whole]
    assert len(broken) + len(whole) == READERS, "a stream ended with neither its end nor an error"
    assert broken, "no reader had a byte of the killed replica"
    assert len(broken) <= RUNNING, "a reader without a byte was given an error instead of another replica"
    for one in broken:
        assert one.text and again[one.number].startswith(one.text.rstrip()), "an error before the first byte"
        assert one.usage is None
        assert one.id not in rows, f"{one.reader} is charged for an answer that broke off"
    for one in whole:
        assert one.text.strip() == again[one.number].strip(), (
            "another answer than the same question has alone"
        )
        assert one.usage is not None
        row, usage = rows[one.id], one.usage
        counted = (
            usage["prompt_tokens"],
            usage["prompt_tokens_details"]["cached_tokens"],
            usage["completion_tokens"],
        )
        assert tokens_of(row) == counted
        assert (row.reader, row.charge.cost) == (one.reader, parse_nano(usage["cost"]["cost"]))
    asked_again = READERS
    assert len(rows) == len(whole) + asked_again, "the ledger has rows of requests that nobody saw the end of"
