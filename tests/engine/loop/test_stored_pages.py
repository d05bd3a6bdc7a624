"""Pages on disk: written by published prefixes, read by later requests, refused when damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kvproxy.core import MissReason, stored_key
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.engine.loop.sequence import Phase
from kvproxy.errors import (
    HitLost,
    StorageFull,
    Unavailable,
)
from kvproxy.store.disk import page_name
from kvproxy.store.page_store import PageStore
from tests.engine.harness import HarnessMaker, HeldDisk, learn_pages
from tests.engine.tiny import make_model, prompt


class TestStore:
    def test_persist_ends_when_every_page_is_stored(self, rigs: HarnessMaker) -> None:
        disk = HeldDisk()
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

    def test_a_full_store_is_said_and_leaves_nothing_pinned(self, rigs: HarnessMaker) -> None:
        disk = HeldDisk(refuse=StorageFull("full"), refuse_after=1)
        rig = rigs(store=disk)
        stream = rig.run(prompt(1, 600), max_tokens=0, persist=True)
        assert isinstance(stream.error, StorageFull)
        rig.check()
        disk.refuse = None
        again = rig.run(prompt(1, 600), max_tokens=0, persist=True)
        assert again.error is None and again.cached == 600
        assert len(disk.pages) == 3

    def test_a_document_deleted_while_it_is_written_is_no_success(self, rigs: HarnessMaker) -> None:
        disk = HeldDisk()
        rig = rigs(store=disk)
        disk.gate.clear()
        stream = rig.submit(prompt(1, 600), max_tokens=0, persist=True)
        rig.wait_for(lambda: stream.sequence.phase is Phase.PERSISTING)
        rig.on_engine(lambda: rig.cache.discard(stream.sequence.chain[0]))
        disk.gate.set()
        assert isinstance(stream.end().error, Unavailable)

    def test_published_pages_that_a_reader_computed_again_are_stored_and_private_ones_never(
        self, rigs: HarnessMaker
    ) -> None:
        disk = HeldDisk()
        rig = rigs(store=disk)
        rig.run(prompt(1, 700), shared_end=600, shared_scope="public")
        rig.wait_for(lambda: len(disk.written) == 2)
        rig.run(prompt(2, 600))
        rig.settle()
        assert len(disk.written) == 2
        rig.evict_all()
        hit = rig.run((*prompt(1, 600), 9), scope="b", readable=("public", "b"))
        assert hit.cached == 512

    def test_the_first_reader_after_a_restart_hits(self, rigs: HarnessMaker, tmp_path: Path) -> None:
        tokens = prompt(1, 700)
        asked = (*tokens, *prompt(2, 30))
        model = make_model("llama", torch.bfloat16)
        with PageStore(
            tmp_path, max_size=2**30, fingerprint=model.fingerprint, form=model.page_shape.form
        ) as store:
            rig = rigs(model, store=store)
            rig.run(tokens, max_tokens=0, persist=True)
            cold = rig.cold(asked).answer
            rig.close()
        with PageStore(
            tmp_path, max_size=2**30, fingerprint=model.fingerprint, form=model.page_shape.form
        ) as store:
            rig = rigs(model, store=store)
            learn_pages(rig, tokens)
            hit = rig.run(asked, require_cached=700)
            assert hit.cached == 700 and hit.answer == cold
            assert hit.started is not None and hit.started.load_s > 0
            rig.close()

    @pytest.mark.parametrize("damage", ["torn", "flipped", "gone"])
    def test_a_damaged_page_is_never_an_answer(
        self,
        rigs: HarnessMaker,
        llama: TileModel,
        tmp_path: Path,
        damage: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        tokens = prompt(1, 700)
        asked = (*tokens, *prompt(2, 30))
        with PageStore(
            tmp_path, max_size=2**30, fingerprint=llama.fingerprint, form=llama.page_shape.form
        ) as store:
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

    def test_a_miss_goes_on_with_what_is_left_of_its_pages(self, rigs: HarnessMaker) -> None:
        disk = HeldDisk()
        rig = rigs(store=disk)
        tokens = prompt(1, 700)
        rig.run(tokens, max_tokens=0, persist=True)
        rig.evict_all()
        del disk.pages[disk.written[1]]
        stream = rig.run((*tokens, 9))
        assert stream.cached == 256
        assert stream.answer == rig.cold((*tokens, 9)).answer

    def test_a_read_that_fails_is_a_rejected_page(self, rigs: HarnessMaker) -> None:
        disk = HeldDisk()
        rig = rigs(store=disk)
        rig.run(prompt(1, 300), max_tokens=0, persist=True)
        rig.evict_all()
        disk.refuse = OSError("the disk is on fire")
        assert rig.run((*prompt(1, 300), 9)).cached == 0
        assert isinstance(rig.run((*prompt(1, 300), 8), require_cached=9_999).error, HitLost)

    def test_a_page_of_the_wrong_size_is_a_rejected_page(self, rigs: HarnessMaker) -> None:
        disk = HeldDisk()
        rig = rigs(store=disk)
        rig.run(prompt(1, 300), max_tokens=0, persist=True)
        rig.evict_all()
        disk.pages[disk.written[0]] = b"short"
        stream = rig.run((*prompt(1, 300), 9))
        assert stream.cached == 0 and stream.answer == rig.cold((*prompt(1, 300), 9)).answer

    def test_two_readers_of_pages_on_disk(self, rigs: HarnessMaker) -> None:
        disk = HeldDisk()
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

    def test_a_document_deleted_while_its_pages_load(self, rigs: HarnessMaker) -> None:
        disk = HeldDisk()
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
