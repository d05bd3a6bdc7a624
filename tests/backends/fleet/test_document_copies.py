"""Copies of published prefixes on fake replicas: made, confirmed, spread, warmed again, pinned."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kvproxy.backends.fleet.document_copies import DocumentCopies
from kvproxy.backends.fleet.fleet_replicas import FleetReplicas
from kvproxy.backends.fleet.fleet_residency import FleetResidency
from kvproxy.backends.fleet.published_prefixes import KeptPrefix
from kvproxy.core import PUBLIC
from kvproxy.documents.registry.registry_entry import KeptFraming
from kvproxy.errors import ContextTooLong, KVProxyError
from kvproxy.fake_replica.replica_options import ReplicaOptions
from kvproxy.publishing.holdings import DocumentHolding, Holdings
from kvproxy.publishing.published_pages import PublishedPages
from kvproxy.routing.copies_wanted import CopyPolicy
from tests.backends.fleet.conftest import ModelTexts, OpenRig, opened_fleet
from tests.backends.fleet.fleet_requests import ALICE, a_generation, answer_of, document_prompt
from tests.server.doubles import eventually

DOCUMENT = tuple(range(100, 300))
PROMPT = document_prompt(DOCUMENT, (1, 2, 3))
SLOW = 1e-9
"""Reads a minute for one more copy: any read makes one."""


async def test_a_document_is_prefilled_once_and_found_again(rig: OpenRig) -> None:
    async with rig(3) as fleet:
        first = await fleet.backend.keep(DOCUMENT, PUBLIC)
        again = await fleet.backend.keep(DOCUMENT, PUBLIC)
        assert (first.computed, again.computed, again.prefill_s) == (200, 0, 0.0)
        seen = [one for replica in fleet.replicas.values() for one in replica.requests]
        assert [one.max_tokens for one in seen] == [1]
        assert len(seen[0].session or "") > 20


async def test_a_publications_prefill_is_told_without_its_wait_and_its_confirmation(rig: OpenRig) -> None:
    async with rig(1, events="off") as fleet:
        fleet["a"].faults.stall_first_s = 0.2
        began = time.perf_counter()
        made = await fleet.backend.keep(DOCUMENT, PUBLIC)
        assert 0.2 <= made.prefill_s <= time.perf_counter() - began - 0.2, "without the second read"
        fleet.backend._replicas.sent("a", 10_000_000)
        assert (await fleet.backend.keep(tuple(range(500, 700)), PUBLIC)).prefill_s == 0.0


async def test_as_many_copies_are_made_as_the_settings_have(rig: OpenRig) -> None:
    async with rig(3, copies={"least": 2, "most": 3}) as fleet:
        kept = await fleet.backend.keep(DOCUMENT, PUBLIC)
        assert len(fleet.backend.replicas_of(kept, ALICE)) == 2


async def test_a_publication_goes_where_its_readers_will_look(rig: OpenRig) -> None:
    async with rig(5, events="off") as fleet:
        kept = await fleet.backend.keep(DOCUMENT, PUBLIC)
        (holder,) = fleet.backend.replicas_of(kept, ALICE)
        fleet.backend._residency.lost(holder.replica)  # as in another proxy, which has no events either
        with fleet.backend.hold(PROMPT, ALICE) as lookup:
            assert lookup.choice is not None and lookup.choice.replica == holder.replica


async def test_a_replica_without_events_is_asked_a_second_time(rig: OpenRig) -> None:
    async with rig(1, events="off") as fleet:
        await fleet.backend.keep(DOCUMENT, PUBLIC)
        assert [one.max_tokens for one in fleet["a"].requests] == [1, 1]


async def test_what_is_not_confirmed_is_said(rig: OpenRig, caplog: pytest.LogCaptureFixture) -> None:
    async with rig(1, events="off") as fleet:
        fleet["a"].faults.cached_off_by = -10_000
        await fleet.backend.keep(DOCUMENT, PUBLIC)
    assert "did not confirm" in caplog.text


async def test_a_document_that_is_read_often_gets_more_copies(rig: OpenRig) -> None:
    async with rig(3, copies={"least": 1, "most": 3, "reads_per_minute": SLOW}) as fleet:
        kept = await fleet.backend.keep(DOCUMENT, PUBLIC)
        assert len(fleet.backend.replicas_of(kept, ALICE)) == 1
        await answer_of(fleet.backend, a_generation(PROMPT))
        await eventually(lambda: len(fleet.backend.replicas_of(kept, ALICE)) == 3)
        assert fleet.backend.figures().warmed == 2


async def test_an_evicted_document_that_is_read_is_warmed_again(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        kept = await fleet.backend.keep(DOCUMENT, PUBLIC)
        await answer_of(fleet.backend, a_generation(PROMPT))
        await fleet["a"].evict()
        await eventually(lambda: fleet.backend.figures().warmed == 1)
        await eventually(lambda: fleet.backend.resident(kept, ALICE) == 192)


async def test_what_nobody_reads_is_left_cold_unless_it_is_pinned(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        kept = await fleet.backend.keep(DOCUMENT, PUBLIC)
        await fleet["a"].evict()
        await eventually(lambda: fleet.backend.resident(kept, ALICE) == 0)
        await fleet.backend._copies.look()
        assert len(fleet["a"].requests) == 1
        release = await fleet.backend.pin(kept, PUBLIC)
        await fleet["a"].evict()
        await eventually(lambda: fleet.backend.figures().warmed >= 1)
        await release()
        assert not fleet.backend._copies.prefixes.pinned(fleet.backend._prefix(DOCUMENT, PUBLIC).key)


async def test_nothing_is_warmed_where_requests_wait(rig: OpenRig) -> None:
    async with rig(1, ReplicaOptions(blocks=64)) as fleet:
        kept = await fleet.backend.keep(DOCUMENT, PUBLIC)
        await answer_of(fleet.backend, a_generation(PROMPT))
        fleet.backend._replicas.sent("a", 1000)
        await fleet["a"].evict()
        await eventually(lambda: fleet.backend.resident(kept, ALICE) == 0)
        await fleet.backend._copies.look()
        assert fleet.backend.figures().warmed == 0
        fleet.backend._replicas.loads.withdrawn("a", 1000)
        await eventually(lambda: fleet.backend.figures().warmed == 1)


async def test_a_look_at_long_documents_hashes_few_of_them_and_on_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    residency, threads = FleetResidency(), list[str]()
    hashed = residency.warm_memo

    def warm_memo(token_ids: Sequence[int], salt: str) -> None:
        threads.append(threading.current_thread().name)
        hashed(token_ids, salt)

    monkeypatch.setattr(residency, "warm_memo", warm_memo)
    copies = DocumentCopies(FleetReplicas(), residency, lambda key: key, CopyPolicy(), timeout_s=1)
    for at in range(10):
        prefix = KeptPrefix(tuple(range(at, 100_000 + at)), "salt", f"key-{at}")
        copies.prefixes.put(prefix)
        copies.prefixes.pin(prefix.key)
    await copies.look()
    assert len(threads) == 3 and "MainThread" not in threads
    assert [prefix.key for prefix in copies.prefixes.next_wanted(1)] == ["key-3"]


async def test_a_forgotten_document_is_warmed_no_more(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        kept = await fleet.backend.keep(DOCUMENT, PUBLIC)
        await answer_of(fleet.backend, a_generation(PROMPT))
        await fleet.backend.forget(kept, PUBLIC, frozenset())
        await fleet["a"].evict()
        await fleet.backend._copies.look()
        assert fleet.backend.figures().warmed == 0 and fleet.backend.figures().warm_queue == 0


async def test_a_restart_of_the_proxy_computes_nothing(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        kept = await fleet.backend.keep(DOCUMENT, PUBLIC)
        fleet.backend._copies.prefixes.drop(fleet.backend._prefix(DOCUMENT, PUBLIC).key)
        assert await fleet.backend.known(kept, PUBLIC) == 200
        assert len(fleet["a"].requests) == 1
        await answer_of(fleet.backend, a_generation(PROMPT))
        assert fleet.backend.figures().warm_queue == 1


async def test_evictions_of_documents_of_an_earlier_process_are_known(
    rig: OpenRig, texts: ModelTexts
) -> None:
    async with rig(1) as fleet:
        kept = await fleet.backend.keep(DOCUMENT, PUBLIC)
        async with opened_fleet(texts, fleet.replicas) as second:
            await second.known(kept, PUBLIC)
            await answer_of(second, a_generation(PROMPT))
            await second._copies.look()
            second._replicas.sent("a", 1000)  # so that it is not warmed again
            await fleet["a"].evict()
            await eventually(lambda: second.resident(kept, ALICE) == 0)
            with second.hold(PROMPT, ALICE) as lookup:
                assert lookup.choice is not None and lookup.choice.cause == "evicted"


async def test_another_replica_is_asked_where_one_fails(rig: OpenRig) -> None:
    async with rig(2, copies={"least": 2, "most": 2}) as fleet:
        fleet["a"].faults.fail_status = 500
        kept = await fleet.backend.keep(DOCUMENT, PUBLIC)
        assert [one.replica for one in fleet.backend.replicas_of(kept, ALICE)] == ["b"]
        fleet["b"].faults.fail_status = 500
        with pytest.raises(KVProxyError):
            await fleet.backend.keep(tuple(range(64)), PUBLIC)


async def test_more_than_the_context_is_refused(rig: OpenRig) -> None:
    async with rig(1, ReplicaOptions(max_model_len=128)) as fleet:
        with pytest.raises(ContextTooLong):
            await fleet.backend.keep(DOCUMENT, PUBLIC)


@asynccontextmanager
async def coordinator(status: int, seen: list[tuple[str, str, dict[str, object]]]) -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.Response:
        seen.append((request.method, request.path, await request.json()))
        return web.json_response({}, status=status)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("status", [200, 500])
async def test_lmcaches_coordinator_is_told_of_pins_and_may_fail(rig: OpenRig, status: int) -> None:
    seen: list[tuple[str, str, dict[str, object]]] = []
    async with coordinator(status, seen) as url, rig(1, lmcache=url) as fleet:
        kept = await fleet.backend.keep(DOCUMENT, PUBLIC)
        release = await fleet.backend.pin(kept, PUBLIC)
        await release()
        assert [(method, path) for method, path, _ in seen] == [
            ("POST", "/cache/pins"),
            ("DELETE", "/cache/pins"),
        ]
        body = seen[0][2]
        assert body["token_ids"] == list(DOCUMENT)
        assert body["cache_salt"] == fleet["a"].requests[0].salt


async def test_lmcaches_coordinator_has_one_pin_of_this_process(rig: OpenRig) -> None:
    """It counts pins: one that is not taken back stays for ever."""
    seen: list[tuple[str, str, dict[str, object]]] = []
    async with coordinator(200, seen) as url, rig(1, lmcache=url) as fleet:
        kept = await fleet.backend.keep(DOCUMENT, PUBLIC)
        first = await fleet.backend.pin(kept, PUBLIC)
        second = await fleet.backend.pin(
            kept, PUBLIC
        )  # as one that is pinned anew, before the old pin is released
        await first()
        assert [method for method, *_ in seen] == ["POST"]
        await second()
        assert [method for method, *_ in seen] == ["POST", "DELETE"]
        third = await fleet.backend.pin(kept, PUBLIC)
        await fleet.backend.forget(kept, PUBLIC, frozenset())
        await third()
        assert [method for method, *_ in seen] == ["POST", "DELETE"] * 2


async def test_a_pin_that_is_cancelled_is_none(rig: OpenRig) -> None:
    arrived = asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        arrived.set()
        await asyncio.sleep(0.05 if request.method == "DELETE" else 60)
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    async with TestServer(app) as server, rig(1, lmcache=str(server.make_url(""))) as fleet:
        kept = await fleet.backend.keep(DOCUMENT, PUBLIC)
        pinning = asyncio.create_task(fleet.backend.pin(kept, PUBLIC))
        await arrived.wait()
        pinning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pinning
        prefixes = fleet.backend._copies.prefixes
        assert not prefixes.pinned(fleet.backend._prefix(DOCUMENT, PUBLIC).key)


async def test_of_a_publication_that_fails_nothing_is_left(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        fleet["a"].faults.fail_status = 500
        with pytest.raises(KVProxyError):
            await fleet.backend.keep(DOCUMENT, PUBLIC)
        assert len(fleet.backend._copies.prefixes) == 0


async def test_a_document_that_is_deleted_is_forgotten(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        kept = await fleet.backend.keep(DOCUMENT, PUBLIC)
        pages = PublishedPages(fleet.backend, Holdings())
        await pages.drop([DocumentHolding(PUBLIC, (KeptFraming("system", kept),), ALICE.scope)])
        assert len(fleet.backend._copies.prefixes) == 0


async def test_a_coordinator_that_is_away_fails_nothing(rig: OpenRig) -> None:
    async with rig(1, lmcache="http://127.0.0.1:9") as fleet:
        kept = await fleet.backend.keep(DOCUMENT, PUBLIC)
        await (await fleet.backend.pin(kept, PUBLIC))()
