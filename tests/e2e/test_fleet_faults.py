"""A proxy before fake replicas that evict, lose events, restart, lie, stall and refuse; what its clients then see."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.backends.mock_upstream import MockUpstream
from tests.e2e.fake_fleet import BLOCK, FLEET, FakeFleet, FakeReplicaProcess
from tests.e2e.served import Served
from tests.e2e.texts import document, in_system

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

NO_FAULTS: dict[str, Any] = {
    "drop_every": None,
    "cached_off_by": None,
    "cached_null": False,
    "stall_first_s": None,
    "stall_after_tokens": None,
    "reset_after_tokens": None,
    "reset_before_headers": False,
    "error_after_tokens": None,
    "fail_status": None,
    "retry_after_s": None,
    "fail_requests": None,
}
BACKED = "backed-fleet"
_numbers = count(1)


class Asked:
    """One proxy with its fleet, and a fresh document for each test."""

    def __init__(self, fleet: FakeFleet, proxy: Served) -> None:
        self.fleet, self.proxy = fleet, proxy
        self.text = document(f"faults {next(_numbers)}", 3000)
        self.id = f"doc-{next(_numbers)}"
        self.http = httpx.Client(base_url=proxy.url, timeout=120, trust_env=False)

    def publish(self) -> FakeReplicaProcess:
        """Publish the document; return the replica that holds it."""
        answer = self.http.post("/kv/v1/documents", json={"id": self.id, "text": self.text})
        assert answer.status_code == 201, answer.text
        (name,) = self.eventually(lambda held: len(held) == 1)
        return self.fleet[name]

    def other(self, holder: FakeReplicaProcess) -> FakeReplicaProcess:
        (found,) = [one for one in self.fleet.replicas.values() if one is not holder]
        return found

    def body(self, question: str = "Why?", **fields: Any) -> dict[str, Any]:
        return {"model": FLEET, "messages": in_system(self.text, question), "max_tokens": 8, **fields}

    def ask(self, question: str = "Why?", **fields: Any) -> httpx.Response:
        return self.http.post("/v1/chat/completions", json=self.body(question, **fields))

    def cached(self, question: str = "Why?") -> int:
        answer = self.ask(question)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"])

    def explain(self) -> dict[str, Any]:
        told: dict[str, Any] = self.http.post("/kv/v1/explain", json=self.body()).raise_for_status().json()
        return told

    def held(self) -> dict[str, int]:
        """Tokens of the document that each replica is believed to hold."""
        return {one["replica"]: one["tokens"] for one in self.replicas()}

    def replicas(self) -> list[dict[str, Any]]:
        shown = self.http.get(f"/kv/v1/documents/{self.id}").raise_for_status().json()
        (framing,) = shown["framings"]
        found: list[dict[str, Any]] = framing["replicas"]
        return found

    @property
    def tokens(self) -> int:
        """Tokens of the document, in whole blocks."""
        shown = self.http.get(f"/kv/v1/documents/{self.id}").raise_for_status().json()
        return int(shown["framings"][0]["tokens"]) // BLOCK * BLOCK

    def all_up(self) -> None:
        """Ask new questions until every replica was asked one: the proxy has taken all of them back."""
        before = {name: len(one.requests) for name, one in self.fleet.replicas.items()}
        deadline = time.monotonic() + 120
        while any(len(self.fleet[name].requests) == asked for name, asked in before.items()):
            prompt = f"Anything new, number {next(_numbers)}?"
            self.http.post("/v1/completions", json={"model": FLEET, "prompt": prompt, "max_tokens": 1})
            assert time.monotonic() < deadline, f"not all replicas were taken back:\n{self.proxy.log}"

    def eventually(self, right: Callable[[dict[str, int]], bool]) -> dict[str, int]:
        """Events come a moment later; wait until the proxy's belief is ``right``, and return it."""
        deadline = time.monotonic() + 60
        while not right(held := self.held()):
            assert time.monotonic() < deadline, f"the proxy believes {held}"
            time.sleep(0.05)
        return held


@pytest.fixture(scope="module")
def both(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FakeFleet, Served]]:
    """Two replicas, and one proxy with one fleet: another one's publications would be among the counted requests."""
    # A token is sent before the next one is there, so that a fault between them is behind the first byte.
    with FakeFleet(smollm2, "one", "two", arguments=("--decode-s", "0.02")) as fleet:
        config = {"fleets": [fleet.config(timeout_s=20)]}
        with Served(tmp_path_factory.mktemp("fleet"), None, config) as proxy:
            yield fleet, proxy


@pytest.fixture
def backed(both: tuple[FakeFleet, Served], upstream: MockUpstream, tmp_path: Path) -> Iterator[httpx.Client]:
    """A second proxy before the same replicas, with an upstream to fall back on."""
    far = {"model": "openai/up-1", "api_base": upstream.url, "api_key": "sk-upstream"}
    config = {
        "fleets": [{**both[0].config(timeout_s=20), "name": BACKED}],
        "upstreams": [{"name": "far", "params": far}],
        "fallbacks": {BACKED: ["far"]},
    }
    with (
        Served(tmp_path, None, config) as proxy,
        httpx.Client(base_url=proxy.url, timeout=120, trust_env=False) as http,
    ):
        yield http


@pytest.fixture
def asked(both: tuple[FakeFleet, Served]) -> Iterator[Asked]:
    fleet, proxy = both
    asked = Asked(fleet, proxy)
    yield asked
    fleet.start_again()
    fleet.set(**NO_FAULTS)
    asked.all_up()
    asked.http.close()


def test_a_published_document_is_a_hit_where_it_was_prefilled(asked: Asked) -> None:
    holder = asked.publish()
    (shown,) = asked.replicas()
    assert (shown["replica"], shown["tokens"], shown["tier"]) == (holder.name, asked.tokens, "device")
    assert abs(shown["since"] - time.time()) < 120
    before = len(holder.requests)
    answer = asked.ask()
    usage = answer.json()["usage"]
    assert answer.headers["cache-status"].startswith(f'kvproxy; hit; key="{asked.id}@1"')
    assert usage["prompt_tokens_details"]["cached_tokens"] == asked.tokens
    (sent,) = holder.requests[before:]
    assert usage["prompt_tokens"] == len(sent["prompt"])
    assert (sent["stream"], sent["max_tokens"]) == (True, 8)
    assert sent["salt"] and sent["session"]


def test_an_eviction_is_explained(asked: Asked) -> None:
    holder = asked.publish()
    assert holder.set(evict=True)["evicted"] > 0
    asked.eventually(lambda held: not held)
    told = asked.explain()
    assert (told["outcome"], told["cause"], told["replica"]["name"]) == ("miss", "evicted", holder.name)
    assert "evicted at 20" in told["replica"]["detail"]
    answer = asked.ask()
    assert "cause=evicted" in answer.headers["cache-status"]
    assert answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert asked.cached() >= asked.tokens


def test_what_is_read_is_prefilled_again_after_an_eviction(asked: Asked) -> None:
    holder = asked.publish()
    for question in ("One?", "Two?", "Three?"):
        asked.ask(question)
    before = len(asked.fleet.requests)
    holder.set(evict=True)
    # Until the events of the eviction are here the proxy believes what was before it.
    asked.eventually(
        lambda held: len(asked.fleet.requests) > before and max(held.values(), default=0) == asked.tokens
    )
    assert asked.cached("Four?") >= asked.tokens


def test_lost_events_are_asked_for_again(asked: Asked) -> None:
    asked.fleet.set(drop_every=2)
    for _ in range(4):
        one = Asked(asked.fleet, asked.proxy)
        holder = one.publish()
        assert one.held() == {holder.name: one.tokens}
        holder.set(evict=True)
        one.ask("A step of the scheduler, so that the next number shows the gap?")
        one.http.close()
    held = asked.publish()
    held.set(evict=True)
    for question in ("One?", "Two?"):
        asked.http.post("/v1/completions", json={"model": FLEET, "prompt": f"{question}", "max_tokens": 40})
    told = {name: set(replica.state["blocks"]) for name, replica in asked.fleet.replicas.items()}
    assert set(asked.held()) <= {name for name, blocks in told.items() if blocks}


def test_a_restarted_replica_holds_nothing(asked: Asked) -> None:
    holder = asked.publish()
    fingerprint = holder.state["fingerprint"]
    holder.set(restart=True)
    deadline = time.monotonic() + 60
    while restarted(holder) == fingerprint:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # Nothing is believed once an answer has shown the new fingerprint, whoever asked.
    answer = asked.ask()
    assert answer.status_code == 200
    assert answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    asked.eventually(lambda held: max(held.values(), default=0) == asked.tokens)
    assert asked.cached() >= asked.tokens


def restarted(replica: FakeReplicaProcess) -> str | None:
    try:
        return str(replica.state["fingerprint"])
    except httpx.HTTPError:
        return None


def test_a_killed_process_is_left_and_taken_back(asked: Asked) -> None:
    holder = asked.publish()
    holder.kill()
    assert asked.ask("One?").status_code == 200
    assert asked.cached("Two?") >= asked.tokens
    holder.start()
    asked.all_up()


def test_a_replica_that_holds_less_than_it_said_is_overruled(asked: Asked) -> None:
    holder = asked.publish()
    holder.set(cached_off_by=-(10**6))
    assert asked.cached("One?") == 0, "an answer's own count is what counts"
    holder.set(cached_off_by=None)


def test_no_more_is_charged_as_cached_than_the_document_has(asked: Asked) -> None:
    holder = asked.publish()
    holder.set(cached_off_by=10**6)
    usage = asked.ask("One?").json()["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] <= usage["prompt_tokens"]


def test_a_replica_that_counts_nothing_is_believed_nothing(asked: Asked) -> None:
    asked.publish()
    asked.fleet.set(cached_null=True)
    assert asked.cached("One?") == 0


def test_a_draining_replica_is_left_until_it_is_back(asked: Asked) -> None:
    holder = asked.publish()
    holder.set(fail_status=503, retry_after_s=2)
    before = len(holder.requests)
    for question in ("One?", "Two?", "Three?"):
        assert asked.ask(question).status_code == 200
    assert len(holder.requests) - before == 1, "it was asked again while it drains"
    holder.set(**NO_FAULTS)
    asked.all_up()


@pytest.mark.parametrize(
    "fault", [{"reset_before_headers": True}, {"reset_after_tokens": 0}, {"fail_status": 500}]
)
def test_a_failure_before_the_first_token_is_no_failure(asked: Asked, fault: dict[str, Any]) -> None:
    holder = asked.publish()
    before = len(asked.other(holder).requests)
    holder.set(**fault)
    answer = asked.ask("One?", stream=True)
    assert answer.status_code == 200
    assert "[DONE]" in answer.text and "error" not in answer.text
    assert len(asked.other(holder).requests) > before


@pytest.mark.parametrize("fault", [{"reset_after_tokens": 3}, {"error_after_tokens": 3}])
def test_a_failure_behind_the_first_token_is_an_error_event(asked: Asked, fault: dict[str, Any]) -> None:
    holder = asked.publish()
    before = len(asked.other(holder).requests)
    holder.set(**fault)
    answer = asked.ask("One?", stream=True)
    assert answer.status_code == 200
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    assert "error" in events[-1], events[-1]
    assert not any(one.get("usage") for one in events)
    assert len(asked.other(holder).requests) == before, "an answer that has begun is not begun elsewhere"


def test_a_whole_answer_that_breaks_off_is_an_error(asked: Asked) -> None:
    holder = asked.publish()
    holder.set(reset_after_tokens=3)
    answer = asked.ask("One?")
    assert answer.status_code in (200, 502), answer.text
    if answer.status_code == 200:
        assert answer.json()["choices"][0]["finish_reason"] == "length"


def test_all_replicas_down_is_a_503_that_says_when_to_come_again(asked: Asked, backed: httpx.Client) -> None:
    asked.publish()
    for replica in asked.fleet.replicas.values():
        replica.kill()
    answers = [asked.ask(f"Number {number}?") for number in range(4)]
    for answer in answers:
        assert answer.status_code in (502, 503), answer.text
    assert answers[-1].status_code == 503
    assert int(answers[-1].headers["retry-after"]) > 0
    fallen_back = backed.post("/v1/chat/completions", json=asked.body("And elsewhere?", model=BACKED))
    assert (fallen_back.status_code, fallen_back.headers["cache-status"].split(";")[0]) == (200, "kvproxy")
    assert fallen_back.json()["choices"][0]["message"]["content"]
    assert asked.http.get("/health/ready").status_code == 503
    for replica in asked.fleet.replicas.values():
        replica.start()
    asked.all_up()
    assert asked.ask("Again?").status_code == 200
