"""`PageCodec`: what a page store knows of a lossless codec, and `CodecFault`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class CodecFault(Exception):
    """A frame that its codec cannot have made: damaged, cut short, or hostile. The page is lost, never wrong."""


class PageCodec(Protocol):
    """Protocol of a lossless codec for pages of one ``PageForm``. Methods may be called from any thread at once."""

    @property
    def name(self) -> str:
        """Name and version, kept in a page's header: frames of another name are never tried."""

    def encode(self, payload: memoryview, token_ids: Sequence[int]) -> list[bytes]:
        """Return a payload's frames in order: K0, V0, K1, V1 ... Raises ValueError for a payload of another size.

        Example: ``frames = codec.encode(memoryview(payload), token_ids)``
        """

    def decode(self, frame: memoryview, index: int, token_ids: Sequence[int], into: memoryview) -> None:
        """Decode frame ``index`` into memory of ``PageForm.frame_bytes(len(token_ids))`` bytes, to the bit.

        Nothing else is written and no memory follows a size that the frame names. The content of ``into`` is
        undefined when `CodecFault` is raised. Raises ValueError for ``into`` of another size.

        Example: ``codec.decode(frame, 0, token_ids, memoryview(bytearray(form.frame_bytes(256))))``
        """
