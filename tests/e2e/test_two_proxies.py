"""Two proxies on the real model, with one PostgreSQL and one S3, act as one."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kvproxy.bench.private_postgres import PostgresServer
from kvproxy.database.database import Database
from kvproxy.ledger.ledger_check import check
from tests.database.postgres import postgres_server
from tests.e2e.ledger_kills import all_rows
from tests.e2e.proxy_kills import Killed, kill_under_load
from tests.e2e.proxy_pair import (
    ADMIN,
    ALICE,
    BOB,
    ProxyPair,
    fleet_config,
    readers,
    resident,
    served_pair,
    status,
    until,
)
from tests.e2e.reader import MODEL, Reader, reader
from tests.e2e.texts import document, in_system
from tests.objects.conftest import new_bucket, s3_server

__all__ = ["s3_server"]

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

TEXT, FREE, PAID = (document(name, 2_000) for name in ("handbook", "free", "paid"))
PRICE = {"kind": "fixed", "per_1000": "0.02", "text_readers": "full_price"}
RESPONSE = {"model": MODEL, "input": "Say something.", "max_output_tokens": 16, "store": True}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="module")
def pair(
    smollm2: Path, tmp_path_factory: pytest.TempPathFactory, s3_server: str, server: PostgresServer
) -> Iterator[ProxyPair]:
    """The two proxies of all tests of this file."""
    folder = tmp_path_factory.mktemp("pair")
    config = fleet_config(folder, server.url, s3_server, new_bucket(s3_server))
    with served_pair(ProxyPair(folder, smollm2, config)) as pair:
        yield pair


def test_two_proxies_act_as_one(pair: ProxyPair) -> None:
    with readers(pair, ALICE) as (a, b), readers(pair, BOB) as (_, bob):
        a.publish("handbook", TEXT, "public")
        until(lambda: status(bob.http, "/kv/v1/documents/handbook") == 200)
        right = a.ask(in_system(TEXT, "What may be copied?"))
        assert right.outcome == "hit"

        until(lambda: resident(bob.http, "handbook"))
        answer = bob.ask(in_system(TEXT, "What may be copied?"))
        assert (answer.outcome, answer.text, answer.cached) == ("hit", right.text, right.cached)
        assert answer.cached >= 0.9 * answer.usage.prompt_tokens - 60
        assert "will be prefilled again" not in pair.b.log

        _responses(a, b, bob)
        _versions_in_order(a, b)
        a.http.post("/kv/v1/documents/handbook/revoke", json={"reason": "wrong"}).raise_for_status()
        until(lambda: status(bob.http, "/kv/v1/documents/handbook") == 410)
        refused = bob.http.post("/v1/chat/completions", json=_by_reference("handbook"))
        assert refused.status_code == 410, refused.text
    _keys(pair)


def test_a_database_that_is_down_stops_what_needs_it_and_nothing_else(
    pair: ProxyPair, server: PostgresServer
) -> None:
    with readers(pair, ALICE) as (a, b), readers(pair, BOB) as (bob_a, bob_b):
        _publish_free_and_paid(a, b)
        id = a.http.post("/v1/responses", json=RESPONSE).raise_for_status().json()["id"]
        right = bob_a.ask(in_system(FREE, "What may be copied?"))

        ended, outcomes = threading.Event(), list[int]()
        load = threading.Thread(target=_read_again_and_again, args=(bob_b, ended, outcomes))
        load.start()
        until(lambda: len(outcomes) >= 2)
        server.stop("immediate")
        during = len(outcomes)
        for client, bob in ((a, bob_a), (b, bob_b)):
            answer = bob.ask(in_system(FREE, "What may be copied?"))
            assert answer.outcome == "hit" and answer.text == right.text
            _refused_without_database(client, bob, id)
            until(partial(_degraded, client))
        until(lambda: len(outcomes) >= during + 2)
        kept = a.http.post("/v1/responses", json=RESPONSE).raise_for_status().json()["id"]
        server.start()

        for client in (a, b):
            until(partial(_sound, client))
        until(lambda: status(b.http, f"/v1/responses/{kept}") == 200)
        ended.set()
        load.join()
        assert set(outcomes) == {200}, "free reads were answered all the time"
        paid = bob_b.http.post("/v1/chat/completions", json=_by_reference("paid"))
        assert paid.status_code == 200, paid.text
        a.publish("late", document("late", 300), "public")
        until(lambda: status(b.http, "/kv/v1/documents/late") == 200)  # it listens again
    with Database.open(server.url, pair.a.store) as database:
        assert [str(fault) for fault in check(database)] == []
        read = [row for row in all_rows(database) if row.kind == "read" and row.reader == "bob"]
    assert len(read) >= len(outcomes), "what was answered without the database is booked"


def test_a_kill_of_either_loses_nothing_and_stops_nobody(pair: ProxyPair, server: PostgresServer) -> None:
    chance, tally = random.Random(7), Killed()
    for round in range(4):
        doomed, other = (pair.a, pair.b) if round % 2 else (pair.b, pair.a)
        kill_under_load(doomed, other, tally, round, chance)
    with readers(pair, ALICE) as both:
        for client in both:
            for id, (there, text) in tally.documents.items():
                shown = client.http.get(f"/kv/v1/documents/{id}?text=true")
                if there is None:
                    continue
                assert shown.status_code == (200 if there else 404), id
                assert not there or shown.json()["text"] == text
            for id in tally.responses:
                assert status(client.http, f"/v1/responses/{id}") == 200, "acknowledged, and there"
    with Database.open(server.url, pair.a.store) as database:
        until(lambda: tally.answers <= {row.id for row in all_rows(database)})
        assert [str(fault) for fault in check(database)] == []


def _publish_free_and_paid(a: Reader, b: Reader) -> None:
    a.publish("free", FREE, "public")
    priced = {"id": "paid", "text": PAID, "visibility": "granted", "price": PRICE}
    assert a.http.post("/kv/v1/documents", json=priced).status_code == 201
    grant = {"document": "paid", "reader": "tenant", "id": "bob"}
    assert b.http.post("/kv/v1/grants", json=grant).status_code == 201
    until(lambda: resident(b.http, "free") and resident(b.http, "paid"))


def _refused_without_database(client: Reader, bob: Reader, response: str) -> None:
    http = client.http
    refusals = [
        bob.http.post("/v1/chat/completions", json=_by_reference("paid")),
        http.post("/kv/v1/documents", json={"id": "late", "text": FREE}),
        http.delete("/kv/v1/documents/free"),
        http.get(f"/v1/responses/{response}"),
        http.post("/v1/responses", json={**RESPONSE, "previous_response_id": response}),
    ]
    for refused in refusals:
        assert refused.status_code == 503 and int(refused.headers["retry-after"]) > 0, refused.text


def _degraded(client: Reader) -> bool:
    return bool(client.http.get("/health/ready").raise_for_status().json().get("degraded") == ["database"])


def _sound(client: Reader) -> bool:
    return not _degraded(client)


def _has_six(client: Reader) -> bool:
    return len([each for each in client.documents() if each.startswith("shared@")]) == 6


def _read_again_and_again(bob: Reader, ended: threading.Event, outcomes: list[int]) -> None:
    while not ended.is_set():
        body = {"model": MODEL, "messages": in_system(FREE, f"Question {len(outcomes)}?"), "max_tokens": 2}
        outcomes.append(bob.http.post("/v1/chat/completions", json=body).status_code)


def _responses(a: Reader, b: Reader, bob: Reader) -> None:
    """Stored through A: read, continued and deleted through B, by its own tenant alone."""
    body = RESPONSE
    for streamed in (False, True):
        path = "/v1/responses"
        if streamed:
            text = a.http.post(path, json={**body, "stream": True}).raise_for_status().text
            id = next(part for part in text.split('"') if part.startswith("resp_"))
        else:
            id = a.http.post(path, json=body).raise_for_status().json()["id"]
        assert b.http.get(f"{path}/{id}").raise_for_status().json()["id"] == id
        assert status(bob.http, f"{path}/{id}") == 404, "another tenant's"
        more = b.http.post(path, json={**body, "previous_response_id": id, "input": "And then?"})
        assert more.status_code == 200 and more.json()["previous_response_id"] == id
        assert b.http.delete(f"{path}/{id}").status_code == 200
        assert status(a.http, f"{path}/{id}") == 404


def _versions_in_order(a: Reader, b: Reader) -> None:
    """Both publish the same id at once: each gets a number of its own, and none is lost."""
    found: dict[int, str] = {}

    def publish(client: Reader, name: str) -> None:
        for i in range(3):
            text = f"Edition {i} by {name}. " * 8
            made = client.publish("shared", text, "private")
            found[made["info"]["version"]] = text

    threads = [threading.Thread(target=publish, args=pair) for pair in ((a, "A"), (b, "B"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [1, 2, 3, 4, 5, 6]
    for client in (a, b):
        until(partial(_has_six, client))
        for version, text in found.items():
            shown = client.http.get(f"/kv/v1/documents/shared@{version}?text=true")
            assert shown.status_code == 200 and shown.json()["text"] == text


def _keys(pair: ProxyPair) -> None:
    """A key made through A is good on B at once, and refused there at once when A revokes it."""
    with readers(pair, ADMIN) as (a, _):
        made = (
            a.http.post("/kv/v1/keys", json={"tenant": "alice", "scopes": ["read"]}).raise_for_status().json()
        )
        with reader(pair.b.url, made["key"]) as client:
            until(lambda: status(client.http, "/v1/models") == 200)
            a.http.delete(f"/kv/v1/keys/{made['id']}").raise_for_status()
            took = until(lambda: status(client.http, "/v1/models") == 401)
            assert took < 1.0, "told of, and not found by the next look after 2 s"


def _by_reference(id: str) -> dict[str, Any]:
    content = [{"type": "kv_document", "document": id}, {"type": "text", "text": "What may be copied?"}]
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], "max_tokens": 4}
