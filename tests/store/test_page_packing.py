"""Pages in frames: whole, by layers, compressed, sealed; damaged anywhere they are refused, and nothing else is."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import accumulate
from pathlib import Path

import pytest

from kvproxy.codecs.page_codec import CodecFault
from kvproxy.core.page_form import PageForm
from kvproxy.core.page_seal import SealBroken
from kvproxy.store import page_file
from kvproxy.store.disk import page_name
from kvproxy.store.page_packing import PagePacking
from kvproxy.store.page_record import HEADER_UNIT, PageRecord, Torn
from kvproxy.store.page_results import Loaded, Missing, Rejected
from kvproxy.store.page_store import PageStore

FORM = PageForm(layers=3, kv_heads=2, head_dim=16, dtype="bfloat16")
KEY = hashlib.sha256(b"page").digest()
PARENT = hashlib.sha256(b"parent").digest()
IDS = tuple(range(40))
PAYLOAD = os.urandom(FORM.payload_bytes(len(IDS)))
FRAME = FORM.frame_bytes(len(IDS))


class Deflate:
    """A `PageCodec` of the standard library."""

    def __init__(self, name: str = "deflate-test-1") -> None:
        self.name = name

    def encode(self, payload: memoryview, token_ids: Sequence[int]) -> list[bytes]:
        size = FORM.frame_bytes(len(token_ids))
        return [zlib.compress(payload[i : i + size]) for i in range(0, len(payload), size)]

    def decode(self, frame: memoryview, index: int, token_ids: Sequence[int], into: memoryview) -> None:
        try:
            into[:] = zlib.decompress(frame)
        except (zlib.error, ValueError) as e:
            raise CodecFault(str(e)) from e


class Tagged:
    """A `PageSeal` that shows where it was used; fresh bytes each time, as a nonce makes them."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret

    def seal(self, key: bytes, index: int, frame: bytes | memoryview) -> bytes:
        return os.urandom(12) + self._tag(key, index) + bytes(frame)[::-1]

    def open(self, key: bytes, index: int, frame: bytes | memoryview) -> bytes:
        if frame[12:28] != self._tag(key, index):
            raise SealBroken("another key, page or place")
        return bytes(frame[28:])[::-1]

    def _tag(self, key: bytes, index: int) -> bytes:
        return hashlib.blake2b(
            key + index.to_bytes(8, "little", signed=True), key=self.secret, digest_size=16
        ).digest()


@dataclass
class Layers:
    """A `LayerRoom` that keeps what it was given, in order."""

    taken: list[tuple[int, bytes]] = field(default_factory=list)
    scratch: bytearray = field(default_factory=lambda: bytearray(2 * FRAME))

    def room(self, layer: int, size: int) -> memoryview:
        return memoryview(self.scratch)[:size]

    def filled(self, layer: int) -> None:
        self.taken.append((layer, bytes(self.scratch)))


Opener = Callable[..., PageStore]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    stores: list[PageStore] = []

    def open_store(
        codec: Deflate | None = None, seal: Tagged | None = None, name: str = "store"
    ) -> PageStore:
        for store in stores:
            store.close()
        stores.append(
            PageStore(tmp_path / name, max_size=2**30, fingerprint="f", form=FORM, codec=codec, seal=seal)
        )
        return stores[-1]

    yield open_store
    for store in stores:
        assert store.check() == []
        store.close()


def file_of(tmp_path: Path) -> Path:
    return tmp_path / "store" / "pages" / page_name(KEY)


def reason(answer: Loaded | Missing | Rejected) -> str:
    assert isinstance(answer, Rejected), answer
    return answer.reason


KINDS = [(None, None), (Deflate(), None), (None, Tagged(b"k")), (Deflate(), Tagged(b"k"))]


@pytest.mark.parametrize(("codec", "seal"), KINDS)
def test_a_page_comes_back_whole_and_by_layers(
    opened: Opener, codec: Deflate | None, seal: Tagged | None
) -> None:
    store = opened(codec, seal)
    store.put(KEY, PARENT, IDS, PAYLOAD)
    whole = store.get(KEY, PARENT, IDS)
    assert isinstance(whole, Loaded) and whole.payload == PAYLOAD
    longer = bytearray(len(PAYLOAD) + 5)
    front = store.get(KEY, PARENT, IDS, longer)
    assert isinstance(front, Loaded) and front.payload == PAYLOAD and longer[-5:] == bytes(5)
    layers = Layers()
    assert isinstance(store.get(KEY, PARENT, IDS, layers), Loaded)
    assert layers.taken == [(i, PAYLOAD[2 * i * FRAME : 2 * (i + 1) * FRAME]) for i in range(3)]


def test_only_used_positions_are_stored(opened: Opener, tmp_path: Path) -> None:
    opened().put(KEY, PARENT, IDS, PAYLOAD)
    assert file_of(tmp_path).stat().st_size == HEADER_UNIT + FORM.payload_bytes(40)
    with pytest.raises(ValueError, match="40 positions have"):
        opened().put(KEY, PARENT, IDS, bytes(FORM.payload_bytes(256)))


@pytest.mark.parametrize(("codec", "seal"), KINDS)
def test_every_flipped_bit_is_found_and_no_layer_behind_it_is_handed_out(
    codec: Deflate | None, seal: Tagged | None
) -> None:
    packing = PagePacking("f", FORM, codec, seal)
    sound = b"".join(packing.pack(KEY, PARENT, IDS, [memoryview(PAYLOAD)]).buffers)
    for at in [*range(700), *range(700, len(sound), 97), len(sound) - 1]:
        damaged = bytearray(sound)
        damaged[at] ^= 1 << at % 8
        file, layers = BytesIO(damaged), Layers()
        record = page_file.read_record(file)
        if at < HEADER_UNIT:
            assert isinstance(record, Torn), at
            continue
        assert isinstance(record, PageRecord)
        assert isinstance(packing.read(file, record, layers), Torn), at
        assert all(rows == PAYLOAD[2 * i * FRAME : 2 * (i + 1) * FRAME] for i, rows in layers.taken)
        assert len(layers.taken) == sum(at >= HEADER_UNIT + end for end in [*accumulate(record.frames)][1::2])


@pytest.mark.parametrize("at", [3, 17, 48, 200, 2000, HEADER_UNIT, HEADER_UNIT + 3 * FRAME, -1])
def test_a_damaged_page_is_dropped_and_can_be_put_again(opened: Opener, tmp_path: Path, at: int) -> None:
    store = opened()
    store.put(KEY, PARENT, IDS, PAYLOAD)
    damaged = bytearray(file_of(tmp_path).read_bytes())
    damaged[at] ^= 1
    file_of(tmp_path).write_bytes(damaged)
    assert len(store.check()) == 1
    assert reason(store.get(KEY, PARENT, IDS, Layers()))
    assert not store.has(KEY)
    store.put(KEY, PARENT, IDS, PAYLOAD)
    assert isinstance(store.get(KEY, PARENT, IDS, Layers()), Loaded)


@pytest.mark.parametrize("size", [0, 16, 100, HEADER_UNIT, HEADER_UNIT + FRAME, HEADER_UNIT + 6 * FRAME - 1])
def test_a_truncated_file_is_refused(opened: Opener, tmp_path: Path, size: int) -> None:
    store = opened()
    store.put(KEY, PARENT, IDS, PAYLOAD)
    os.truncate(file_of(tmp_path), size)
    assert "bytes" in reason(store.get(KEY, PARENT, IDS, Layers()))
    assert not store.has(KEY)


def test_a_file_that_shrinks_while_it_is_read_ends_one_page_and_not_the_process(
    opened: Opener, tmp_path: Path
) -> None:
    store = opened()
    store.put(KEY, PARENT, IDS, PAYLOAD)

    class Shrinking(Layers):
        def filled(self, layer: int) -> None:
            super().filled(layer)
            os.truncate(file_of(tmp_path), HEADER_UNIT + 100)

    layers = Shrinking()
    assert "ends" in reason(store.get(KEY, PARENT, IDS, layers))
    assert [layer for layer, _ in layers.taken] == [0]
    assert "bytes" in reason(store.get(KEY, PARENT, IDS))


def test_a_page_of_another_codec_or_key_is_refused_and_stays(opened: Opener) -> None:
    opened(Deflate()).put(KEY, PARENT, IDS, PAYLOAD)
    for codec in (None, Deflate("deflate-test-2")):
        store = opened(codec)
        assert "compressed by deflate-test-1" in reason(store.get(KEY, PARENT, IDS))
        assert store.has(KEY)
    plain = opened()
    plain.put(KEY, PARENT, IDS, PAYLOAD)
    assert isinstance(opened(Deflate()).get(KEY, PARENT, IDS), Loaded), "plain pages are read with a codec"
    sealed = opened(None, Tagged(b"one"))
    assert "not encrypted" in reason(sealed.get(KEY, PARENT, IDS))
    assert not sealed.has(KEY), "a plain page does not stay in an encrypted store"
    sealed.put(KEY, PARENT, IDS, PAYLOAD)
    for seal, why in ((None, "there is no key"), (Tagged(b"two"), "another key")):
        store = opened(None, seal)
        assert why in reason(store.get(KEY, PARENT, IDS))
        assert store.has(KEY)
    assert isinstance(opened(None, Tagged(b"one")).get(KEY, PARENT, IDS), Loaded)


def test_a_sealed_page_that_is_put_again_is_not_written_again(opened: Opener, tmp_path: Path) -> None:
    store = opened(Deflate(), Tagged(b"k"))
    store.put(KEY, PARENT, IDS, PAYLOAD)
    before = file_of(tmp_path).read_bytes()
    store.put(KEY, PARENT, IDS, PAYLOAD)
    assert file_of(tmp_path).read_bytes() == before
    assert PAYLOAD[:FRAME] not in before


def test_the_digest_comes_from_the_header_alone(opened: Opener, tmp_path: Path) -> None:
    store = opened()
    assert store.digest(KEY) is None
    store.put(KEY, PARENT, IDS, PAYLOAD)
    digest = store.digest(KEY)
    assert digest is not None and len(digest) == 32
    content = bytearray(file_of(tmp_path).read_bytes())
    content[-1] ^= 1
    file_of(tmp_path).write_bytes(content)
    assert store.digest(KEY) == digest
    content[70] ^= 1
    file_of(tmp_path).write_bytes(content)
    assert store.digest(KEY) is None
    store.put(KEY, PARENT, IDS, PAYLOAD[::-1])
    assert store.digest(KEY) not in (digest, None)


@pytest.mark.parametrize(("codec", "seal"), KINDS)
def test_a_file_goes_to_another_store_byte_for_byte(
    opened: Opener, codec: Deflate | None, seal: Tagged | None
) -> None:
    first = opened(codec, seal)
    first.put(KEY, PARENT, IDS, PAYLOAD)
    content, digest = first.read_file(KEY), first.digest(KEY)
    assert content is not None
    other = opened(codec, seal, name="other")
    for at in (9, 100, HEADER_UNIT, len(content) - 1):
        damaged = bytearray(content)
        damaged[at] ^= 4
        assert other.put_file(KEY, bytes(damaged)) is not None
        assert other.put_file(KEY, content[:at]) is not None
    assert other.put_file(PARENT, content) is not None and not other.has(PARENT)
    assert other.put_file(KEY, content) is None
    assert other.put_file(KEY, content) is None
    assert other.read_file(KEY) == content and other.digest(KEY) == digest
    found = other.get(KEY, PARENT, IDS)
    assert isinstance(found, Loaded) and found.payload == PAYLOAD


def test_a_damaged_page_is_not_given_away(opened: Opener, tmp_path: Path) -> None:
    store = opened()
    store.put(KEY, PARENT, IDS, PAYLOAD)
    content = bytearray(file_of(tmp_path).read_bytes())
    content[-1] ^= 1
    file_of(tmp_path).write_bytes(content)
    assert store.read_file(KEY) is None
    store.put(KEY, PARENT, IDS, PAYLOAD)


def test_a_page_of_another_format_is_refused_and_written_anew(opened: Opener, tmp_path: Path) -> None:
    store = opened()
    store.put(KEY, PARENT, IDS, PAYLOAD)
    other = bytearray(file_of(tmp_path).read_bytes())
    other[8] = 1
    file_of(tmp_path).write_bytes(other)
    assert "page format 1.0" in reason(store.get(KEY, PARENT, IDS, Layers()))
    assert store.digest(KEY) is None and store.read_file(KEY) is None
    store.put(KEY, PARENT, IDS, PAYLOAD)
    assert isinstance(store.get(KEY, PARENT, IDS), Loaded)


def test_neither_codec_nor_seal_without_a_form() -> None:
    for extra in ({"codec": Deflate()}, {"seal": Tagged(b"k")}):
        with pytest.raises(ValueError, match="without a form"):
            PagePacking("f", **extra)
