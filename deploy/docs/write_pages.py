"""Writes the generated pages of docs/, the generated parts of others, and the chart's copy of the alert rules:
``python -m deploy.docs.write_pages``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.docs.agent_settings import agent_pages
from deploy.docs.commands_page import commands_page
from deploy.docs.configuration_page import configuration_page
from deploy.docs.errors_page import errors_page
from deploy.docs.http_page import http_page

DEPLOY = Path(__file__).parents[1]
DOCS = DEPLOY.parent / "docs"

PAGES: Mapping[str, Callable[[], str]] = {
    "reference/commands.md": commands_page,
    "reference/configuration.md": configuration_page,
    "reference/errors.md": errors_page,
    "reference/http-api.md": http_page,
}
"""Whole pages by their path below docs/. Those of docs/misses.md, docs/metrics.md and docs/fields.md have generators in
kvproxy."""


def current_texts() -> dict[Path, str]:
    """Return the text that each generated file should have."""
    # A chart reads no file outside of its folder, and a link would not come along everywhere: so it has a copy.
    rules = (DEPLOY / "observability" / "alerts.yaml").read_text(encoding="utf-8")
    pages = {DOCS / path: page() for path, page in PAGES.items()}
    return {**pages, **agent_pages(), DEPLOY / "helm" / "kvproxy" / "alerts.yaml": rules}


if __name__ == "__main__":
    for path, text in current_texts().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
