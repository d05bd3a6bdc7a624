"""kill -9 of a proxy under mixed streams, again and again: the ledger has what the clients counted, to the token.

``PYTHONPATH=. python -m tests.e2e.ledger_kills --kills 50`` runs it as often as is wanted, and prints what it saw.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from kvproxy.core import parse_nano
from kvproxy.database.database import Database
from kvproxy.ledger.bookings import LedgerRow
from kvproxy.ledger.ledger_check import check
from kvproxy.ledger.ledger_reading import RowQuery, read_rows
from tests.e2e.served import Served
from tests.e2e.texts import document

MODEL = "small"
READERS = ("alice", "bertha", "carol")
KEYS = {name: f"{name}-0123456789abcdef" for name in ("acme", *READERS)}
CLIENTS = 6
TEXT = document("ledger", 4_000)
TARIFF = """
currency: USD
tariffs:
  - valid_from: 2026-01-01
    models: {small: {input: "5", output: "15"}}
    documents: {price: 50%, publisher_share: 80%}
"""
Tokens = tuple[int, int, int]
"""Prompt, cached, completion."""


@dataclass(frozen=True, slots=True)
class Counted:
    """An answer that came to its end, as its client counted it."""

    id: str
    reader: str
    tokens: Tokens
    nano: int


@dataclass
class Tally:
    """Everything that the clients saw, over all lives of the proxy."""

    whole: dict[str, Counted] = field(default_factory=dict)
    begun: dict[str, str] = field(default_factory=dict)
    """Answers of which a client saw the id and no end; with their readers."""
    cut: int = 0
    """Requests that were cut off, with or without a first byte."""


@dataclass(frozen=True, slots=True)
class Verdict:
    kills: int
    whole: int
    cut: int
    rows: int
    unseen: int
    """Rows of answers whose end the kill kept from their client: journalled, and not sent any more."""
    faults: tuple[str, ...]


def config(folder: Path, database: str | None) -> dict[str, Any]:
    path = folder / "tariff.yaml"
    path.write_text(TARIFF, encoding="utf-8")
    return {
        "model": {"name": MODEL},
        "server": {"api_keys": [{"name": name, "key": key} for name, key in KEYS.items()]},
        "database": {"url": database},
        "tariff": str(path),
        "billing": {"default_credit": "1000000"},
    }


def run(folder: Path, model: Path, kills: int, *, seed: int = 0, database: str | None = None) -> Verdict:
    """Serve, load, kill; the last life ends in peace. Returns what was found in the ledger then."""
    chance, tally = random.Random(seed), Tally()
    with Served(folder, model, config(folder, database)) as proxy:
        publish(proxy.url)
        for _ in range(kills):
            under_load(proxy, tally, chance.randint(1, 20), chance)
            proxy.start()
        under_load(proxy, tally, None, chance)
        proxy.stop()
    return judge(proxy.store, tally, kills, database)


def publish(url: str) -> None:
    body = {"id": "ledger", "text": TEXT, "visibility": "public"}
    answer = httpx.post(
        f"{url}/kv/v1/documents", json=body, headers=bearer("acme"), timeout=600, trust_env=False
    )
    assert answer.status_code == 201, answer.text


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {KEYS[name]}"}


def under_load(proxy: Served, tally: Tally, answers: int | None, chance: random.Random) -> None:
    """Clients ask until the proxy is killed, some time after so many ``answers``; without a kill, three times each."""
    ended = threading.Event()
    seeds = [chance.getrandbits(32) for _ in range(CLIENTS)]
    most = 3 if answers is None else 10**6
    threads = [
        threading.Thread(target=client, args=(proxy.url, tally, ended, random.Random(s), most)) for s in seeds
    ]
    for thread in threads:
        thread.start()
    if answers is not None:
        wanted, deadline = len(tally.whole) + answers, time.monotonic() + 300
        while len(tally.whole) < wanted:
            assert time.monotonic() < deadline, f"no answers came:\n{proxy.log}"
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.5))  # the moment of the kill is what varies
        proxy.kill()
        ended.set()
    for thread in threads:
        thread.join()


def client(url: str, tally: Tally, ended: threading.Event, chance: random.Random, most: int) -> None:
    with httpx.Client(base_url=url, timeout=600, trust_env=False) as http:
        for _ in range(most):
            if ended.is_set():
                return
            reader = chance.choice(READERS)
            try:
                ask(http, tally, reader, chance)
            except httpx.HTTPError:
                tally.cut += 1
                return


def ask(http: httpx.Client, tally: Tally, reader: str, chance: random.Random) -> None:
    """One request of any kind: a hit by text, a cold text, the caller's own conversation; streamed or whole."""
    known = chance.random() < 0.6
    system = TEXT if known else document(f"cold {chance.getrandbits(48)}", chance.choice((100, 1_500)))
    question = f"Question {chance.getrandbits(16)}?"
    most, streamed = chance.randint(1, 12), chance.random() < 0.7
    headers = bearer(reader)
    if chance.random() < 0.7:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
        body = {"model": MODEL, "messages": messages, "max_tokens": most, "n": chance.choice((1, 1, 2))}
        path, options = "/v1/chat/completions", {"stream_options": {"include_usage": True}}
    else:
        body = {"model": MODEL, "instructions": system, "input": question, "max_output_tokens": max(16, most)}
        path, options = "/v1/responses", {}
    if not streamed:
        answer = http.post(path, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        note(tally, answer.json(), reader)
        return
    with http.stream("POST", path, json={**body, "stream": True, **options}, headers=headers) as response:
        assert response.status_code == 200, response.read()
        for event in events(response):
            found = event.get("response", event)
            if found.get("id"):
                tally.begun.setdefault(found["id"], reader)
            if found.get("usage"):
                note(tally, found, reader)


def events(response: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in response.iter_lines():
        if line.startswith("data: {"):
            yield json.loads(line[6:])


def note(tally: Tally, answer: dict[str, Any], reader: str) -> None:
    usage = answer["usage"]
    details = usage.get("prompt_tokens_details") or usage["input_tokens_details"]
    tokens = (
        usage.get("prompt_tokens", usage.get("input_tokens")),
        details["cached_tokens"],
        usage.get("completion_tokens", usage.get("output_tokens")),
    )
    tally.whole[answer["id"]] = Counted(answer["id"], reader, tokens, parse_nano(usage["cost"]["cost"]))


def judge(store: Path, tally: Tally, kills: int, database: str | None) -> Verdict:
    with Database.open(database, store) as opened:
        faults = [str(fault) for fault in check(opened)]
        rows = {row.id: row for row in all_rows(opened) if row.kind == "read"}
    for counted in tally.whole.values():
        row = rows.get(counted.id)
        if row is None:
            faults.append(f"{counted.id}: its client saw the end, and the ledger has nothing")
        elif (tokens_of(row), row.charge.cost, row.reader) != (counted.tokens, counted.nano, counted.reader):
            faults.append(f"{counted.id}: {tokens_of(row)} in the ledger, {counted.tokens} at its client")
    unseen = [row for id, row in rows.items() if id not in tally.whole]
    if len(unseen) > tally.cut:
        faults.append(f"{len(unseen)} rows that no client saw the end of, and {tally.cut} requests were cut")
    faults += [
        f"{row.id}: another reader's" for row in unseen if tally.begun.get(row.id, row.reader) != row.reader
    ]
    return Verdict(kills, len(tally.whole), tally.cut, len(rows), len(unseen), tuple(faults))


def all_rows(database: Database) -> Iterator[LedgerRow]:
    after = 0
    while True:
        with database.snapshot() as db:
            page = read_rows(db, RowQuery(after=after, limit=500))
        if not page:
            return
        yield from page
        after = page[-1].seq


def tokens_of(row: LedgerRow) -> Tokens:
    return row.metered.prompt_tokens, row.metered.cached_tokens, row.metered.completion_tokens


async def _model_folder() -> Path:
    from kvproxy.config import default_cache_dir
    from kvproxy.engine.models.source import resolve_model

    return resolve_model(
        "smollm2-135m", revision=None, cache_dir=default_cache_dir(), progress=lambda *_: None
    ).path


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--kills", type=int, default=50)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--database", default=None, help="a URL of PostgreSQL; SQLite otherwise")
    given = asked.parse_args()
    model = asyncio.run(_model_folder())
    with tempfile.TemporaryDirectory() as folder, suppress(KeyboardInterrupt):
        found = run(Path(folder), model, given.kills, seed=given.seed, database=given.database)
        sys.stdout.write(f"{found}\n")


if __name__ == "__main__":
    main()
