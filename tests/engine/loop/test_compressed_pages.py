"""Pages that are stored compressed: the first reader after a restart gets a prefill's bits, from fewer bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kvproxy.codecs.open_codec import CODECS, WITH_ENGINE, open_codec
from kvproxy.core import stored_key
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.stack.page_codecs import decoder_of
from kvproxy.store.page_store import PageStore
from tests.engine.harness import HarnessMaker, learn_pages
from tests.engine.tiny import make_model, prompt

DOCUMENT = prompt(1, 700)
ASKED = (*DOCUMENT, *prompt(2, 30))


def open_store(folder: Path, model: TileModel, *, codec: str) -> PageStore:
    form, engine = model.page_shape.form, model.first_layer()
    return PageStore(
        folder,
        max_size=2**30,
        fingerprint=model.fingerprint,
        form=form,
        codec=open_codec(codec, form, engine) if codec else None,
        decoder=decoder_of(form, engine),
    )


def publish(rigs: HarnessMaker, model: TileModel, folder: Path, *, codec: str) -> int:
    """Return the stored bytes of the document's pages."""
    with open_store(folder, model, codec=codec) as store:
        rig = rigs(model, store=store)
        stream = rig.run(DOCUMENT, max_tokens=0, persist=True)
        records = [store.record(stored_key(n.key, n.scope)) for n in stream.sequence.kept]
        rig.close()
    found = [record for record in records if record is not None]
    assert len(found) == 3
    assert [record.codec for record in found] == [codec] * 3
    return sum(record.payload_bytes for record in found)


@pytest.mark.parametrize(("codec", "most"), [(CODECS[0], 0.95), (WITH_ENGINE, 0.5)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_a_hit_on_compressed_pages_has_the_logits_of_a_prefill(
    rigs: HarnessMaker, tmp_path: Path, dtype: torch.dtype, codec: str, most: float
) -> None:
    model = make_model("llama", dtype)
    stored = publish(rigs, model, tmp_path, codec=codec)
    assert stored < most * sum(model.page_shape.bytes_of(n) for n in (256, 256, 188))
    with open_store(tmp_path, model, codec="") as store:
        rig = rigs(model, store=store)
        learn_pages(rig, DOCUMENT)
        hit = rig.run(ASKED, require_cached=700, score_from=700)
        cold = rig.cold(ASKED, score_from=700)
        assert hit.cached == 700 and hit.answer == cold.answer
        assert torch.equal(hit.logits, cold.logits)
        rig.close()


def test_pages_that_were_stored_plain_are_read_where_new_ones_are_compressed(
    rigs: HarnessMaker, tmp_path: Path
) -> None:
    model = make_model("llama", torch.bfloat16)
    publish(rigs, model, tmp_path, codec="")
    with open_store(tmp_path, model, codec=CODECS[0]) as store:
        rig = rigs(model, store=store)
        learn_pages(rig, DOCUMENT)
        assert rig.run(ASKED, require_cached=700).answer == rig.cold(ASKED).answer
        rig.close()
