from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from kvproxy.errors import SignatureRefused
from kvproxy.manifests.manifest import Manifest
from kvproxy.manifests.manifest_claims import manifest_claims, parse_manifest
from kvproxy.receipts.canonical_jws import canonical
from tests.manifests.manifest_values import MANIFESTS

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all members."""
    found = [path] if path else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        found += places(one, (*path, name))
    return found


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


@settings(max_examples=100, deadline=None)
@given(MANIFESTS)
def test_a_manifest_comes_back_from_what_was_signed(manifest: Manifest) -> None:
    text = canonical(manifest_claims(manifest))
    assert parse_manifest(json.loads(text)) == manifest
    assert canonical(manifest_claims(parse_manifest(json.loads(text)))) == text


@settings(max_examples=300, deadline=None)
@given(MANIFESTS, st.data())
def test_no_member_can_be_left_out_or_be_something_else(manifest: Manifest, data: st.DataObject) -> None:
    """Every changed claim is refused, or is another manifest that says so."""
    claims = json.loads(canonical(manifest_claims(manifest)))
    path = data.draw(st.sampled_from(places(claims)))
    parent, name = at(claims, path[:-1]), path[-1]
    if isinstance(parent, dict) and data.draw(st.booleans()):
        del parent[name]
        if path[:-1] != ("engine", "identity"):
            with pytest.raises(SignatureRefused):
                parse_manifest(claims)
        return
    parent[name] = data.draw(ANYTHING)
    try:
        parsed = parse_manifest(claims)
    except SignatureRefused as e:
        assert len(e.message) < 1000
        return
    assert json.loads(canonical(manifest_claims(parsed))) == json.loads(json.dumps(claims))


@settings(max_examples=200, deadline=None)
@given(ANYTHING)
def test_any_json_is_a_manifest_or_refused(value: Any) -> None:
    with pytest.raises(SignatureRefused):
        parse_manifest(value if isinstance(value, dict) else {"format": value})


def test_bounds_are_kept() -> None:
    manifest = json.loads(canonical(manifest_claims(find(MANIFESTS, lambda _: True))))
    page = manifest["framings"][0]["pages"][0]
    framing = {**manifest["framings"][0], "name": "system"}

    def refused(match: str, **changes: Any) -> None:
        with pytest.raises(SignatureRefused, match=match):
            parse_manifest({**manifest, **changes})

    refused("1 to 256", framings=[])
    refused("1 to 256", framings=[{**framing, "name": f"user-{n}"} for n in range(300)])
    refused("2\\^53", iat=2**53)
    refused("2\\^53", iat=True)
    refused("2\\^53", iat=1.0)
    refused("at most 255", iss="x" * 256)
    refused("1 to 65536", framings=[{**framing, "pages": [page] * (2**16 + 1)}])
    refused("not full", framings=[{**framing, "pages": [{**page, "tokens": 5}, {**page, "tokens": 6}]}])
    refused("more tokens", framings=[{**framing, "tokens": 1, "pages": [{**page, "tokens": 6}]}])
    refused("64 members", engine={**manifest["engine"], "identity": {str(n): "" for n in range(65)}})
