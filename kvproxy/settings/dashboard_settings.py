"""Settings of the dashboard, the pages in the browser."""

from __future__ import annotations

from pydantic import Field

from kvproxy.settings.section import Section


class DashboardSettings(Section):
    """Whether ``/ui`` is served, and the secret that seals its sessions."""

    enabled: bool = True
    secret: str | None = Field(default=None, min_length=16, repr=False)
    """None: a random one, so that people log in again after a restart, and at each of several proxies."""
