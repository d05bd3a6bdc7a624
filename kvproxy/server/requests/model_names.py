"""Model names: those of the served models, the config's aliases for them, and the spellings that clients send."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from aiohttp import web

from kvproxy.errors import ModelNotFound
from kvproxy.server.components import Components

_PROVIDERS = ("kvproxy", "openai", "anthropic", "hosted_vllm", "vllm", "litellm_proxy", "custom_openai")
"""Prefixes with which clients say how a model is reached; some send them along."""

_LONGEST = 256
"""Characters of a name that is compared with patterns."""

_WILD = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class ModelNames:
    """The names of all models. ``served``: each model's own, those whose KV is managed here first. ``aliases``: other
    names, and patterns of names, to names of ``served``."""

    served: tuple[str, ...]
    aliases: Mapping[str, str]

    def resolve(self, asked: str) -> str | None:
        """Return the served model that ``asked`` means, or None.

        A name as it is written comes before one in other letters' case, that before one without its provider, and
        all names before all patterns.
        """
        if asked in self.served:
            return asked
        spellings = list(_spellings(asked))
        names = self._names()
        for spelling in spellings:
            if spelling in names:
                return names[spelling]
        patterns = [(alias.casefold(), model) for alias, model in self.aliases.items() if _wild(alias)]
        for pattern, model in patterns:
            if any(fnmatchcase(spelling[:_LONGEST], pattern) for spelling in spellings):
                return model
        return None

    def listed(self) -> tuple[str, ...]:
        """Return the names for lists of models: all but the patterns."""
        return (*self.served, *(alias for alias in self.aliases if not _wild(alias)))

    def _names(self) -> dict[str, str]:
        """Return the case-folded names. Of two models that differ in case alone the first counts."""
        names = {alias.casefold(): model for alias, model in self.aliases.items() if not _wild(alias)}
        return names | {name.casefold(): name for name in reversed(self.served)}


MODEL_NAMES = web.AppKey("MODEL_NAMES", ModelNames)


def model_names(components: Components) -> ModelNames:
    """Return the names of the served models, of the upstreams, and the config's aliases."""
    served = tuple(dict.fromkeys((*components.served_names, *components.pipeline.upstreams())))
    return ModelNames(served, components.aliases)


def default_model(components: Components) -> str | None:
    """Return the model of a request that names none: the primary; None where no model is served here."""
    return next(iter(components.served_names), None)


def resolve_model(request: web.Request, asked: str) -> str:
    """Return the served model that ``asked`` means. Raises ModelNotFound."""
    names = request.app[MODEL_NAMES]
    model = names.resolve(asked)
    if model is None:
        raise ModelNotFound(asked, names.listed())
    return model


def _spellings(asked: str) -> Iterable[str]:
    name = asked.strip().casefold()
    yield name
    provider, _, rest = name.partition("/")
    if rest and provider in _PROVIDERS:
        yield rest


def _wild(alias: str) -> bool:
    return not _WILD.isdisjoint(alias)
