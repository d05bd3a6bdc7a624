"""Layer 0 is left out where the engine computes every bit of it again, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kvproxy.codecs.first_layer_codec import FirstLayerCodec
from kvproxy.codecs.page_codec import CodecFault
from kvproxy.core.page_form import PageForm
from kvproxy.engine.native.kernel_library import Kernels, load_kernels
from tests.codecs.page_numbers import payload

FORM = PageForm(3, 2, 16, "bfloat16")
IDS = tuple(range(40))
SIZE = FORM.frame_bytes(len(IDS))


class Engine:
    """Computes layer 0 as ``first`` says, at position 512 alone."""

    def __init__(self, first: bytes) -> None:
        self.first, self.asked = first, 0

    def rows(self, token_ids: Sequence[int], start: int) -> bytes:
        self.asked += 1
        if start >= 2**20:
            raise ValueError("no page begins there")
        return self.first if (tuple(token_ids), start) == (IDS, 512) else bytes(len(self.first))

    def start_of(self, token_id: int, key: bytes) -> int:
        return 512


def kernels() -> Kernels:
    found = load_kernels()
    assert isinstance(found, Kernels)
    return found


def page() -> bytes:
    return bytes(payload(FORM, len(IDS), "channels", seed=1))


def decoded(codec: FirstLayerCodec, frames: Sequence[bytes], ids: Sequence[int] = IDS) -> bytes:
    room = bytearray(FORM.payload_bytes(len(IDS)))
    for i, frame in enumerate(frames):
        codec.decode(memoryview(frame), i, ids, memoryview(room)[i * SIZE : (i + 1) * SIZE])
    return bytes(room)


def test_what_is_computed_again_is_left_out_and_comes_back() -> None:
    plain = page()
    engine = Engine(plain[: 2 * SIZE])
    codec = FirstLayerCodec(kernels(), FORM, engine)
    frames = codec.encode(memoryview(plain), IDS)
    assert [len(f) for f in frames[:2]] == [21, 21] and min(map(len, frames[2:])) > 100
    assert decoded(codec, frames) == plain
    assert engine.asked == 2, "once for writing, once for both frames of a reader"


def test_another_bit_in_layer_0_is_stored_as_all_others() -> None:
    plain = page()
    other = bytes([plain[0] ^ 1]) + plain[1 : 2 * SIZE]
    codec = FirstLayerCodec(kernels(), FORM, Engine(other))
    frames = codec.encode(memoryview(plain), IDS)
    assert min(map(len, frames)) > 100
    assert decoded(codec, frames) == plain


def test_an_engine_that_computes_other_bits_now_loses_the_page() -> None:
    plain = page()
    frames = FirstLayerCodec(kernels(), FORM, Engine(plain[: 2 * SIZE])).encode(memoryview(plain), IDS)
    changed = FirstLayerCodec(kernels(), FORM, Engine(plain[2 * SIZE : 4 * SIZE]))
    with pytest.raises(CodecFault, match="other bits"):
        decoded(changed, frames)
    with pytest.raises(CodecFault, match="other bits"):
        decoded(FirstLayerCodec(kernels(), FORM, Engine(plain[: 2 * SIZE])), frames, range(1, 41))


@pytest.mark.parametrize("cut", [0, 1, 20])
def test_a_frame_that_is_no_frame_is_refused(cut: int) -> None:
    plain = page()
    codec = FirstLayerCodec(kernels(), FORM, Engine(plain[: 2 * SIZE]))
    frame = codec.encode(memoryview(plain), IDS)[0]
    with pytest.raises(CodecFault):
        decoded(codec, [frame[:cut]])
    with pytest.raises(CodecFault, match="cannot be computed"):
        decoded(codec, [frame[:1] + b"\xff\xff\xff\xff" + frame[5:]])
    with pytest.raises(CodecFault):
        decoded(codec, [frame, b"\x02" + frame[2:]])
    with pytest.raises(ValueError, match="room"):
        codec.decode(memoryview(frame), 0, IDS, memoryview(bytearray(SIZE - 2)))


def test_only_layer_0_can_be_left_out() -> None:
    plain = page()
    codec = FirstLayerCodec(kernels(), FORM, Engine(plain[: 2 * SIZE]))
    frame = codec.encode(memoryview(plain), IDS)[0]
    with pytest.raises(CodecFault):
        codec.decode(memoryview(frame), 2, IDS, memoryview(bytearray(SIZE)))


def test_a_page_of_one_layer_has_nothing_else_to_store() -> None:
    with pytest.raises(ValueError):
        FirstLayerCodec(kernels(), PageForm(1, 2, 16, "bfloat16"), Engine(b""))
