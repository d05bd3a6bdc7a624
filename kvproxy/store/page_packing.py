"""`PagePacking`: from a page's numbers to its file, and back: cut by layer, K and V, compressed, sealed, verified."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO

from kvproxy.codecs.page_codec import CodecFault, PageCodec
from kvproxy.core.page_form import PageForm
from kvproxy.core.page_seal import TOKEN_IDS, PageSeal, SealBroken
from kvproxy.store import page_file, page_record
from kvproxy.store.page_file import PageFile
from kvproxy.store.page_record import PageRecord, Torn
from kvproxy.store.page_results import Buffer, LayerRoom, Loaded, Rejected

NO_KEY = "it is encrypted, and there is no key for it in store.encryption_keys"


@dataclass(frozen=True, slots=True)
class PackedPage:
    """A page as its file will have it: the header, then the frames."""

    record: PageRecord
    buffers: tuple[bytes | memoryview, ...]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A page that may be sound and cannot be read here: another engine's, codec's or key's. Its file stays."""

    reason: str


@dataclass(frozen=True, slots=True)
class PagePacking:
    """The form of one engine's pages and what is done with them on their way to a file. Thread-safe.

    Without ``form`` a payload of any size is one frame; codec and seal need a form. ``codec`` encodes; pages of other
    codecs are read with what ``decoder`` returns for their names.
    """

    fingerprint: str
    form: PageForm | None = None
    codec: PageCodec | None = None
    seal: PageSeal | None = None
    decoder: Callable[[str], PageCodec | None] = field(default=lambda name: None, compare=False)

    def __post_init__(self) -> None:
        """Refuse a codec or a seal without a form: frames could not be told from one another. Raises ValueError."""
        if self.form is None and (self.codec or self.seal):
            raise ValueError("pages without a form can be neither compressed nor encrypted")

    def pack(
        self,
        key: bytes,
        parent: bytes,
        token_ids: Sequence[int],
        payload: Sequence[memoryview],
        *,
        compress: bool = True,
    ) -> PackedPage:
        """Return the page's file, compressed where there is a codec, unless ``compress`` is False.

        Plain frames are views of ``payload``, not copies.

        Raises ValueError for ids outside uint32, and for a payload that does not have the form's size.

        Example: ``packing.pack(key, parent_key, token_ids, [memoryview(pool.read(page))])``
        """
        codec = self.codec if compress else None
        frames: list[bytes | memoryview] = [*self._frames(payload, token_ids, codec)]
        if self.seal is not None:
            frames = [self.seal.seal(key, i, frame) for i, frame in enumerate(frames)]
        record = PageRecord(
            self.fingerprint,
            key,
            parent,
            () if self.seal else tuple(token_ids),
            frames=tuple(map(len, frames)),
            digests=tuple(map(page_record.frame_digest, frames)),
            codec="" if codec is None else codec.name,
            sealed=self.seal is not None,
            sealed_ids=self._sealed_ids(key, token_ids),
            sealed_positions=len(token_ids) if self.seal else 0,
        )
        return PackedPage(record, (page_record.encode(record), *frames))

    def _frames(
        self, payload: Sequence[memoryview], token_ids: Sequence[int], codec: PageCodec | None
    ) -> Sequence[bytes | memoryview]:
        positions = len(token_ids)
        if self.form is None:
            return [payload[0] if len(payload) == 1 else b"".join(payload)]
        size, whole = self.form.frame_bytes(positions), sum(map(len, payload))
        if whole != self.form.payload_bytes(positions):
            raise ValueError(
                f"{positions} positions have {self.form.payload_bytes(positions)} bytes, not {whole}"
            )
        one = payload[0] if len(payload) == 1 else memoryview(b"".join(payload))
        if codec is not None:
            return codec.encode(one, token_ids)
        return [one[i * size : (i + 1) * size] for i in range(self.form.frames)]

    def mismatch(self, record: PageRecord, parent: bytes, token_ids: Sequence[int]) -> str | None:
        """Return the reason why a record is not the page that was asked for, of this engine; None when it is.

        Example: ``packing.mismatch(record, parent_key, token_ids)``
        """
        if record.fingerprint != self.fingerprint:
            return f"fingerprint {record.fingerprint[:16]}, this engine is {self.fingerprint[:16]}"
        if record.parent != parent:
            return "it continues another page"
        ids = self._token_ids(record)
        if isinstance(ids, str):
            return ids
        return None if ids == tuple(token_ids) else "it holds other token ids"

    def verify(self, key: bytes, content: bytes) -> PageRecord | Rejected:
        """Return the record of a page's whole file once all its checksums are right, or why it is not this page.

        Example: ``packing.verify(key, store.read_file(key))``
        """
        file = BytesIO(content)
        record = page_file.read_record(file)
        if isinstance(record, Torn):
            return Rejected(record.reason)
        if record.key != key or record.fingerprint != self.fingerprint:
            return Rejected("the file is another page's, or of another engine")
        result = self.read(file, record, None)
        return record if isinstance(result, Loaded) else Rejected(result.reason)

    def _sealed_ids(self, key: bytes, token_ids: Sequence[int]) -> bytes:
        if self.seal is None:
            return b""
        try:
            return self.seal.seal(key, TOKEN_IDS, page_record.pack_ids(token_ids))
        except struct.error as e:
            raise ValueError(f"a page record cannot hold this: {e}") from e

    def _token_ids(self, record: PageRecord) -> tuple[int, ...] | str:
        """Return a record's token ids, or the reason why they cannot be read."""
        if not record.sealed:
            return record.token_ids
        if self.seal is None:
            return NO_KEY
        try:
            ids = self.seal.open(record.key, TOKEN_IDS, record.sealed_ids)
        except SealBroken as e:
            return str(e)
        return (
            page_record.unpack_ids(ids)
            if len(ids) == 4 * record.positions
            else "its sealed token ids are none"
        )

    def read(
        self, file: PageFile, record: PageRecord, into: Buffer | LayerRoom | None
    ) -> Loaded | Torn | Unreadable:
        """Read the frames of a file behind its record, verify each, and decode them into ``into``.

        ``into``: a writable buffer, of which the front is used; a room for one layer after the other, which gets none
        of a page without a form; or None for new memory. Layers before a torn one are in it: a page counts whole.

        Example: ``packing.read(file, record, pool_page)``
        """
        if (refused := self._refusal(record)) is not None:
            return refused
        positions = record.positions
        plain = record.payload_bytes if self.form is None else self.form.payload_bytes(positions)
        into = None if self.form is None and not isinstance(into, bytes | bytearray | memoryview) else into
        if isinstance(into, bytes | bytearray | memoryview) or into is None:
            target = memoryview(bytearray(plain)) if into is None else page_file.flat(into)[0]
            if len(target) < plain:
                return Unreadable(f"a payload of {plain} bytes, at most {len(target)} were expected")
            torn = self._read_layers(file, record, _BufferRoom(target, plain // self._layers))
            return torn or Loaded(target[:plain])
        return self._read_layers(file, record, into) or Loaded(memoryview(b""))

    @property
    def _layers(self) -> int:
        return 1 if self.form is None else self.form.layers

    def _refusal(self, record: PageRecord) -> Torn | Unreadable | None:
        """Return the reason why these frames cannot be read here, or must not be.

        A page that is not encrypted is dropped where pages are: it would stay readable, and anybody could have made it.
        """
        if record.codec and self._codec_of(record) is None:
            return Unreadable(f"it is compressed by {record.codec}, which is not in use")
        if record.sealed and self.seal is None:
            return Unreadable(NO_KEY)
        if self.seal is not None and not record.sealed:
            return Torn("it is not encrypted, and the pages of this store are")
        if self.form is None:
            return None
        if self._fits(record, self.form):
            return None
        return Unreadable(f"{record.payload_bytes} bytes for {record.positions} positions, of another form")

    @staticmethod
    def _fits(record: PageRecord, form: PageForm) -> bool:
        positions, frames = record.positions, record.frames
        plain = not (record.codec or record.sealed)
        return len(frames) == form.frames and not (plain and set(frames) != {form.frame_bytes(positions)})

    def _codec_of(self, record: PageRecord) -> PageCodec | None:
        own = self.codec
        return own if own is not None and own.name == record.codec else self.decoder(record.codec)

    def _read_layers(self, file: PageFile, record: PageRecord, room: LayerRoom) -> Torn | Unreadable | None:
        if self.form is None:
            return page_file.read_frames(file, record, 0, room.room(0, record.payload_bytes))
        size = self.form.frame_bytes(record.positions)
        stored = memoryview(bytearray(max(record.frames))) if record.codec or record.sealed else None
        coded = self._coded(record)
        if isinstance(coded, Unreadable):
            return coded
        for layer in range(self.form.layers):
            target = room.room(layer, 2 * size)
            torn: Torn | Unreadable | None
            if stored is None:
                torn = page_file.read_frames(file, record, 2 * layer, target)
            else:
                torn = self._unpack(file, record, 2 * layer, coded, stored, target[:size]) or self._unpack(
                    file, record, 2 * layer + 1, coded, stored, target[size:]
                )
            if torn:
                return torn
            room.filled(layer)
        return None

    def _coded(self, record: PageRecord) -> _Coded | Unreadable | None:
        """Return what a record's frames are decoded with; None where they are plain."""
        codec = self._codec_of(record) if record.codec else None
        if codec is None:
            return None
        ids = self._token_ids(record)
        return Unreadable(ids) if isinstance(ids, str) else _Coded(codec, ids)

    def _unpack(
        self,
        file: PageFile,
        record: PageRecord,
        index: int,
        coded: _Coded | None,
        stored: memoryview,
        target: memoryview,
    ) -> Torn | Unreadable | None:
        """Read one frame, open its seal and decode it into ``target``."""
        frame = stored[: record.frames[index]]
        if torn := page_file.read_frames(file, record, index, frame):
            return torn
        try:
            if record.sealed:
                assert self.seal is not None
                frame = memoryview(self.seal.open(record.key, index, frame))
            if coded is not None:
                coded.codec.decode(frame, index, coded.token_ids, target)
            elif len(frame) != len(target):
                return Torn(f"frame {index} has {len(frame)} bytes, not {len(target)}")
            else:
                target[:] = frame
        except SealBroken as e:
            return Unreadable(f"frame {index}: {e}")
        except CodecFault as e:
            return Torn(f"frame {index} cannot be decoded: {e}")
        return None


@dataclass(frozen=True, slots=True)
class _Coded:
    """The codec of a page's frames, and the token ids that they were encoded with."""

    codec: PageCodec
    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _BufferRoom:
    """A `LayerRoom` in one buffer: layers beside each other."""

    target: memoryview
    layer_bytes: int

    def room(self, layer: int, size: int) -> memoryview:
        return self.target[layer * self.layer_bytes :][:size]

    def filled(self, layer: int) -> None:
        pass


def rejected(result: Loaded | Torn | Unreadable) -> Loaded | Rejected:
    """Return what a reader of pages is told."""
    return result if isinstance(result, Loaded) else Rejected(result.reason)
