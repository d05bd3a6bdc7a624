"""`OpenModel`: a model whose KV is managed here, before it has a library: its backend, and the texts' side of it."""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.backends.base import LocalBackend
from kvproxy.catalog.host_description import HostedModel
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class OpenModel:
    """The local engine's model, or a fleet's."""

    name: str
    backend: LocalBackend
    tokenizer: Tokenizer
    template: ChatTemplate

    @property
    def fingerprint(self) -> str:
        """The digest of what its KV depends on, as its backend tells it."""
        return self.backend.info.fingerprint

    @property
    def hosted(self) -> HostedModel:
        """The model as the host describes it."""
        return HostedModel(self.name, self.fingerprint, self.backend.info.max_context)
