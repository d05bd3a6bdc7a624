"""`PageCodec`: what a page store knows of a lossless codec, and `CodecFault`."""

from __future__ import annotations

from typing import Protocol


class CodecFault(Exception):
    """A frame that its codec cannot have made: damaged, cut short, or hostile. The page is lost, never wrong."""


class PageCodec(Protocol):
    """Protocol of a lossless codec for pages of one ``PageForm``. Methods may be called from any thread at once."""

    @property
    def name(self) -> str:
        """Name and version, kept in a page's header: frames of another name are never tried."""

    def encode(self, payload: memoryview, positions: int) -> list[bytes]:
        """Return a payload's frames in order: K0, V0, K1, V1 ... Raises ValueError for a payload of another size.

        Example: ``frames = codec.encode(memoryview(payload), positions=256)``
        """

    def decode(self, frame: memoryview, index: int, positions: int, into: memoryview) -> None:
        """Decode frame ``index`` into memory of ``PageForm.frame_bytes(positions)`` bytes, to the bit.

        Nothing else is written and no memory follows a size that the frame names. The content of ``into`` is
        undefined when `CodecFault` is raised. Raises ValueError for ``into`` of another size.

        Example: ``codec.decode(frame, 0, 256, memoryview(bytearray(form.frame_bytes(256))))``
        """
