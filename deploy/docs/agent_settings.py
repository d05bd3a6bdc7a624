"""The settings of each agent in the how-to pages, as ``kvproxy env`` prints them."""

from __future__ import annotations

import re
from pathlib import Path

from kvproxy.agents.launch import shell_lines
from kvproxy.agents.recipe import Door
from kvproxy.agents.recipes import RECIPES

AGENTS = Path(__file__).parents[2] / "docs" / "how-to" / "agents"

DOOR = Door("http://127.0.0.1:8321", "qwen3-4b", 40_960)
"""A proxy with the default settings, as the pages assume it."""

_BLOCK = re.compile(r"(?P<begin><!-- kvproxy env (?P<agent>[\w-]+) -->\n)[\s\S]*?(?P<end><!-- end -->)")


def with_settings(page: str) -> str:
    """Return a page with each block between ``<!-- kvproxy env NAME -->`` and ``<!-- end -->`` as it is printed now."""

    def block(match: re.Match[str]) -> str:
        printed = shell_lines(RECIPES[match["agent"]](DOOR))
        return f"{match['begin']}```sh\n{printed}```\n{match['end']}"

    return _BLOCK.sub(block, page)


def agent_pages() -> dict[Path, str]:
    """Return the current text of every how-to page of an agent."""
    return {path: with_settings(path.read_text(encoding="utf-8")) for path in sorted(AGENTS.glob("*.md"))}
