"""Frames give back the page's bits, whatever they are, and a damaged or hostile one is refused within its memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvproxy.codecs.frame_codec import FrameCodec
from kvproxy.codecs.page_codec import CodecFault
from kvproxy.core.page_form import PageForm
from kvproxy.engine.native.kernel_library import Kernels, load_kernels
from tests.codecs.page_numbers import KINDS, payload

GUARD = b"\xa5" * 64
FORM = PageForm(1, 2, 64, "bfloat16")

forms = st.builds(
    PageForm,
    layers=st.just(1),
    kv_heads=st.integers(1, 3),
    head_dim=st.sampled_from([1, 5, 16, 20, 48, 64, 128]),
    dtype=st.sampled_from(["bfloat16", "float16", "float32"]),
)
positions_of_a_page = st.one_of(st.integers(1, 256), st.sampled_from([1, 2, 15, 17, 255, 256]))


def kernels() -> Kernels:
    found = load_kernels()
    assert isinstance(found, Kernels)
    return found


def codec(form: PageForm) -> FrameCodec:
    return FrameCodec(kernels(), form)


@pytest.fixture(params=[*kernels().available])
def instructions(request: pytest.FixtureRequest) -> Iterator[str]:
    """Choose one instruction set of this machine after the other."""
    chosen = kernels().library.kvp_chosen()
    assert kernels().library.kvp_choose(request.param.encode()) == 0
    yield request.param
    kernels().library.kvp_choose(chosen)


def decoded(coder: FrameCodec, frame: bytes, index: int, positions: int, size: int) -> bytes:
    """The frame's plain bytes; nothing around their place may have been written."""
    memory = bytearray(GUARD + bytes(size) + GUARD)
    try:
        coder.decode(memoryview(frame), index, range(positions), memoryview(memory)[len(GUARD) : -len(GUARD)])
    finally:
        assert memory[: len(GUARD)] == GUARD and memory[-len(GUARD) :] == GUARD
    return bytes(memory[len(GUARD) : -len(GUARD)])


def round_trip(form: PageForm, positions: int, kind: str, seed: int) -> list[bytes]:
    """Encode, compare what is decoded, return the frames."""
    plain, coder, size = payload(form, positions, kind, seed), codec(form), form.frame_bytes(positions)
    frames = coder.encode(plain, range(positions))
    assert len(frames) == form.frames and max(map(len, frames)) <= size + 1
    for i, frame in enumerate(frames):
        assert decoded(coder, frame, i, positions, size) == plain[i * size : (i + 1) * size]
    return frames


@settings(max_examples=150, deadline=None)
@given(form=forms, positions=positions_of_a_page, kind=st.sampled_from(KINDS), seed=st.integers(0, 2**32))
def test_every_bit_comes_back(form: PageForm, positions: int, kind: str, seed: int) -> None:
    round_trip(form, positions, kind, seed)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_instruction_set_decodes_the_same_frames(instructions: str, dtype: str, kind: str) -> None:
    for head_dim, positions in ((64, 256), (48, 97), (16, 1), (20, 30)):
        round_trip(PageForm(2, 2, head_dim, dtype), positions, kind, seed=7)  # type: ignore[arg-type]  # a parameter


@pytest.mark.parametrize("bits", range(0, 65536, 4096))
def test_every_bfloat16_and_every_float16_comes_back(bits: int) -> None:
    plain = b"".join(n.to_bytes(2, "little") for n in range(bits, bits + 4096)) * 2
    for dtype in ("bfloat16", "float16"):
        form = PageForm(1, 1, 64, dtype)
        frames = codec(form).encode(memoryview(plain), range(64))
        assert [decoded(codec(form), f, i, 64, 8192) for i, f in enumerate(frames)] == [plain[:8192]] * 2


def test_numbers_of_channels_get_shorter_and_noise_grows_by_one_byte() -> None:
    for dtype, least in (("bfloat16", 1.4), ("float16", 1.15), ("float32", 1.15)):
        form = PageForm(1, 3, 64, dtype)  # type: ignore[arg-type]  # a literal of the loop
        size = form.frame_bytes(256)
        assert all(size / len(frame) > least for frame in round_trip(form, 256, "channels", 1))
        assert [len(frame) for frame in round_trip(form, 256, "noise", 1)] == [size + 1] * 2


def test_signs_that_turn_slowly_cost_less_than_half_a_bit() -> None:
    """Rotary embedding turns a channel's sign with the position: it follows from the sign before."""
    source = np.random.default_rng(1)
    turning = np.sin(np.arange(256)[:, None] / np.linspace(6, 20, 64)[None])
    values = (np.sign(turning) * source.lognormal(0, 1, turning.shape)).astype(np.float32)
    numbers = (values.view(np.uint32) >> 16).astype(np.uint16)
    form = PageForm(1, 1, 64, "bfloat16")
    in_order = codec(form).encode(memoryview(numbers.tobytes() * 2), range(256))
    mixed = codec(form).encode(memoryview(source.permutation(numbers, axis=0).tobytes() * 2), range(256))
    assert len(in_order[0]) + numbers.size * 0.5 / 8 < len(mixed[0])


@settings(max_examples=200, deadline=None)
@given(data=st.data(), positions=st.integers(1, 64), seed=st.integers(0, 100))
def test_a_damaged_frame_stays_within_its_memory(data: st.DataObject, positions: int, seed: int) -> None:
    coder, size = codec(FORM), FORM.frame_bytes(positions)
    frame = bytearray(coder.encode(payload(FORM, positions, "channels", seed), range(positions))[0])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.one_of(st.integers(0, min(600, len(frame) - 1)), st.integers(0, len(frame) - 1)))
        frame[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(frame)))
    for hostile in (bytes(frame), bytes(frame[:cut]), bytes(frame) + b"\0\0"):
        try:
            decoded(coder, hostile, 0, positions, size)
        except CodecFault as e:
            assert str(e)


@settings(max_examples=200, deadline=None)
@given(hostile=st.binary(max_size=4000), positions=st.integers(1, 256))
def test_bytes_of_anybody_are_no_frame(hostile: bytes, positions: int) -> None:
    if len(hostile) != FORM.frame_bytes(positions) + 1:
        with pytest.raises(CodecFault):
            decoded(codec(FORM), hostile, 0, positions, FORM.frame_bytes(positions))


def test_a_frame_cut_short_or_continued_is_refused() -> None:
    coder, size = codec(FORM), FORM.frame_bytes(40)
    frame = coder.encode(payload(FORM, 40, "channels", 3), range(40))[0]
    for length in (0, 1, 2, 3, 50, 200, len(frame) // 2, len(frame) - 2, len(frame) - 1):
        with pytest.raises(CodecFault):
            decoded(coder, frame[:length], 0, 40, size)
    for more in (b"\0", b"\0\0", frame):
        with pytest.raises(CodecFault):
            decoded(coder, frame + more, 0, 40, size)


def test_a_small_frame_cannot_ask_for_memory() -> None:
    """No size is taken from a frame: the page's positions say how much there is, and other ones do not fit."""
    coder = codec(FORM)
    frame = coder.encode(payload(FORM, 8, "equal", 0), range(8))[0]
    for positions in (1, 7, 9, 256):
        with pytest.raises(CodecFault):
            decoded(coder, frame, 0, positions, FORM.frame_bytes(positions))


def test_memory_of_another_size_is_refused() -> None:
    coder, plain = codec(FORM), payload(FORM, 8, "channels", 0)
    frame = memoryview(coder.encode(plain, range(8))[0])
    with pytest.raises(ValueError, match="bytes"):
        coder.encode(plain[2:], range(8))
    for room in (bytearray(FORM.frame_bytes(8) - 2), bytearray(FORM.frame_bytes(9))):
        with pytest.raises(ValueError, match="room"):
            coder.decode(frame, 0, range(8), memoryview(room))
    with pytest.raises(ValueError, match="room"):
        coder.decode(frame, 0, range(8), memoryview(bytes(FORM.frame_bytes(8))))
    for positions in (0, 257):
        with pytest.raises(ValueError):
            coder.decode(frame, 0, range(positions), memoryview(bytearray(FORM.frame_bytes(positions))))
    with pytest.raises(ValueError):
        codec(PageForm(1, 70000, 64, "bfloat16"))


def test_threads_decode_beside_each_other() -> None:
    coder, size = codec(FORM), FORM.frame_bytes(256)
    pages = [payload(FORM, 256, "channels", seed) for seed in range(4)]
    frames = [coder.encode(page, range(256)) for page in pages]
    wrong: list[int] = []

    def read(seed: int) -> None:
        for _ in range(20):
            for i, frame in enumerate(frames[seed]):
                if decoded(coder, frame, i, 256, size) != pages[seed][i * size : (i + 1) * size]:
                    wrong.append(seed)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
