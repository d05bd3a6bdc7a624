"""What a client says about keeping its prompt: OpenAI's fields, and Anthropic's mark where people send it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from kvproxy.core import CacheHints
from kvproxy.wire.strict import HintText, Strict


class CacheOptions(Strict):
    mode: Literal["implicit", "explicit"] | None = Field(
        default=None, description="explicit: keep nothing behind the last mark."
    )
    ttl: HintText = Field(default=None, description="Accepted; pages are kept as long as there is room.")


class CacheBody(Strict):
    prompt_cache_key: HintText = Field(
        default=None, description="Requests with different keys share nothing but published documents."
    )
    prompt_cache_options: CacheOptions | None = None
    prompt_cache_retention: HintText = Field(default=None, description="Accepted; see ttl.")

    def hints(self) -> CacheHints:
        options = self.prompt_cache_options
        return CacheHints(self.prompt_cache_key, options is not None and options.mode == "explicit")


class Markable(Strict):
    """What may end a reusable prefix. Marks count in any shape: what they say beside that is a hint."""

    prompt_cache_breakpoint: Any = None
    cache_control: Any = None

    @property
    def mark(self) -> bool:
        return self.prompt_cache_breakpoint is not None or self.cache_control is not None
