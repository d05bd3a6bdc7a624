"""Writes the generated pages of docs/, and the generated parts of others: ``python -m deploy.docs.write_pages``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.docs.agent_settings import agent_pages
from deploy.docs.commands_page import commands_page
from deploy.docs.configuration_page import configuration_page
from deploy.docs.errors_page import errors_page
from deploy.docs.http_page import http_page

DOCS = Path(__file__).parents[2] / "docs"

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
    return {**{DOCS / path: page() for path, page in PAGES.items()}, **agent_pages()}


if __name__ == "__main__":
    for path, text in current_texts().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
