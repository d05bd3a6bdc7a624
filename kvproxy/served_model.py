"""`ServedModel`: one model whose KV is managed here, and `ServedModels`: those of one process, by their names.

A model's backend is the engine of this process or a fleet of replicas. Each model has tokens of its own, and with them
its own composer and library of published documents.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from kvproxy.backends.base import LocalBackend
from kvproxy.core import Caller, ChatRequest, Prompt, TextRequest
from kvproxy.core.requests import CacheHints
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.compose import Composer
from kvproxy.errors import ModelNotFound, NotReady, PermissionDenied


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model: who computes it, and how a request becomes its tokens.

    Example: ``ServedModel("qwen", fleet, composer, fleet.fingerprint)``
    """

    name: str
    """Its name in requests, which a request has once its aliases are resolved."""
    backend: LocalBackend
    composer: Composer
    fingerprint: str = ""
    """The fingerprint of the engine that answers, for receipts; empty where nothing is booked."""

    @classmethod
    def of(cls, backend: LocalBackend, composer: Composer) -> ServedModel:
        """Return the model of a backend, under the name that the backend gives it."""
        return cls(backend.info.model, backend, composer)

    @property
    def library(self) -> Library:
        """The published documents, as this model's tokens."""
        return self.composer.library

    @property
    def max_context(self) -> int:
        """Positions of prompt and answer together."""
        return self.backend.info.max_context

    def ready(self) -> LocalBackend:
        """Return the backend. Raises NotReady with the reason where no request would be served now."""
        if (reason := self.backend.ready()) is not None:
            raise NotReady(f"The model `{self.name}` is not ready: {reason}.")
        return self.backend

    def looking(self, reader: Caller, hints: CacheHints) -> Caller:
        """Return the caller that a prompt of ``reader`` with these hints is looked up for.

        At a fleet a prompt that retains nothing, or is to be computed from scratch, has a salt that is used once: it
        finds nothing there, and no lookup may promise that it does.

        Example: ``with model.backend.hold(prompt, model.looking(reader, request.cache)) as lookup: ...``
        """
        if not self.backend.info.fleet or (reader.retains(hints) and hints.reuse):
            return reader
        return replace(reader, salt=secrets.token_hex(16))

    async def compose(self, request: ChatRequest | TextRequest, caller: Caller) -> Prompt:
        """Compose the prompt that the backend would be sent; prompts of up to at least twice the context are counted.
        Raises the errors of ``Composer.compose``, and PermissionDenied for a prefill from scratch of a document that
        is read by a grant: its publisher is paid for reading its pages."""
        prompt = await self.composer.compose_async(request, caller, self.max_context)
        if prompt.confined and not request.cache.reuse:
            raise PermissionDenied(
                "A document that is read by a grant is read from its publisher's pages. Leave 'kv_reuse' out.",
                param="kv_reuse",
            )
        return prompt


class ServedModels:
    """The models of one process, each under its own name; the first is the primary, whose documents are published and
    whose pages are stored."""

    def __init__(self, models: Sequence[ServedModel]) -> None:
        """Take the models, the primary first; none where this process only forwards to other models."""
        self._models = {model.name: model for model in models}
        if len(self._models) != len(models):
            raise ValueError("two served models have one name")

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models.values())

    def __contains__(self, name: object) -> bool:
        return name in self._models

    @property
    def names(self) -> tuple[str, ...]:
        """The models' names, the primary's first."""
        return tuple(self._models)

    @property
    def primary(self) -> ServedModel:
        """The first model. Raises ModelNotFound where there is none."""
        if not self._models:
            raise ModelNotFound("local")
        return next(iter(self._models.values()))

    def named(self, name: str) -> ServedModel:
        """Return the model of this name. Raises ModelNotFound, with the names that there are."""
        if name not in self._models:
            raise ModelNotFound(name, self.names)
        return self._models[name]
