"""`CacheSalts`: the cache salt of each prompt, which decides whose prompts share blocks at a replica. Pure.

At vLLM and SGLang the salt enters the first block, and every later block's hash depends on it: a prompt has one salt.
So a public document cannot be shared while what follows it is private; `isolation` chooses between the two. Of a
question it may let others guess; of a document that others may not read, never.
"""

from __future__ import annotations

import base64
import hmac

from kvproxy.core import PUBLIC, Caller, Prompt
from kvproxy.core.callers import GRANTED, owner_of
from kvproxy.core.prompts import Span
from kvproxy.settings.fleet_settings import FleetIsolation

_LABEL = b"kvproxy fleet salt"


class CacheSalts:
    """Salts under the host's secret: whoever does not have it can make no prompt that shares another's blocks.

    43 characters of base64url each, which every replica takes: at most 128, without ``@``, ``/``, ``\\`` and NUL.
    """

    def __init__(self, secret: bytes, model: str, isolation: FleetIsolation = "shared") -> None:
        """Take the host's secret and the fleet's model.

        Example: ``CacheSalts(open_secret(folder), "qwen3-4b", "strict")``
        """
        self._secret = secret
        self._model = model
        self._isolation = isolation

    def of_prompt(self, prompt: Prompt, caller: Caller) -> str:
        """Return the salt of a prompt.

        Isolation ``shared``: the first document decides, where it stands under one of its published framings and all
        readers of it may read the others; else the tenant's. A request with a salt of its own has one that nobody else
        has, and shares no public document either. ``strict``: always the tenant's.
        """
        if caller.salt is not None:
            return self._made("salted", caller.scope, caller.salt)
        first = prompt.documents[0] if prompt.documents else None
        if first is None or first.scope is None or any(_narrower(span, first) for span in prompt.documents):
            return self.of_tenant(caller.scope)
        return self.of_scope(first.scope, caller.scope)

    def of_scope(self, scope: str, tenant: str) -> str:
        """Return the salt of a document's published prefixes, which ``scope`` names, as ``tenant`` reads them.

        Example: ``salts.of_scope(PUBLIC, caller.scope)``
        """
        if self._isolation == "shared" and scope == PUBLIC:
            return self._made("public")
        if self._isolation == "shared" and owner_of(scope) == GRANTED:
            return self._made("granted", scope)
        return self.of_tenant(tenant)

    def of_tenant(self, tenant: str) -> str:
        """Return the salt of a tenant's own prompts and private documents."""
        return self._made("tenant", tenant)

    def others(self, prompt: Prompt, caller: Caller) -> tuple[str, ...]:
        """Return the other salts that the same tokens of this caller may be cached under, of which the caller may know:
        everybody's, and its own without the request's salt. No other tenant's: that one would learn of its texts."""
        own = self.of_prompt(prompt, caller)
        known = [self.of_tenant(caller.scope)]
        known += [self.of_scope(span.scope, caller.scope) for span in prompt.documents[:1] if span.scope]
        if self._isolation == "shared":
            known.append(self._made("public"))
        return tuple(salt for salt in dict.fromkeys(known) if salt != own)

    def _made(self, *parts: str) -> str:
        """Return the salt of some parts, each behind its length, so that no two lists have the same bytes."""
        mac = hmac.new(self._secret, _LABEL, "sha256")
        for part in (self._model, *parts):
            data = part.encode("utf-8", "surrogateescape")
            mac.update(len(data).to_bytes(8, "big") + data)
        return base64.urlsafe_b64encode(mac.digest()).rstrip(b"=").decode()


def _narrower(span: Span, first: Span) -> bool:
    """Return whether some readers of the first document may not read another one of the same prompt: it is private, or
    granted, by which nobody is told who may read it, and not the first one once more. Only the first one has a scope:
    of the others their names tell."""
    return span.document.owner is not None and span.document != first.document
