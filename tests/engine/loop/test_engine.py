"""The engine's thread: who waits for whom, who pays for what, and what is left when somebody goes."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from kvproxy.core import PAGE_TOKENS, MissReason, Sampling, stored_key
from kvproxy.engine.decode.detokenizer import Vocabulary
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.engine.loop.sequence import Phase
from kvproxy.errors import (
    CannotFit,
    ContextTooLong,
    HitLost,
    KVProxyError,
    Overloaded,
    ShuttingDown,
    StorageFull,
    Unavailable,
)
from kvproxy.events import Finished, Started, TextDelta
from kvproxy.store.disk import page_name
from kvproxy.store.page_file import Buffer
from kvproxy.store.page_results import Loaded, Missing, Rejected
from kvproxy.store.page_store import PageStore
from tests.engine.conftest import RigMaker
from tests.engine.stepped import SteppedModel
from tests.engine.tiny import VOCAB, Rig, make_model, prompt


@pytest.fixture
def stepped() -> SteppedModel:
    return SteppedModel()


@dataclass
class Disk:
    """A page store in memory whose reads and writes can be held and broken."""

    pages: dict[bytes, bytes] = field(default_factory=dict)
    refuse: Exception | None = None
    refuse_after: int = 0
    written: list[bytes] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def put(
        self,
        key: bytes,
        parent: bytes,
        token_ids: Sequence[int],
        payload: bytes,
        owner: str | None = None,
    ) -> None:
        assert self.gate.wait(20)
        if self.refuse is not None and len(self.written) >= self.refuse_after:
            raise self.refuse
        self.pages[key] = payload
        self.written.append(key)

    def get(
        self, key: bytes, parent: bytes, token_ids: Sequence[int], into: Buffer | None = None
    ) -> Loaded | Missing | Rejected:
        assert self.gate.wait(20)
        if self.refuse is not None:
            raise self.refuse
        if key not in self.pages:
            return Missing()
        return Loaded(memoryview(bytearray(self.pages[key])))

    def has(self, key: bytes) -> bool:
        return key in self.pages


def know(rig: Rig, tokens: Sequence[int], scope: str = "a") -> None:
    """Tell an engine about pages on disk, as a restarted proxy does."""

    def learn() -> None:
        node = None
        for start in range(0, len(tokens), PAGE_TOKENS):
            node = rig.cache.add_stored(scope, node, tuple(tokens[start : start + PAGE_TOKENS]))

    rig.on_engine(learn)


class TestEvents:
    def test_started_then_text_then_finished(self, rig: Rig) -> None:
        stream = rig.submit(prompt(1, 50), max_tokens=6)
        events = []
        while stream.finished is None:
            events.append(stream.next())
        assert isinstance(events[0], Started) and isinstance(events[-1], Finished)
        assert all(isinstance(e, TextDelta) and e.text for e in events[1:-1])
        assert stream.finished.reason == "length"
        usage = stream.finished.usage
        assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (50, 6, 0)
        assert usage.cache_write_tokens == 50

    def test_an_end_token_stops_and_is_counted_but_not_shown(self, rigs: RigMaker) -> None:
        tokens = prompt(2, 50)
        answer = rigs().cold(tokens, max_tokens=30).answer
        end = answer[9]
        stream = rigs(eos_ids=frozenset({end})).run(tokens, max_tokens=30)
        assert stream.finished is not None and stream.finished.reason == "stop"
        assert stream.answer == answer[: answer.index(end) + 1]
        assert stream.finished.usage.completion_tokens == answer.index(end) + 1

    def test_a_stop_string_ends_the_answer_before_it(self, rig: Rig) -> None:
        tokens = prompt(3, 50)
        text = rig.cold(tokens, max_tokens=30).text
        stop = text[8:11]
        stream = rig.run(tokens, max_tokens=30, sampling=Sampling(temperature=0.0, stop=(stop,)))
        assert stream.text == text[: text.index(stop)]
        assert stream.finished is not None and stream.finished.reason == "stop"

    def test_a_prefill_only_job_ends_without_a_token(self, rig: Rig) -> None:
        first = rig.run(prompt(4, 600), max_tokens=0)
        assert first.answer == [] and first.cached == 0
        again = rig.run(prompt(4, 600), max_tokens=0)
        assert again.cached == 600, "nothing is generated, so the last token is taken from pages too"
        assert again.finished is not None and again.finished.usage.cache_write_tokens == 0

    def test_progress_counts_to_the_end_of_the_prompt(self, rig: Rig) -> None:
        seen: list[tuple[int, int]] = []
        rig.submit(prompt(5, 700), on_progress=lambda *p: seen.append(p)).end()
        assert seen[-1] == (700, 700) and len(seen) > 1
        assert seen == sorted(seen)


class TestRefusals:
    def test_too_long_a_context_names_both_numbers(self, rigs: RigMaker) -> None:
        rig = rigs(max_context=512)
        with pytest.raises(ContextTooLong, match=r"512 tokens.*520 tokens \(500 in the messages, 20 in"):
            rig.submit(prompt(1, 500), max_tokens=20)
        with pytest.raises(ContextTooLong):
            rig.submit(prompt(1, 512), max_tokens=0)
        assert rig.run(prompt(1, 500), max_tokens=12).finished is not None

    def test_what_can_never_fit_names_the_pages(self, rigs: RigMaker) -> None:
        rig = rigs(pages=3)
        with pytest.raises(CannotFit, match=r"needs 4 pages.*700 prompt.*up to 70 new.*is 3 pages"):
            rig.submit(prompt(1, 700), max_tokens=70)
        assert rig.run(prompt(1, 700), max_tokens=69).finished is not None

    def test_a_full_queue_is_busy_and_says_when_to_come_back(
        self, rigs: RigMaker, stepped: SteppedModel
    ) -> None:
        rig = rigs(stepped.model, max_running=2, max_waiting=1)
        stepped.hold()
        streams = [rig.submit(prompt(i, 40)) for i in range(3)]
        with pytest.raises(Overloaded, match="3 requests") as caught:
            rig.submit(prompt(9, 40))
        assert caught.value.retry_after_s == 2
        stepped.go()
        assert all(s.end().finished for s in streams)
        assert rig.run(prompt(9, 40)).finished is not None

    def test_require_cached_fails_rather_than_prefills(self, rig: Rig) -> None:
        stream = rig.run(prompt(1, 400), require_cached=1)
        assert isinstance(stream.error, HitLost)
        assert stream.error.reason is MissReason.NOT_RESIDENT
        rig.run(prompt(1, 300))
        assert rig.run(prompt(1, 400), require_cached=300).cached == 300


class TestSingleFlight:
    def test_readers_of_one_prefix_compute_it_once(self, rigs: RigMaker, stepped: SteppedModel) -> None:
        rig = rigs(stepped.model)
        shared = prompt(1, 900)
        asked = [shared + prompt(50 + i, 20) for i in range(4)]
        alone = [rig.cold(t).answer for t in asked]
        stepped.hold()
        before = stepped.rows
        rig.submit(prompt(99, 30), scope="z")  # Keeps the engine busy until all have arrived.
        streams = [rig.submit(t) for t in asked]
        stepped.go()
        assert [s.end().answer for s in streams] == alone
        rig.settle()
        assert stepped.rows - before == 900 + 4 * 20 + 4 * 3 + 30 + 3
        started = [s.started for s in streams]
        assert [s.collapsed for s in started if s] == [False, True, True, True]
        assert [s.cached for s in streams] == [0, 900, 900, 900]

    def test_a_reader_of_another_scope_shares_nothing(self, rigs: RigMaker, stepped: SteppedModel) -> None:
        rig = rigs(stepped.model)
        stepped.hold()
        one = rig.submit(prompt(1, 600), scope="a", readable=("public", "a"))
        two = rig.submit(prompt(1, 600), scope="b", readable=("public", "b"))
        stepped.go()
        assert one.end().answer == two.end().answer
        assert (one.cached, two.cached) == (0, 0)
        assert two.started is not None and not two.started.collapsed
        later = rig.run(prompt(1, 600), scope="c", readable=("public", "c"), max_tokens=1)
        assert later.cached == 0

    def test_a_published_prefix_is_shared_across_scopes_and_no_more_than_that(
        self, rigs: RigMaker, stepped: SteppedModel
    ) -> None:
        rig = rigs(stepped.model)
        tokens = prompt(1, 900)
        public: dict[str, Any] = {"shared_end": 700, "shared_scope": "public"}
        stepped.hold()
        one = rig.submit(tokens, scope="a", readable=("public", "a"), **public)
        two = rig.submit(tokens, scope="b", readable=("public", "b"), **public)
        stepped.go()
        assert one.end().answer == two.end().answer
        assert two.cached == 512, "full pages of the published part, not the other tenant's rest"
        assert two.started is not None and two.started.collapsed
        third = rig.run(tokens, scope="c", readable=("public", "c"))
        assert third.cached == 512

    def test_another_tenants_private_rest_is_not_waited_for(
        self, rigs: RigMaker, stepped: SteppedModel
    ) -> None:
        """Else its prefill could be told from the time that one's own takes."""
        rig = rigs(stepped.model)
        tokens = prompt(1, 1900)
        public: dict[str, Any] = {"shared_end": 256, "shared_scope": "public", "max_tokens": 1}
        stepped.hold()
        one = rig.submit(tokens, scope="a", readable=("public", "a"), **public)
        two = rig.submit(tokens[:1800], scope="b", readable=("public", "b"), **public)
        left_at: list[int] = []

        def watch() -> None:
            if two.sequence.phase is not Phase.FOLLOWING and not left_at and one.sequence.computed > 0:
                left_at.append(one.sequence.computed)

        stepped.go()
        while one.sequence.phase is not Phase.ENDED:
            rig.on_engine(watch)
        one.end()
        assert two.end().error is None
        assert left_at and left_at[0] <= 768

    def test_when_the_leader_leaves_a_follower_takes_over(
        self, rigs: RigMaker, stepped: SteppedModel
    ) -> None:
        rig = rigs(stepped.model)
        tokens = prompt(1, 1500)
        cold = rig.cold(tokens).answer
        stepped.hold()
        leader, one, two = (rig.submit(tokens) for _ in range(3))
        rig.engine.cancel(leader.sequence)
        stepped.go()
        assert one.end().answer == cold and two.end().answer == cold

    def test_a_follower_goes_on_at_once_when_its_leader_ends_with_its_first_token(self, rig: Rig) -> None:
        """Nothing else happens in the engine then: it must not sleep until somebody knocks."""
        tokens = prompt(1, 1200)
        leader = rig.submit(tokens, max_tokens=1)
        follower = rig.submit((*tokens, 5, 6, 7), max_tokens=2)
        assert leader.end().error is None
        assert follower.end().error is None


class TestCancellation:
    @pytest.mark.parametrize("phase", [Phase.WAITING, Phase.PREFILL, Phase.DECODE, Phase.FOLLOWING])
    def test_pages_are_free_at_the_next_step(
        self, rigs: RigMaker, stepped: SteppedModel, phase: Phase
    ) -> None:
        rig = rigs(stepped.model, pages=16, max_running=1 if phase is Phase.WAITING else 8)
        fields: dict[str, Any] = {"register": False} if phase is not Phase.FOLLOWING else {}
        other = rig.submit(prompt(1, 1200), max_tokens=300, **fields)
        stream = rig.submit(prompt(1, 1200), max_tokens=300, **fields)
        if phase is Phase.DECODE:
            stream.begin()
        rig.wait_for(lambda: stream.sequence.phase is phase)
        rig.engine.cancel(stream.sequence)
        rig.wait_for(lambda: stream.sequence.phase is Phase.ENDED)
        assert stream.sequence.pages == [] and stream.sequence.reserved == 0
        rig.engine.cancel(other.sequence)
        rig.wait_for(rig.idle)
        rig.check()

    def test_a_reader_who_leaves_while_pages_load(self, rigs: RigMaker) -> None:
        disk = Disk()
        rig = rigs(store=disk)
        tokens = prompt(1, 600)
        rig.run(tokens, max_tokens=0, persist=True)
        rig.evict_all()
        disk.gate.clear()
        stream = rig.submit((*tokens, 1))
        rig.wait_for(lambda: stream.sequence.phase is Phase.LOADING)
        rig.engine.cancel(stream.sequence)
        rig.wait_for(lambda: rig.cache.occupancy().held == 0)
        disk.gate.set()
        assert rig.run((*tokens, 1)).cached == 600

    def test_a_publisher_who_leaves_while_pages_are_written(self, rigs: RigMaker) -> None:
        disk = Disk()
        rig = rigs(store=disk)
        disk.gate.clear()
        stream = rig.submit(prompt(1, 600), max_tokens=0, persist=True)
        rig.wait_for(lambda: stream.sequence.phase is Phase.PERSISTING)
        rig.engine.cancel(stream.sequence)
        rig.wait_for(lambda: stream.sequence.phase is Phase.ENDED)
        disk.gate.set()
        rig.wait_for(lambda: len(disk.written) == 3 and rig.cache.occupancy().evictable == 3)

    def test_cancelling_twice_or_after_the_end_does_nothing(self, rig: Rig) -> None:
        stream = rig.run(prompt(1, 50))
        rig.engine.cancel(stream.sequence)
        rig.engine.cancel(stream.sequence)
        assert rig.run(prompt(1, 50)).error is None


class TestPressure:
    def test_a_request_waits_for_pages_and_is_then_served(self, rigs: RigMaker) -> None:
        rig = rigs(pages=5)
        streams = [rig.submit(prompt(i, 700), max_tokens=60) for i in range(5)]
        colds = [rigs(pages=5).cold(prompt(i, 700), max_tokens=60).answer for i in range(5)]
        assert [s.end().answer for s in streams] == colds

    def test_more_streams_than_a_decode_tile_all_move_on(self, rigs: RigMaker) -> None:
        model = make_model("llama", torch.bfloat16)
        model.numerics = replace(model.numerics, tiles=(64,), unified=False, granule=64)
        rig = rigs(model)
        streams = [rig.submit(prompt(i, 20), max_tokens=400, register=False) for i in range(24)]
        for stream in streams:
            stream.begin()
        rig.wait_for(lambda: max(s.sequence.generated for s in streams) >= 60)
        made = rig.on_engine(lambda: [s.sequence.generated for s in streams])
        assert min(made) >= 20, made

    def test_a_hold_never_makes_a_running_request_fail(self, rigs: RigMaker, stepped: SteppedModel) -> None:
        """The pages of an idle document were promised to a running request; a new reader looks it up."""
        rig = rigs(stepped.model, pages=6)
        document = prompt(1, 700)
        rig.run(document, max_tokens=0)
        stepped.hold()
        long = rig.submit(prompt(2, 1300), max_tokens=2)
        while long.sequence.phase is not Phase.PREFILL:
            time.sleep(0.001)
        with rig.cache.retain_match((*document, 1), ("a",)) as match:
            stepped.go()
            assert long.end().error is None, f"with {match.tokens} tokens held"

    def test_a_hit_that_fills_the_budget_does_not_wait_for_itself(self, rigs: RigMaker) -> None:
        """Its own hold keeps the partial page that it would need a copy of."""
        rig = rigs(pages=4)
        document = prompt(1, 900)
        rig.run(document, max_tokens=0)
        asked = (*document, *prompt(2, 50))
        with rig.cache.retain_match(asked, ("a",)) as match:
            assert match.tokens == 900
            stream = rig.run(asked, require_cached=match.tokens)
            assert isinstance(stream.error, HitLost)
        assert rig.run(asked).answer == rigs(pages=4).cold(asked).answer

    def test_a_large_request_does_not_block_the_hit_whose_hold_it_waits_for(
        self, rigs: RigMaker, stepped: SteppedModel
    ) -> None:
        rig = rigs(stepped.model, pages=6)
        document = prompt(1, 1024)
        rig.run(document, max_tokens=0)
        stepped.hold()
        busy = rig.submit(prompt(3, 20), max_tokens=2, register=False)
        with rig.cache.retain_match((*document, 1), ("a",)) as match:
            large = rig.submit(prompt(2, 1400), max_tokens=2)
            hit = rig.submit((*document, 1), require_cached=match.tokens)
            stepped.go()
            assert hit.end().error is None and hit.cached == 1024
        assert large.end().error is None and busy.end().error is None

    def test_a_partial_page_on_disk_fits_where_its_document_does(self, rigs: RigMaker) -> None:
        disk = Disk()
        first = rigs(store=disk, pages=8)
        document = prompt(1, 300)
        first.run(document, max_tokens=0, persist=True)
        tight = rigs(store=disk, pages=2)
        know(tight, document)
        stream = tight.run((*document, *prompt(2, 90)))
        assert stream.cached == 256
        assert stream.answer == first.cold((*document, *prompt(2, 90))).answer

    def test_no_room_beside_the_kept_pages_is_said_and_not_waited_for(self, rigs: RigMaker) -> None:
        rig = rigs(pages=4)
        document = prompt(1, 700)
        rig.run(document, max_tokens=0)
        with rig.cache.retain_match((*document, 1), ("a",)):
            assert isinstance(rig.cold((*document, 1)).error, CannotFit)

    def test_evicted_pages_are_computed_again(self, rigs: RigMaker) -> None:
        rig = rigs(pages=4)
        first = rig.run(prompt(1, 800))
        rig.run(prompt(2, 800))
        assert rig.cache.seen(prompt(1, 800), ("a",))
        again = rig.run(prompt(1, 800))
        assert again.cached == 0 and again.answer == first.answer


class TestFailures:
    def test_a_broken_tile_ends_its_sequences_and_the_engine_lives_on(
        self, rigs: RigMaker, stepped: SteppedModel, caplog: pytest.LogCaptureFixture
    ) -> None:
        rig = rigs(stepped.model)
        stepped.hold()
        stepped.fail_at = 2
        streams = [rig.submit(prompt(i, 600), scope=f"s{i}") for i in range(3)]
        stepped.go()
        (broken,) = [s for s in streams if s.end().error is not None]
        assert isinstance(broken.error, KVProxyError) and broken.error.http_status == 500
        assert "the kernel broke" not in broken.error.message and "the kernel broke" in caplog.text
        for i, stream in enumerate(streams):
            assert stream is broken or stream.answer == rig.cold(prompt(i, 600)).answer
        assert rig.engine.alive
        good = rig.run(prompt(1, 600))
        assert good.answer == rig.cold(prompt(1, 600)).answer

    def test_stop_ends_everybody_with_shutting_down(self, rigs: RigMaker, stepped: SteppedModel) -> None:
        rig = rigs(stepped.model, max_running=2)
        stepped.hold()
        streams = [rig.submit(prompt(i, 600)) for i in range(4)]
        stopper = threading.Thread(target=rig.engine.stop)
        stopper.start()
        stepped.go()
        for stream in streams:
            error = stream.end().error
            assert isinstance(error, ShuttingDown) and error.retry_after_s == 5
        stopper.join(20)
        assert not rig.engine.alive
        with pytest.raises(ShuttingDown):
            rig.submit(prompt(1, 10))
        with pytest.raises(ShuttingDown):
            rig.on_engine(lambda: None)
        rig.engine.stop()
        assert rig.cache.occupancy().held == rig.cache.occupancy().evictable

    def test_whoever_comes_while_it_stops_gets_an_answer(self, rigs: RigMaker) -> None:
        rig = rigs()
        rig.run(prompt(1, 10))
        stopper = threading.Thread(target=rig.engine.stop)
        came = []
        stopper.start()
        while True:
            try:
                came.append(rig.submit(prompt(1, 300), max_tokens=50))
            except (ShuttingDown, Overloaded) as e:
                if isinstance(e, ShuttingDown):
                    break
        stopper.join(20)
        for stream in came:
            stream.end()


class TestStore:
    def test_persist_ends_when_every_page_is_stored(self, rigs: RigMaker) -> None:
        disk = Disk()
        rig = rigs(store=disk)
        disk.gate.clear()
        stream = rig.submit(prompt(1, 600), max_tokens=0, persist=True)
        rig.wait_for(lambda: stream.sequence.phase is Phase.PERSISTING)
        assert stream.started is None
        disk.gate.set()
        assert stream.end().error is None
        assert [stored_key(n.key, n.scope) for n in stream.sequence.kept] == disk.written
        assert [len(n.token_ids) for n in stream.sequence.kept] == [256, 256, 88]
        rig.run(prompt(1, 600), max_tokens=0, persist=True)
        assert len(disk.written) == 3, "what is stored is not written again"

    def test_a_full_store_is_said_and_leaves_nothing_pinned(self, rigs: RigMaker) -> None:
        disk = Disk(refuse=StorageFull("full"), refuse_after=1)
        rig = rigs(store=disk)
        stream = rig.run(prompt(1, 600), max_tokens=0, persist=True)
        assert isinstance(stream.error, StorageFull)
        rig.check()
        disk.refuse = None
        again = rig.run(prompt(1, 600), max_tokens=0, persist=True)
        assert again.error is None and again.cached == 600
        assert len(disk.pages) == 3

    def test_a_document_deleted_while_it_is_written_is_no_success(self, rigs: RigMaker) -> None:
        disk = Disk()
        rig = rigs(store=disk)
        disk.gate.clear()
        stream = rig.submit(prompt(1, 600), max_tokens=0, persist=True)
        rig.wait_for(lambda: stream.sequence.phase is Phase.PERSISTING)
        rig.on_engine(lambda: rig.cache.discard(stream.sequence.chain[0]))
        disk.gate.set()
        assert isinstance(stream.end().error, Unavailable)

    def test_published_pages_that_a_reader_computed_again_are_stored_and_private_ones_never(
        self, rigs: RigMaker
    ) -> None:
        disk = Disk()
        rig = rigs(store=disk)
        rig.run(prompt(1, 700), shared_end=600, shared_scope="public")
        rig.wait_for(lambda: len(disk.written) == 2)
        rig.run(prompt(2, 600))
        rig.settle()
        assert len(disk.written) == 2
        rig.evict_all()
        hit = rig.run((*prompt(1, 600), 9), scope="b", readable=("public", "b"))
        assert hit.cached == 512

    def test_the_first_reader_after_a_restart_hits(self, rigs: RigMaker, tmp_path: Path) -> None:
        tokens = prompt(1, 700)
        asked = (*tokens, *prompt(2, 30))
        model = make_model("llama", torch.bfloat16)
        with PageStore(tmp_path, max_size=2**30, fingerprint=model.fingerprint) as store:
            rig = rigs(model, store=store)
            rig.run(tokens, max_tokens=0, persist=True)
            cold = rig.cold(asked).answer
            rig.close()
        with PageStore(tmp_path, max_size=2**30, fingerprint=model.fingerprint) as store:
            rig = rigs(model, store=store)
            know(rig, tokens)
            hit = rig.run(asked, require_cached=700)
            assert hit.cached == 700 and hit.answer == cold
            assert hit.started is not None and hit.started.load_s > 0
            rig.close()

    @pytest.mark.parametrize("damage", ["torn", "flipped", "gone"])
    def test_a_damaged_page_is_never_an_answer(
        self, rigs: RigMaker, llama: TileModel, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        tokens = prompt(1, 700)
        asked = (*tokens, *prompt(2, 30))
        with PageStore(tmp_path, max_size=2**30, fingerprint=llama.fingerprint) as store:
            rig = rigs(store=store)
            published = rig.run(tokens, max_tokens=0, persist=True)
            cold = rig.cold(asked).answer
            second = published.sequence.kept[1]
            rig.evict_all()
            file = tmp_path / "pages" / page_name(stored_key(second.key, second.scope))
            content = file.read_bytes()
            if damage == "torn":
                file.write_bytes(content[: len(content) // 2])
            elif damage == "flipped":
                file.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
            else:
                file.unlink()
            lost = rig.run(asked, require_cached=700)
            assert isinstance(lost.error, HitLost)
            assert lost.error.reason is MissReason.PAGES_REJECTED
            assert "is not used" in caplog.text
            again = rig.run(asked)
            assert again.cached == 256 and again.answer == cold
            rig.close()

    def test_a_miss_goes_on_with_what_is_left_of_its_pages(self, rigs: RigMaker) -> None:
        disk = Disk()
        rig = rigs(store=disk)
        tokens = prompt(1, 700)
        rig.run(tokens, max_tokens=0, persist=True)
        rig.evict_all()
        del disk.pages[disk.written[1]]
        stream = rig.run((*tokens, 9))
        assert stream.cached == 256
        assert stream.answer == rig.cold((*tokens, 9)).answer

    def test_a_read_that_fails_is_a_rejected_page(self, rigs: RigMaker) -> None:
        disk = Disk()
        rig = rigs(store=disk)
        rig.run(prompt(1, 300), max_tokens=0, persist=True)
        rig.evict_all()
        disk.refuse = OSError("the disk is on fire")
        assert rig.run((*prompt(1, 300), 9)).cached == 0
        assert isinstance(rig.run((*prompt(1, 300), 8), require_cached=9_999).error, HitLost)

    def test_a_page_of_the_wrong_size_is_a_rejected_page(self, rigs: RigMaker) -> None:
        disk = Disk()
        rig = rigs(store=disk)
        rig.run(prompt(1, 300), max_tokens=0, persist=True)
        rig.evict_all()
        disk.pages[disk.written[0]] = b"short"
        stream = rig.run((*prompt(1, 300), 9))
        assert stream.cached == 0 and stream.answer == rig.cold((*prompt(1, 300), 9)).answer

    def test_two_readers_of_pages_on_disk(self, rigs: RigMaker) -> None:
        disk = Disk()
        rig = rigs(store=disk)
        tokens = prompt(1, 700)
        rig.run(tokens, max_tokens=0, persist=True)
        cold = rig.cold((*tokens, 9)).answer
        rig.evict_all()
        disk.gate.clear()
        streams = [rig.submit((*tokens, 9)) for _ in range(3)]
        rig.settle()
        disk.gate.set()
        assert [s.end().answer for s in streams] == [cold] * 3
        assert all(s.cached == 700 for s in streams)

    def test_a_document_deleted_while_its_pages_load(self, rigs: RigMaker) -> None:
        disk = Disk()
        rig = rigs(store=disk)
        tokens = prompt(1, 600)
        published = rig.run(tokens, max_tokens=0, persist=True)
        rig.evict_all()
        disk.gate.clear()
        stream = rig.submit((*tokens, 9))
        rig.wait_for(lambda: stream.sequence.phase is Phase.LOADING)
        rig.on_engine(lambda: rig.cache.discard(published.sequence.kept[0]))
        disk.gate.set()
        assert stream.end().answer == rig.cold((*tokens, 9)).answer


def test_the_vocabulary_of_the_tests_covers_the_model(vocabulary: Vocabulary) -> None:
    assert all(len(vocabulary.token_bytes(i)) == 1 for i in range(VOCAB))
