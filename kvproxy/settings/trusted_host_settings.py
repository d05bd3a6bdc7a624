"""Section `documents.trusted_hosts`: hosts whose exported documents may be imported with their pages."""

from __future__ import annotations

from pydantic import Field

from kvproxy.settings.section import Section


class TrustedHostSettings(Section):
    """A host whose manifests are believed, and where its keys are."""

    name: str = Field(min_length=1, max_length=255)
    """The name that it signs as: its ``host.name``."""
    jwks: str = Field(min_length=1)
    """Its JWKS: a file, relative to the working folder, or a URL such as
    ``https://kv.example/.well-known/kvproxy.json``."""
