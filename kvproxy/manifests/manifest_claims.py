"""Claims of a manifest: the JSON that is signed, and its strict reading under bounds. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar, get_args

from kvproxy.core import Visibility
from kvproxy.documents.library.document import ID_PATTERN
from kvproxy.errors import SignatureRefused
from kvproxy.manifests.manifest import (
    FORMAT,
    Manifest,
    ManifestDocument,
    ManifestEngine,
    ManifestFraming,
    ManifestPage,
    ManifestPolicy,
    ManifestSource,
    ManifestVerified,
)

T = TypeVar("T")

MOST_FRAMINGS = 256
MOST_PAGES = 2**16
"""Pages of one framing: 16.7 million tokens."""
MOST_CHARACTERS = 8192
"""The longest text in a manifest."""
MOST_NUMBER = 2**53 - 1
"""The largest whole number that every reader of JSON has exactly."""

_HEX = re.compile(r"[0-9a-f]{64}")
_FRAMING = re.compile(r"[a-z0-9][a-z0-9:+_.-]{0,127}")
_DECIMAL = re.compile(r"[0-9]{1,40}(?:\.[0-9]{1,40})?(?:e[+-][0-9]{1,4})?|")
_TERMS = {"id", "currency", "kind", "share_ppm", "nano_per_1000", "publisher_ppm", "text_readers"}


def manifest_claims(manifest: Manifest) -> dict[str, Any]:
    """Return the claims of a manifest, which canonical JSON writes the same way every time.

    Example:
        ``keys.sign(manifest_claims(manifest), MANIFEST_TYP)``
    """
    claims = asdict(manifest)
    claims["iss"], claims["iat"] = claims.pop("host"), claims.pop("signed_at")
    return {"format": FORMAT, **claims}


def parse_manifest(claims: Mapping[str, Any]) -> Manifest:
    """Return the manifest that these claims are of. Raises SignatureRefused: it names what is wrong.

    Every member must be there, of its type and within its bounds, and no other: a host of a later version has another
    ``format``.
    """
    if claims.get("format") != FORMAT:
        raise SignatureRefused(
            f"This manifest is of the format {_quoted(claims.get('format'))}, and this host reads {FORMAT}; "
            "update kvproxy, or export the document from a host of this version."
        )
    told = _Told(claims, "manifest")
    told.text("format")
    manifest = Manifest(
        host=told.text("iss", most=255),
        signed_at=told.number("iat"),
        document=told.part("document", _document),
        policy=told.part("policy", _policy),
        engine=told.part("engine", _engine),
        page_tokens=told.number("page_tokens"),
        framings=told.parts("framings", _framing, MOST_FRAMINGS),
        verified=told.maybe("verified", _verified),
        source=told.maybe("source", _source),
    )
    told.end()
    names = [framing.name for framing in manifest.framings]
    if len(set(names)) != len(names):
        raise _refused("framings", "names one framing twice")
    for framing in manifest.framings:
        _check_pages(framing, manifest.page_tokens)
    return manifest


def _check_pages(framing: ManifestFraming, page_tokens: int) -> None:
    """Check that the pages of a framing are full but for the last, and hold its tokens."""
    *full, last = framing.pages
    if any(page.tokens != page_tokens for page in full) or not 0 < last.tokens <= page_tokens:
        raise _refused(f"framings.{framing.name}.pages", "has a page that is not full before its last one")
    if sum(page.tokens for page in framing.pages) > framing.tokens:
        raise _refused(f"framings.{framing.name}.pages", "has more tokens than its framing")


def _document(told: _Told) -> ManifestDocument:
    return ManifestDocument(
        id=told.text("id", re.compile(ID_PATTERN)),
        version=told.number("version"),
        etag=told.text("etag", _HEX),
        bytes=told.number("bytes"),
        characters=told.number("characters"),
        tokens=told.number("tokens"),
        created=told.number("created"),
        publisher=told.text("publisher", most=255),
        origin=told.one_of("origin", ("published", "learned", "imported")),
    )


def _policy(told: _Told) -> ManifestPolicy:
    visibility: Any = told.one_of("visibility", get_args(Visibility))
    return ManifestPolicy(visibility, told.maybe("terms", _terms), told.text("licence"))


def _terms(told: _Told) -> Mapping[str, str | int]:
    return {name: told.plain(name) for name in sorted(_TERMS)}


def _engine(told: _Told) -> ManifestEngine:
    return ManifestEngine(
        told.text("model", most=255), told.text("fingerprint", _HEX), told.texts("identity", 64)
    )


def _framing(told: _Told) -> ManifestFraming:
    return ManifestFraming(
        name=told.text("name", _FRAMING),
        tokens=told.number("tokens"),
        token_ids_sha256=told.text("token_ids_sha256", _HEX),
        prefill_ms=told.number("prefill_ms"),
        pages=told.parts("pages", _page, MOST_PAGES),
    )


def _page(told: _Told) -> ManifestPage:
    return ManifestPage(
        key=told.text("key", _HEX),
        tokens=told.number("tokens"),
        digest=told.maybe_text("digest", _HEX),
        bytes=told.number("bytes"),
        codec=told.text("codec", most=64),
    )


def _verified(told: _Told) -> ManifestVerified:
    return ManifestVerified(
        at=told.number("at"),
        exact=told.switch("exact"),
        framings=told.number("framings"),
        pages=told.number("pages"),
        equal_pages=told.number("equal_pages"),
        positions=told.number("positions"),
        equal_positions=told.number("equal_positions"),
        largest_difference=told.text("largest_difference", _DECIMAL),
    )


def _source(told: _Told) -> ManifestSource:
    return ManifestSource(
        host=told.text("host", most=255),
        id=told.text("id", re.compile(ID_PATTERN)),
        version=told.number("version"),
        manifest_sha256=told.text("manifest_sha256", _HEX),
        pages=told.number("pages"),
        checked=told.number("checked"),
    )


class _Told:
    """The members of one JSON object, each read once. Every method raises SignatureRefused."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, Mapping):
            raise _refused(where, "is no object")
        self._left, self._where = dict(value), where

    def take(self, name: str) -> object:
        """Return a member, which is then read."""
        if name not in self._left:
            raise _refused(self._at(name), "is missing")
        return self._left.pop(name)

    def maybe_text(self, name: str, pattern: re.Pattern[str]) -> str | None:
        """Return a text, or None for null."""
        if name in self._left and self._left[name] is None:
            del self._left[name]
            return None
        return self.text(name, pattern)

    def text(self, name: str, pattern: re.Pattern[str] | None = None, most: int = MOST_CHARACTERS) -> str:
        """Return a text of at most ``most`` characters that ``pattern`` matches as a whole."""
        value = self.take(name)
        if not isinstance(value, str) or len(value) > most:
            raise _refused(self._at(name), f"is no text of at most {most} characters")
        if pattern is not None and pattern.fullmatch(value) is None:
            raise _refused(self._at(name), f"is {_quoted(value)}, which it cannot be")
        return value

    def one_of(self, name: str, choices: tuple[str, ...]) -> str:
        """Return a text that is one of these."""
        value = self.text(name)
        if value not in choices:
            raise _refused(self._at(name), f"is {_quoted(value)}, and not one of {', '.join(choices)}")
        return value

    def number(self, name: str) -> int:
        """Return a whole number from 0 to MOST_NUMBER."""
        value = self.take(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_NUMBER:
            raise _refused(self._at(name), "is no whole number from 0 to 2^53 - 1")
        return value

    def plain(self, name: str) -> str | int:
        """Return a text or a whole number."""
        return self.number(name) if isinstance(self._left.get(name), int) else self.text(name)

    def switch(self, name: str) -> bool:
        """Return true or false."""
        value = self.take(name)
        if not isinstance(value, bool):
            raise _refused(self._at(name), "is neither true nor false")
        return value

    def texts(self, name: str, most: int) -> Mapping[str, str]:
        """Return an object of at most ``most`` texts."""
        told = _Told(self.take(name), self._at(name))
        if len(told._left) > most:
            raise _refused(self._at(name), f"has more than {most} members")
        return {member: told.text(member) for member in list(told._left)}

    def part(self, name: str, read: Callable[[_Told], T]) -> T:
        """Return an object, read as a whole."""
        return _whole(self.take(name), self._at(name), read)

    def maybe(self, name: str, read: Callable[[_Told], T]) -> T | None:
        """Return an object, or None for null."""
        value = self.take(name)
        return None if value is None else _whole(value, self._at(name), read)

    def parts(self, name: str, read: Callable[[_Told], T], most: int) -> tuple[T, ...]:
        """Return 1 to ``most`` objects."""
        value = self.take(name)
        if not isinstance(value, list) or not 0 < len(value) <= most:
            raise _refused(self._at(name), f"is no list of 1 to {most} objects")
        return tuple(_whole(one, f"{self._at(name)}[{at}]", read) for at, one in enumerate(value))

    def end(self) -> None:
        """Check that every member was read."""
        if self._left:
            raise _refused(self._at(min(self._left)), "is no member of a manifest")

    def _at(self, name: str) -> str:
        return f"{self._where}.{name[:64]}"


def _whole(value: object, where: str, read: Callable[[_Told], T]) -> T:
    told = _Told(value, where)
    result = read(told)
    told.end()
    return result


def _refused(where: str, what: str) -> SignatureRefused:
    return SignatureRefused(f"This is no manifest of {FORMAT}: {where} {what}.")


def _quoted(value: object) -> str:
    return repr(str(value)[:64])
