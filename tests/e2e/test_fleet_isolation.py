"""Two tenants before one fleet: what each can find out about the other, and what either is billed.

The replica is a fake one with a real block cache, so that `cached_tokens` is what a replica of vLLM would tell. Time
tells nothing that this number does not: a cached position is one that is not computed.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import KEYS
from tests.e2e.fake_fleet import BLOCK, FLEET, FakeFleet
from tests.e2e.reader import Reader, reader
from tests.e2e.served import Served
from tests.e2e.texts import document, in_system

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

STRICT = "strict-fleet"
QUESTION = (
    "Does clause seven hold for a subcontractor in Lyon that was hired before the merger of last spring? " * 3
)
"""Some blocks of words that nobody else sends by chance."""
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def replicas(smollm2: Path) -> Iterator[FakeFleet]:
    with FakeFleet(smollm2, "rack-one") as fleet:
        yield fleet


@pytest.fixture(scope="module")
def proxy(replicas: FakeFleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One proxy with the same replica twice: as a fleet that shares, and as one that does not."""
    fleets = [replicas.config(), {**replicas.config(), "name": STRICT, "isolation": "strict"}]
    keys = [{"name": f"tenant-{i}", "key": key} for i, key in enumerate(KEYS[:2])]
    config = {"fleets": fleets, "server": {"api_keys": keys}}
    with Served(tmp_path_factory.mktemp("isolation"), None, config) as served:
        yield served


@pytest.fixture
def tenants(proxy: Served) -> Iterator[tuple[Reader, Reader]]:
    with reader(proxy.url, KEYS[0]) as one, reader(proxy.url, KEYS[1]) as other:
        yield one, other


@pytest.fixture
def text() -> str:
    """A text that no other test sends."""
    number = next(_NUMBERS)
    return document(f"Terms {number}", 2_600, skip=97 * number)


def salts(replicas: FakeFleet, since: int) -> set[str]:
    return {request["salt"] for request in replicas.requests[since:]}


def shares(tokens: int) -> int:
    """Return the tokens of whole blocks."""
    return tokens - tokens % BLOCK


def named(id: str, question: str, behind: str = "\n\nAnswer from it.") -> list[dict[str, Any]]:
    system = [{"type": "kv_document", "document": id}, {"type": "text", "text": behind}]
    return [{"role": "system", "content": system}, {"role": "user", "content": question}]


def followed(asked: Reader, id: str) -> None:
    """Return once the second fleet knows a document: its library follows the registry."""
    deadline = time.monotonic() + 60
    while not asked.http.get(f"/kv/v1/documents/{id}").raise_for_status().json()["models"]:
        assert time.monotonic() < deadline, "the second fleet does not follow"
        time.sleep(0.02)


def framing_tokens(asked: Reader, id: str, model: str) -> int:
    """Return the tokens to the document's end, as the prompts of a model have them."""
    found = asked.http.get(f"/kv/v1/documents/{id}").raise_for_status().json()
    framings = next((m["framings"] for m in found["models"] if m["model"] == model), found["framings"])
    return int(framings[0]["tokens"])


@pytest.mark.parametrize("model", [FLEET, STRICT])
def test_a_prompt_without_a_document_is_its_tenants_alone(
    tenants: tuple[Reader, Reader], text: str, model: str
) -> None:
    one, other = tenants
    asked = in_system(text, QUESTION)
    assert one.ask(asked, model=model).cached == 0
    assert other.ask(asked, model=model).cached == 0, "nobody else's blocks are found"
    assert one.ask(asked, model=model).cached > len(text) // 10, "the test sees what is cached"


@pytest.mark.parametrize("model", [FLEET, STRICT])
def test_private_documents_of_one_text_never_share_a_salt(
    tenants: tuple[Reader, Reader], replicas: FakeFleet, text: str, model: str
) -> None:
    used = []
    for number, tenant in enumerate(tenants):
        before = len(replicas.requests)
        tenant.publish(f"own-{model}-{number}", text, "private")
        tenant.ask(in_system(text, "Why?"), model=model)
        used.append(salts(replicas, before))
    assert used[0] and used[1] and not used[0] & used[1]
    assert not any("tenant" in salt or KEYS[0] in salt for salt in used[0] | used[1])


def test_a_shared_fleet_tells_a_guesser_of_a_public_document_what_was_asked_behind_it(
    tenants: tuple[Reader, Reader], text: str
) -> None:
    """The leak that docs/fleet.md describes, and no more than that."""
    victim, guesser = tenants
    victim.publish("shared-terms", text, "public")
    own = shares(framing_tokens(victim, "shared-terms", FLEET))
    assert victim.ask(named("shared-terms", QUESTION), model=FLEET).cached == own
    right = guesser.ask(named("shared-terms", QUESTION), model=FLEET)
    assert right.cached > own, "a right guess is seen, block by block"
    wrong = guesser.ask(named("shared-terms", QUESTION.replace("clause", "point")), model=FLEET)
    assert own <= wrong.cached < right.cached, "a wrong one shows the words before the difference"


@pytest.mark.parametrize("place", ["the same message", "the question"])
def test_a_shared_fleet_tells_nobody_of_a_private_document_behind_a_public_one(
    tenants: tuple[Reader, Reader], replicas: FakeFleet, text: str, place: str
) -> None:
    victim, guesser = tenants
    number = next(_NUMBERS)
    public, private = f"front-{number}", document(f"Own figures {number}", 1_800, skip=61 * number)
    victim.publish(public, text, "public")
    victim.publish(f"own-{number}", private, "private")
    asked = (
        in_system(f"{text}\n\n{private}", "Which are they?")
        if place == "the same message"
        else named(public, f"{private}\n\nWhich are they?")
    )
    before = len(replicas.requests)
    for _ in range(2):
        last = victim.ask(asked, model=FLEET)
    assert last.cached > (len(text) + len(private)) // 10, "its own blocks are found"
    seen = len(replicas.requests)
    assert guesser.ask(asked, model=FLEET).cached <= shares(framing_tokens(guesser, public, FLEET))
    assert not salts(replicas, seen) & {request["salt"] for request in replicas.requests[before:seen]}


def test_a_strict_fleet_tells_nothing_of_another_reader(tenants: tuple[Reader, Reader], text: str) -> None:
    victim, guesser = tenants
    victim.publish("strict-terms", text, "public")
    followed(guesser, "strict-terms")
    for _ in range(2):
        victim.ask(named("strict-terms", QUESTION), model=STRICT)
    assert guesser.ask(named("strict-terms", QUESTION), model=STRICT).cached == 0
    again = guesser.ask(named("strict-terms", "Something else entirely?"), model=STRICT)
    assert again.cached >= shares(framing_tokens(guesser, "strict-terms", STRICT)), "its own blocks are found"


def test_a_requests_salt_separates_it_even_from_a_public_document(
    tenants: tuple[Reader, Reader], text: str
) -> None:
    one, other = tenants
    one.publish("salted-terms", text, "public")
    salted: dict[str, Any] = {"extra_body": {"cache_salt": "mine"}}
    assert one.ask(named("salted-terms", QUESTION), model=FLEET, **salted).cached == 0
    assert one.ask(named("salted-terms", QUESTION), model=FLEET, **salted).cached > 0
    assert other.ask(named("salted-terms", QUESTION), model=FLEET, **salted).cached == 0


def test_no_reader_is_told_a_replicas_name(tenants: tuple[Reader, Reader], text: str) -> None:
    one, _ = tenants
    one.publish("named-terms", text, "public")
    raw = one.http.post(
        "/v1/chat/completions", json={"model": FLEET, "messages": named("named-terms", "Why?")}
    )
    shown = one.http.get("/kv/v1/documents/named-terms").json()
    requests = one.http.get("/kv/v1/requests").json()
    again = {"model": FLEET, "messages": named("named-terms", "Why?", "\n\nBe brief.")}
    explained = one.http.post("/kv/v1/explain", json=again)
    for told in (str(raw.headers), raw.text, str(shown), str(requests), explained.text):
        assert "rack-one" not in told and "127.0.0.1" not in told
    # Other tests have published the same text under other names: its blocks may lie on more replicas.
    held = shown["framings"][0]["replicas"][0]
    assert (held["replica"], held["tokens"]) == (None, shares(shown["framings"][0]["tokens"]))
    assert requests["data"][-1]["cause"] == "rounded-to-block"
    replica, tokens = explained.json()["replica"], shown["framings"][0]["tokens"]
    # The block that the document ends in is held too where both texts behind it begin with the same words.
    assert replica["expected_tokens"] >= shares(tokens)
    assert replica["rounded_tokens"] == max(0, tokens - replica["expected_tokens"])


@pytest.mark.parametrize(
    ("fault", "tells"),
    [
        ({"cached_off_by": 10**6}, "all"),
        ({"cached_off_by": -(10**6)}, "nothing"),
        ({"cached_null": True}, "nothing"),
        ({}, "blocks"),
    ],
    ids=["more than the prompt", "less than nothing", "no report", "the truth"],
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_ledger_has_what_the_replica_reported_within_what_was_sent(
    tenants: tuple[Reader, Reader],
    replicas: FakeFleet,
    text: str,
    fault: dict[str, Any],
    tells: str,
    stream: bool,
) -> None:
    reading, publisher = tenants
    id = f"billed-{next(_NUMBERS)}"
    publisher.publish(id, text, "public")
    end = framing_tokens(publisher, id, FLEET)
    replicas.set(**fault)
    try:
        answer = reading.ask(named(id, "Why?"), model=FLEET, stream=stream)
    finally:
        replicas.set(cached_off_by=None, cached_null=False)
    row = newest_usage(reading.http)
    cached = {"all": answer.usage.prompt_tokens, "nothing": 0, "blocks": shares(end)}[tells]
    assert (row["cached_tokens"], answer.cached) == (cached, cached)
    assert (row["prompt_tokens"], row["completion_tokens"]) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
    )
    if not stream:
        assert (answer.outcome == "hit") == (cached > 0), "the header tells what was reported"


def newest_usage(http: httpx.Client) -> dict[str, Any]:
    rows: list[dict[str, Any]] = http.get("/kv/v1/usage").raise_for_status().json()["data"]
    return max(rows, key=lambda row: row["seq"])
