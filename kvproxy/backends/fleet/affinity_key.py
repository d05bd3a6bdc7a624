"""`affinity_key`: what a prompt is placed by, equal in every proxy and for publishing and reading. Pure.

`shared_beginning`: what a prompt under way has in common with others for sure, which is another thing: a key may be
that of a document that stands behind other text in each prompt, and a conversation's first tokens are those of many.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from kvproxy.core import Prompt

_BEGINNING = 256
"""Tokens that a prompt without a document is placed by: a conversation keeps them from turn to turn."""


_MOST_SHARED = 1 << 15
"""Tokens of a document behind a preamble of its own that are promised while it is computed: a published prefix's digest
is remembered, and this one is made for each request, in half a millisecond at most."""


def prefix_key(token_ids: Sequence[int], salt: str) -> str:
    """Return the key of a published prefix under its salt. It is made of the tokens and not of the document's name:
    publishing sees nothing else, and each framing of a document has blocks of its own.

    Example: ``prefix_key(kept.token_ids, salts.of_scope(scope, tenant))``
    """
    return _key("doc", _digest(token_ids), salt)


def affinity_key(prompt: Prompt, salt: str) -> str:
    """Return the key of a prompt, up to 40 characters that a header may hold: its longest published prefix, else its
    document's name, else its first tokens.

    Example: ``headers["x-session-id"] = affinity_key(prompt, salt)``
    """
    known = prompt.known
    if known is not None:
        ids = prompt.token_ids
        digest = known.keys.of(b"fleet", lambda: (_digest(ids[: known.tokens]),))[0]
        return _key("doc", digest, salt)
    if prompt.documents:
        return _key("text", prompt.documents[0].document.name.encode("utf-8", "surrogatepass"), salt)
    return _key("talk", _digest(prompt.token_ids[:_BEGINNING]), salt)


@dataclass(frozen=True, slots=True)
class SharedBeginning:
    """The first ``tokens`` positions of a prompt, by a key that no prompt with another beginning has."""

    key: str
    tokens: int


def shared_beginning(prompt: Prompt, salt: str) -> SharedBeginning:
    """Return what others read of a prompt while it is computed: its published prefix, else the text to its first
    document's end, else the tokens that it is placed by.

    Example: ``pending.begin(shared.key, name, shared.tokens)``
    """
    if prompt.known is not None:
        return SharedBeginning(f"{affinity_key(prompt, salt)} {salt}", prompt.known.tokens)
    end = prompt.documents[0].end if prompt.documents else _BEGINNING
    ids = prompt.token_ids[: min(end, _MOST_SHARED)]
    return SharedBeginning(f"{_key('talk', _digest(ids), salt)} {salt}", len(ids))


def _digest(token_ids: Sequence[int]) -> bytes:
    return hashlib.sha256(array("Q", token_ids).tobytes()).digest()


def _key(kind: str, what: bytes, salt: str) -> str:
    # The salt keeps an operator of replicas or routers from trying likely texts.
    return f"{kind}-{hashlib.blake2b(what, key=salt.encode()[:64], digest_size=16).hexdigest()}"
