"""The format of a document's file: sections in a fixed order, with no names, no links and no compression of its own.

::

    magic    8   b"KVPXDOC1"
    section  4   tag
             8   length in bytes (little endian)
             ... content

    MANIFEST     the signed manifest, a compact JWS
    TEXT         the text's UTF-8 bytes, whose number and sha256 are in the manifest
    PAGE *       one page file each (``kvproxy/store/page_record.py``), in the manifest's order, each key once
    END          BLAKE3 over all bytes before this section

A reader knows from the manifest which sections must come and how long they may be; a section of another tag or length
is refused before its content is read. Nothing in the file becomes a path, and nothing is unpickled.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from kvproxy.manifests.manifest import Manifest, ManifestFraming, ManifestPage

MAGIC = b"KVPXDOC1"
MANIFEST, TEXT, PAGE, END = b"MANI", b"TEXT", b"PAGE", b"END\n"

END_BYTES = 32

MEDIA_TYPE = "application/octet-stream"

SUFFIX = ".kvdoc"

_HEAD = struct.Struct("<4sQ")
HEAD_BYTES = _HEAD.size


def section_head(tag: bytes, length: int) -> bytes:
    """Return the head of a section."""
    return _HEAD.pack(tag, length)


def parse_head(head: bytes) -> tuple[bytes, int]:
    """Return the tag and the length in a head of HEAD_BYTES bytes."""
    tag, length = _HEAD.unpack(head)
    return tag, length


def travelling_pages(manifest: Manifest) -> Iterator[tuple[ManifestFraming, int, ManifestPage]]:
    """Yield the pages in the order of their sections, with the first framing that each belongs to and its index there.

    Spellings of one text can begin with the same pages, which travel once.

    Example:
        ``for framing, index, page in travelling_pages(manifest): ...``
    """
    seen: set[str] = set()
    for framing in manifest.framings:
        for index, page in enumerate(framing.pages):
            if page.key not in seen:
                seen.add(page.key)
                yield framing, index, page
