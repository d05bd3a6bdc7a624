from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvproxy.document_files.file_sections import HEAD_BYTES, PAGE, parse_head, section_head, travelling_pages
from kvproxy.manifests.manifest import Manifest
from tests.manifests.manifest_values import MANIFESTS


@given(st.binary(min_size=4, max_size=4), st.integers(0, 2**64 - 1))
def test_heads_come_back(tag: bytes, length: int) -> None:
    head = section_head(tag, length)
    assert len(head) == HEAD_BYTES and parse_head(head) == (tag, length)


def test_the_layout_is_the_documented_one() -> None:
    assert section_head(PAGE, 258) == b"PAGE\x02\x01\x00\x00\x00\x00\x00\x00"


@given(MANIFESTS)
def test_each_page_travels_once_in_the_order_of_the_manifest(manifest: Manifest) -> None:
    first = manifest.framings[0]
    doubled = Manifest(
        **{
            **{name: getattr(manifest, name) for name in Manifest.__dataclass_fields__},
            "framings": (*manifest.framings, first),
        }
    )
    keys = [page.key for _, _, page in travelling_pages(doubled)]
    assert len(keys) == len(set(keys))
    assert keys == list(dict.fromkeys(p.key for f in manifest.framings for p in f.pages))
    for framing, index, page in travelling_pages(doubled):
        assert framing.pages[index] == page
