"""Manifests as hypothesis draws them, and one that is fixed."""

from __future__ import annotations

from hypothesis import strategies as st

from kvproxy.manifests.manifest import (
    Manifest,
    ManifestDocument,
    ManifestEngine,
    ManifestFraming,
    ManifestPage,
    ManifestPolicy,
    ManifestSource,
    ManifestVerified,
)

HEX = st.binary(min_size=32, max_size=32).map(bytes.hex)
NUMBERS = st.integers(0, 2**53 - 1)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}(/[A-Za-z0-9_-]{1,8})?", fullmatch=True)


@st.composite
def framings(draw: st.DrawFn) -> tuple[ManifestFraming, ...]:
    names = draw(st.lists(st.sampled_from(["system", "user", "text", "system:lf"]), min_size=1, unique=True))
    made = []
    for name in names:
        pages = draw(st.integers(1, 4))
        sizes = [256] * (pages - 1) + [draw(st.integers(1, 256))]
        made.append(
            ManifestFraming(
                name=name,
                tokens=sum(sizes),
                token_ids_sha256=draw(HEX),
                prefill_ms=draw(NUMBERS),
                pages=tuple(
                    ManifestPage(
                        draw(HEX),
                        size,
                        draw(st.none() | HEX),
                        draw(NUMBERS),
                        draw(st.sampled_from(["", "c"])),
                    )
                    for size in sizes
                ),
            )
        )
    return tuple(made)


TERMS = st.fixed_dictionaries(
    {
        "id": HEX,
        "currency": st.just("USD"),
        "kind": st.sampled_from(["free", "share", "fixed"]),
        "share_ppm": NUMBERS,
        "nano_per_1000": NUMBERS,
        "publisher_ppm": NUMBERS,
        "text_readers": st.just("discount"),
    }
)

MANIFESTS = st.builds(
    Manifest,
    host=TEXTS,
    signed_at=NUMBERS,
    document=st.builds(
        ManifestDocument,
        id=IDS,
        version=NUMBERS,
        etag=HEX,
        bytes=NUMBERS,
        characters=NUMBERS,
        tokens=NUMBERS,
        created=NUMBERS,
        publisher=TEXTS,
        origin=st.sampled_from(["published", "learned", "imported"]),
    ),
    policy=st.builds(
        ManifestPolicy,
        visibility=st.sampled_from(["public", "granted", "private"]),
        terms=st.none() | TERMS,
        licence=TEXTS,
    ),
    engine=st.builds(
        ManifestEngine,
        model=TEXTS,
        fingerprint=HEX,
        identity=st.dictionaries(TEXTS, TEXTS, max_size=8),
    ),
    page_tokens=st.just(256),
    framings=framings(),
    verified=st.none()
    | st.builds(
        ManifestVerified,
        at=NUMBERS,
        exact=st.booleans(),
        framings=NUMBERS,
        pages=NUMBERS,
        equal_pages=NUMBERS,
        positions=NUMBERS,
        equal_positions=NUMBERS,
        largest_difference=st.sampled_from(["", "0", "0.015625", "1e-05"]),
    ),
    source=st.none()
    | st.builds(
        ManifestSource,
        host=TEXTS,
        id=IDS,
        version=NUMBERS,
        manifest_sha256=HEX,
        pages=NUMBERS,
        checked=NUMBERS,
    ),
)
