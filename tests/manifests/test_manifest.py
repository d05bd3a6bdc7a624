from __future__ import annotations

import hashlib
import struct

from hypothesis import given
from hypothesis import strategies as st

from kvproxy.manifests.manifest import Manifest, changed_identity, manifest_sha256, token_ids_sha256
from tests.manifests.manifest_values import MANIFESTS


@given(st.lists(st.integers(0, 2**32 - 1), max_size=40))
def test_token_ids_are_hashed_as_little_endian_numbers(token_ids: list[int]) -> None:
    packed = struct.pack(f"<{len(token_ids)}I", *token_ids)
    assert token_ids_sha256(token_ids) == hashlib.sha256(packed).hexdigest()


@given(MANIFESTS)
def test_pages_without_a_digest_have_none(manifest: Manifest) -> None:
    pages = [page for framing in manifest.framings for page in framing.pages]
    assert set(manifest.digests) == {page.key for page in pages if page.digest is not None}


def test_engines_differ_in_named_parts() -> None:
    assert changed_identity({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": ""}) == ["b", "c"]
    assert changed_identity({"a": "1"}, {"a": "1"}) == []


def test_a_manifest_is_named_by_its_signed_text() -> None:
    assert manifest_sha256("a.b.c") == hashlib.sha256(b"a.b.c").hexdigest()
