"""`DashboardFiles`: the templates, compiled once, and the static files; `dashboard_files` reads both."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from kvproxy import __version__
from kvproxy.dashboard.shown_values import FILTERS
from kvproxy.dashboard.static_files import StaticFiles

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class DashboardFiles:
    """Templates and static files in memory: rendering reads no file."""

    templates: Environment
    static: StaticFiles

    def render(self, template: str, shown: dict[str, Any]) -> str:
        """Return a template filled in; every value is escaped. Raises UndefinedError for a name that is not given.

        Example: ``files.render("overview.html", {"layout": layout, "overview": shown})``
        """
        return self.templates.get_template(template).render(shown)


@cache
def dashboard_files() -> DashboardFiles:
    """Return the files of this installation, read and compiled at the first call. Blocks then: call it in a thread."""
    static = StaticFiles.read()
    # StrictUndefined: a name that a view forgot is a test's failure, not a blank on the screen.
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(FILTERS)
    environment.globals.update(static_url=static.url, product_version=__version__)
    for name in environment.list_templates():
        environment.get_template(name)
    return DashboardFiles(environment, static)
