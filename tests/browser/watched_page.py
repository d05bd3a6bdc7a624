"""`WatchedPage`: a page in Chromium that remembers everything a browser complains about while a test uses it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request, Response

_TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  window.tellViolation(`${event.effectiveDirective}: ${event.blockedURI} ${event.sample}`));
"""

WIDTHS = (390, 1400)
"""Of a telephone and of a desk's screen, in pixels."""

GRAVE = ("serious", "critical")
"""axe's impacts that no view may have."""

_OVERFLOW = """async () => {
  for (let frame = 0; frame < 2; frame += 1) await new Promise(requestAnimationFrame);
  return document.documentElement.scrollWidth - document.documentElement.clientWidth;
}"""
"""Charts take a window's new width in the frame after it changed."""


@dataclass
class WatchedPage:
    """A tab, and what went wrong in it: console, exceptions, requests, and violations of the policy."""

    page: Page
    refused: frozenset[tuple[int, str]] = frozenset()
    """Statuses and paths of answers that the test provokes, which Chromium notes as errors."""
    problems: list[str] = field(default_factory=list)

    async def watch(self) -> None:
        """Begin; before the first page is loaded."""
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.problems.append(f"exception: {error}"))
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._answered)
        await self.page.expose_function("tellViolation", lambda told: self.problems.append(f"policy: {told}"))
        await self.page.add_init_script(_TELL_VIOLATIONS)

    async def grave_findings(self) -> list[str]:
        """Return what axe-core finds serious or critical, by all of its rules: a line for each element."""
        found = await Axe().run(self.page, options={"resultTypes": ["violations"]})
        return [
            f"{rule['impact']} {rule['id']}: {' '.join(map(str, node['target']))} | {node['failureSummary']}"
            for rule in found.response["violations"]
            for node in rule["nodes"]
            if (node["impact"] or rule["impact"]) in GRAVE
        ]

    async def overflow(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        wider: int = await self.page.evaluate(_OVERFLOW)
        return wider

    def _console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        path = urlsplit(message.location.get("url", "")).path
        if any(path == of and f"status of {status}" in message.text for status, of in self.refused):
            return
        self.problems.append(f"console {message.type}: {message.text} ({path})")

    def _failed(self, request: Request) -> None:
        # Given up because the page was left, as the stream of live figures always is, was stopped, or is a download.
        if request.failure == "net::ERR_ABORTED":
            return
        self.problems.append(f"failed: {request.method} {request.url} {request.failure}")

    def _answered(self, response: Response) -> None:
        path = urlsplit(response.url).path
        if response.status >= 400 and (response.status, path) not in self.refused:
            self.problems.append(f"status {response.status}: {response.request.method} {path}")


async def new_page(context: BrowserContext, refused: Iterable[tuple[int, str]] = ()) -> WatchedPage:
    """Open a tab that is watched.

    Example: ``watched = await new_page(context, [(404, "/ui/nowhere")])``
    """
    watched = WatchedPage(await context.new_page(), frozenset(refused))
    await watched.watch()
    return watched
