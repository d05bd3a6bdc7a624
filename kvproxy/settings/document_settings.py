"""`DocumentSettings`: published documents, where they are expected, and the defaults of publishing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from kvproxy.settings.byte_size import Bytes
from kvproxy.settings.quota_settings import QuotaSettings
from kvproxy.settings.section import Section
from kvproxy.settings.trusted_host_settings import TrustedHostSettings


class FramingSettings(Section):
    """An expected place of published documents, for which their pages are computed ahead of time."""

    place: Literal["system", "user", "text"] = "system"
    """At the head of the system message, of the first user message, or of a text completion's prompt."""
    system: str | None = None
    """For ``place: user``: the system prompt before it; None sends no system message."""

    @model_validator(mode="after")
    def _system_only_for_user(self) -> FramingSettings:
        if self.place != "user" and self.system is not None:
            raise ValueError("'system' goes with 'place: user' only")
        return self


class DocumentSettings(Section):
    """Published documents: the framings and spellings that are prefilled, and the defaults of publishing."""

    framings: tuple[FramingSettings, ...] = (FramingSettings(place="system"), FramingSettings(place="user"))
    default_visibility: Literal["public", "granted", "private"] = "public"
    max_text: Bytes = 8 * 2**20
    pin_share: float | None = Field(default=None, ge=0, le=1)
    """The part of the pages that documents may pin, half of the page budget, which one tenant may have. None: all
    where there is one API key or none, half where there are several."""
    spellings: Literal["auto", "exact"] = "auto"
    """``auto``: a text with a byte order mark, CR LF or leading white space is also prefilled in the spellings of
    programs that drop them; ``exact``: as published only."""
    quota: QuotaSettings = QuotaSettings()
    expiry_grace_s: float = Field(default=86_400.0, ge=0)
    """Seconds from the end of a version that was published with a time to live to its deletion. Until then its
    publisher can touch it."""
    trusted_hosts: tuple[TrustedHostSettings, ...] = ()
    """Hosts whose exports may be imported with their pages; this host's own always may."""
    import_check: float = Field(default=0.25, ge=0.0, le=1.0)
    """The share of an import's pages that is computed again before it is served: at least one page of each framing, and
    always the last; the rest follows in idle time. 1 computes all of them before, which takes a prefill."""
