"""Requests that need more pages than are free: they wait, evict, or are refused."""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from kvproxy.engine.loop.sequence import Phase
from kvproxy.errors import (
    CannotFit,
    HitLost,
)
from tests.engine.harness import HarnessMaker, HeldDisk, learn_pages
from tests.engine.stepped import SteppedModel
from tests.engine.tiny import make_model, prompt


class TestPressure:
    def test_a_request_waits_for_pages_and_is_then_served(self, rigs: HarnessMaker) -> None:
        rig = rigs(pages=5)
        streams = [rig.submit(prompt(i, 700), max_tokens=60) for i in range(5)]
        colds = [rigs(pages=5).cold(prompt(i, 700), max_tokens=60).answer for i in range(5)]
        assert [s.end().answer for s in streams] == colds

    def test_more_streams_than_a_tile_all_move_on(self, rigs: HarnessMaker) -> None:
        model = make_model("llama", torch.bfloat16)
        model.numerics = replace(model.numerics, largest=16, sizes=None)
        rig = rigs(model)
        streams = [rig.submit(prompt(i, 20), max_tokens=400, register=False) for i in range(24)]
        for stream in streams:
            stream.begin()
        rig.wait_for(lambda: max(s.sequence.generated for s in streams) >= 60)
        made = rig.on_engine(lambda: [s.sequence.generated for s in streams])
        assert min(made) >= 20, made

    def test_a_hold_never_makes_a_running_request_fail(
        self, rigs: HarnessMaker, stepped: SteppedModel
    ) -> None:
        """The pages of an idle document were reserved for a running request; a new reader looks it up."""
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

    def test_a_hit_that_fills_the_budget_does_not_wait_for_itself(self, rigs: HarnessMaker) -> None:
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
        self, rigs: HarnessMaker, stepped: SteppedModel
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

    def test_a_partial_page_on_disk_fits_where_its_document_does(self, rigs: HarnessMaker) -> None:
        disk = HeldDisk()
        first = rigs(store=disk, pages=8)
        document = prompt(1, 300)
        first.run(document, max_tokens=0, persist=True)
        tight = rigs(store=disk, pages=2)
        learn_pages(tight, document)
        stream = tight.run((*document, *prompt(2, 90)))
        assert stream.cached == 256
        assert stream.answer == first.cold((*document, *prompt(2, 90))).answer

    def test_no_room_beside_the_kept_pages_is_said_and_not_waited_for(self, rigs: HarnessMaker) -> None:
        rig = rigs(pages=4)
        document = prompt(1, 700)
        rig.run(document, max_tokens=0)
        with rig.cache.retain_match((*document, 1), ("a",)):
            assert isinstance(rig.cold((*document, 1)).error, CannotFit)

    def test_evicted_pages_are_computed_again(self, rigs: HarnessMaker) -> None:
        rig = rigs(pages=4)
        first = rig.run(prompt(1, 800))
        rig.run(prompt(2, 800))
        assert rig.cache.seen(prompt(1, 800), ("a",))
        again = rig.run(prompt(1, 800))
        assert again.cached == 0 and again.answer == first.answer
