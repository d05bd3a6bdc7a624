"""Cache hints of a request: OpenAI's fields, and Anthropic's mark on a body that may carry it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from kvproxy.core import CacheHints
from kvproxy.wire.bodies.cache_ttl import ttl_seconds
from kvproxy.wire.bodies.reuse_body import ReuseBody
from kvproxy.wire.bodies.strict import HintText, Strict

Salt = Annotated[str | None, Field(min_length=1, max_length=4096)]
"""A salt is a demand for isolation, so an invalid one is refused, unlike a hint."""


class CacheOptions(Strict):
    """Options of the prompt cache."""

    mode: Literal["implicit", "explicit"] | None = Field(
        default=None, description="explicit: keep nothing behind the last mark."
    )
    ttl: HintText = Field(
        default=None,
        description="5m, 1h or 24h: the prompt's pages give way last for so long, an hour by default at most.",
    )
    cache_salt: Salt = Field(default=None, description="Another place of cache_salt.")


class CacheBody(ReuseBody):
    """The prompt cache's fields in a request."""

    prompt_cache_key: HintText = Field(
        default=None, description="A hint where to send the request. It separates nothing: see cache_salt."
    )
    cache_salt: Salt = Field(
        default=None,
        description="Requests with different salts, or with none, share nothing but published documents.",
    )
    prompt_cache_options: CacheOptions | None = None
    prompt_cache_retention: HintText = Field(
        default=None, description="24h: as that ttl; in_memory: nothing."
    )

    def hints(self, *, retain: bool = True) -> CacheHints:
        """Return the hints. The salt in ``prompt_cache_options`` counts where the body itself has none, and its ttl
        before the body's retention."""
        options = self.prompt_cache_options
        salt = self.cache_salt or (options.cache_salt if options is not None else None)
        ttl = ttl_seconds(options.ttl) if options is not None else None
        return CacheHints(
            self.prompt_cache_key,
            salt,
            options is not None and options.mode == "explicit",
            retain,
            ttl_seconds(self.prompt_cache_retention) if ttl is None else ttl,
            reuse=self.reuse,
        )


class CacheControlled(Strict):
    """A body that ends a reusable prefix where it has Anthropic's ``cache_control``, a mark of any shape."""

    cache_control: Any = Field(default=None, description="A reusable prefix ends here. Any shape will do.")


class Markable(CacheControlled):
    """A body that may end a reusable prefix by either mark. A mark counts in any shape: its contents are a hint."""

    prompt_cache_breakpoint: Any = None

    @property
    def mark(self) -> bool:
        """Return whether a reusable prefix ends here."""
        return self.prompt_cache_breakpoint is not None or self.cache_control is not None
