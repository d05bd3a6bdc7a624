from __future__ import annotations

import logging

import pytest

from kvproxy.backends.fleet import open_fleet
from kvproxy.backends.fleet.replica_failure import ReplicaFailed
from kvproxy.backends.fleet.replica_probes import ReplicaProbes
from kvproxy.fake_replica.fake_replica import FakeReplica
from kvproxy.fake_replica.replica_text import ModelText
from tests.backends.fleet.conftest import ModelTexts, OpenRig, opened_fleet
from tests.backends.fleet.fleet_requests import ALICE, a_generation, answer_of, document_prompt
from tests.server.doubles import eventually

PROMPT = document_prompt(tuple(range(100, 300)), (1, 2, 3))


@pytest.mark.parametrize(
    ("isolation", "words"), [("shared", "can tell one tenant"), ("strict", "once for itself")]
)
async def test_a_start_says_what_its_isolation_means(
    rig: OpenRig, caplog: pytest.LogCaptureFixture, isolation: str, words: str
) -> None:
    with caplog.at_level(logging.INFO):
        async with rig(1, isolation=isolation):
            pass
    assert words in caplog.text and "1 of 1 replicas are up" in caplog.text


async def test_two_proxies_before_one_fleet_agree_without_a_word(texts: ModelTexts) -> None:
    """They have the host's secret in common; each reads the replicas' events."""
    replicas = {
        name: FakeReplica(text=ModelText(texts.tokenizer, texts.template, texts.folder)) for name in "abc"
    }
    async with replicas["a"], replicas["b"], replicas["c"]:
        async with opened_fleet(texts, replicas) as first, opened_fleet(texts, replicas) as second:
            assert first.fingerprint == second.fingerprint == second.info.fingerprint
            await answer_of(first, a_generation(PROMPT))
            with first.hold(PROMPT, ALICE) as one, second.hold(PROMPT, ALICE) as other:
                assert one.choice is not None and other.choice is not None
                assert one.choice.replica == other.choice.replica
            found = await answer_of(second, a_generation(PROMPT))
            assert found.cached == 192


async def test_a_router_is_not_asked_for_its_tokens(texts: ModelTexts) -> None:
    async with FakeReplica() as router:  # of bytes: its tokens are nobody's
        async with opened_fleet(texts, {"router": router}, router=True) as backend:
            assert backend.ready() is None
            await answer_of(backend, a_generation(PROMPT))
            assert router.requests[0].session


async def test_the_folder_tells_the_context_until_a_replica_does(rig: OpenRig, texts: ModelTexts) -> None:
    async with rig(1) as fleet:
        await fleet["a"].refuse()
        async with opened_fleet(texts, fleet.replicas) as backend:
            assert backend.info.max_context == 8192


async def test_work_beside_requests_that_fails_is_begun_again(
    rig: OpenRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(open_fleet, "AGAIN_S", 0.0)
    steps = ReplicaProbes.step
    failures = iter([RuntimeError("a fault of our own")])

    def step(probes: ReplicaProbes) -> None:
        for failure in failures:
            raise failure
        steps(probes)

    monkeypatch.setattr(ReplicaProbes, "step", step)
    async with rig(1) as fleet:
        await eventually(lambda: "is begun again" in caplog.text)  # at once, and not when the fleet is closed
        fleet.backend._replicas.failed(ReplicaFailed("a", "broke-off", "reset"))
        await eventually(lambda: bool(fleet.backend._replicas.usable()))
