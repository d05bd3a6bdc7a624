"""A request that asks for a prefill from scratch gets a hit's answer as a miss, in every dialect and from a fleet."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.conftest import KEYS, Fresh
from tests.e2e.fake_fleet import FLEET, FakeFleet
from tests.e2e.reader import MODEL, Reader, reader
from tests.e2e.served import Served
from tests.e2e.test_granted import named, tenant
from tests.e2e.test_hit import CHARACTERS, said
from tests.e2e.texts import document, in_system

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

QUESTION = "What may be copied?"
HEADER = {"x-kvproxy-reuse": "none"}


def test_a_cold_answer_is_the_hits_and_leaves_the_kept_pages_alone(fresh: Fresh, publisher: Reader) -> None:
    text, asker = document("cold answer", CHARACTERS), fresh()
    publisher.publish("cold-answer", text)
    question = in_system(text, QUESTION)
    for stream in (False, True):
        cold = asker.ask(question, extra_body={"kv_reuse": "none"}, stream=stream)
        assert (cold.outcome, cold.key, cold.detail) == ("fwd=miss", "cold-answer@1", "asked-cold")
        assert cold.cached == 0, "the question was not kept by the one before either"
    warm = asker.ask(question)
    assert (warm.outcome, said(warm)) == ("hit", said(cold))
    kept = {f["name"]: f["tokens"] for f in asker.http.get("/kv/v1/documents/cold-answer").json()["framings"]}
    assert warm.cached == kept["system"], "the cold ones left no page of their own behind"


def test_every_dialect_has_the_field_and_the_header(fresh: Fresh, publisher: Reader) -> None:
    text, http = document("cold dialects", CHARACTERS), fresh().http
    publisher.publish("cold-dialects", text)
    turns = in_system(text, QUESTION)
    bodies: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": {"max_tokens": 4, "messages": turns},
        "/v1/completions": {"max_tokens": 4, "prompt": text},
        "/v1/responses": {"max_output_tokens": 4, "input": turns, "store": False},
        "/v1/messages": {"max_tokens": 4, "system": turns[0]["content"], "messages": turns[1:]},
    }
    for path, fields in bodies.items():
        body = {"model": MODEL, "temperature": 0, **fields}
        http.post(path, json=body).raise_for_status()
        for field, headers in (({"kv_reuse": "none"}, {}), ({}, HEADER)):
            cold = http.post(path, json={**body, **field}, headers=headers).raise_for_status()
            assert "fwd=miss" in cold.headers["cache-status"] and "asked-cold" in cold.headers["cache-status"]
        kept = http.post(path, json={**body, "kv_reuse": "any"}, headers=HEADER).raise_for_status()
        assert kept.headers["cache-status"].startswith("kvproxy; hit"), "the body's word counts"
        refused = http.post(path, json={**body, "kv_reuse": "some"})
        assert refused.status_code == 400 and "kv_reuse" in refused.text
    warming = {"model": MODEL, **bodies["/v1/messages"], "max_tokens": 0, "kv_reuse": "none"}
    assert http.post("/v1/messages", json=warming).status_code == 400, "it would keep nothing"
    found = http.post("/kv/v1/explain", json={"model": MODEL, "messages": turns, "kv_reuse": "none"}).json()
    assert found["reason"] == found["cause"] == "asked-cold"
    assert '"asked-cold"' in http.get("/metrics").text


def test_a_grants_reader_does_not_get_around_its_publishers_price(fresh: Fresh) -> None:
    publisher, asker = fresh(), fresh()
    priced = {"kind": "fixed", "per_1000": "0.02", "text_readers": "full_price"}
    body = {
        "id": "cold-grant",
        "text": document("cold grant", CHARACTERS),
        "visibility": "granted",
        "price": priced,
    }
    publisher.http.post("/kv/v1/documents", json=body).raise_for_status()
    grant = {"document": "cold-grant", "reader": "tenant", "id": tenant(asker)}
    publisher.http.post("/kv/v1/grants", json=grant).raise_for_status()
    asked = {"model": MODEL, "max_tokens": 4, "messages": named("cold-grant"), "kv_reuse": "none"}
    refused = asker.http.post("/v1/chat/completions", json=asked)
    assert (refused.status_code, refused.json()["error"]["param"]) == (403, "kv_reuse")
    own = publisher.http.post("/v1/chat/completions", json=asked)
    assert own.status_code == 200 and "asked-cold" in own.headers["cache-status"]


def test_a_fleets_cold_request_finds_no_block(smollm2: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    text = document("cold fleet", 2_600)
    with FakeFleet(smollm2, "cold-one") as fleet:
        config = {
            "fleets": [fleet.config()],
            "server": {"api_keys": [{"name": "tenant-0", "key": KEYS[0]}]},
        }
        with (
            Served(tmp_path_factory.mktemp("cold-fleet"), None, config) as served,
            reader(served.url, KEYS[0]) as asker,
        ):
            asker.publish("cold-fleet", text, "public")
            question = in_system(text, QUESTION)
            for _ in range(2):
                cold = asker.ask(question, model=FLEET, extra_body={"kv_reuse": "none"})
                assert (cold.outcome, cold.cached, cold.detail) == ("fwd=miss", 0, "asked-cold")
            warm = asker.ask(question, model=FLEET)
            assert warm.outcome == "hit" and warm.cached > 256
            salts = [request["salt"] for request in fleet.requests[-3:]]
            assert len(set(salts)) == 3, "each cold request has a salt of its own"
