"""The names that models go by: their own, those of the config, and what clients make of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from kvproxy.server.components import Parts

_PROVIDERS = ("kvproxy", "openai", "anthropic", "hosted_vllm", "vllm", "litellm_proxy", "custom_openai")
"""Prefixes that clients put before a model's name to say how to reach it, and some forget to take away."""

_LONGEST = 256
"""Characters of a name that is compared with patterns."""

_WILD = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class ModelNames:
    """``served``: the models, the local one first. ``aliases``: other names, patterns too, to names of ``served``."""

    served: tuple[str, ...]
    aliases: Mapping[str, str]

    def resolve(self, asked: str) -> str | None:
        """The served model that ``asked`` means. A name as it is written comes before one in other letters' case,
        that before one without its provider, and all names before all patterns."""
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
        """The names that can be shown: every one that is no pattern."""
        return (*self.served, *(alias for alias in self.aliases if not _wild(alias)))

    def _names(self) -> dict[str, str]:
        """In one case. Of two models that differ in it alone the first counts."""
        names = {alias.casefold(): model for alias, model in self.aliases.items() if not _wild(alias)}
        return names | {name.casefold(): name for name in reversed(self.served)}


def model_names(parts: Parts) -> ModelNames:
    served = tuple(dict.fromkeys((parts.served_name, *parts.pipeline.upstreams())))
    return ModelNames(served, parts.aliases)


def _spellings(asked: str) -> Iterable[str]:
    name = asked.strip().casefold()
    yield name
    provider, _, rest = name.partition("/")
    if rest and provider in _PROVIDERS:
        yield rest


def _wild(alias: str) -> bool:
    return not _WILD.isdisjoint(alias)
