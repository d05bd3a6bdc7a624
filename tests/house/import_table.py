"""The table of docs/architecture.md: which package may import which, as tests/test_imports.py holds it.

``python -m tests.house.import_table`` writes it into the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.test_imports import ALLOWED, HEAVY, SHARED, package

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
BEGIN, END = "<!-- imports: begin -->", "<!-- imports: end -->"


def levels(arrows: Mapping[str, set[str]]) -> dict[str, int]:
    """Return each package's level: 0 where it imports none, else one above the highest that it imports.

    Example: ``levels({"a": {"b"}, "b": set()})`` is ``{"b": 0, "a": 1}``.
    """
    found: dict[str, int] = {}
    while len(found) < len(arrows):
        ready = {n for n, others in arrows.items() if n not in found and others <= found.keys()}
        if not ready:
            raise ValueError(
                f"the packages import one another in a circle: {sorted(arrows.keys() - found.keys())}"
            )
        found |= {
            name: max((found[other] + 1 for other in arrows[name]), default=0) for name in sorted(ready)
        }
    return found


def import_table() -> str:
    """Return the table in Markdown, the highest level first."""
    libraries: dict[str, list[str]] = {name: [] for name in ALLOWED}
    for library, places in sorted(HEAVY.items()):
        for place in sorted(places):
            where = package(place)
            libraries[where].append(f"`{library}`" if where == place else f"`{library}` in `{place}`")
    level = levels(ALLOWED)
    lines = ["| level | package | may import | heavy libraries |", "| ---: | --- | --- | --- |"]
    for name in sorted(ALLOWED, key=lambda name: (-level[name], name)):
        imported = ", ".join(f"`{other}`" for other in sorted(ALLOWED[name]))
        lines.append(
            f"| {level[name]} | `{name or '__init__'}` | {imported} | {', '.join(libraries[name])} |"
        )
    shared = ", ".join(f"`{name}`" for name in sorted(SHARED))
    return "\n".join(
        [
            *lines,
            "",
            f"All may import {shared}. A heavy library belongs to a package with all below it, and to no other.",
        ]
    )


def with_table(page: str) -> str:
    """Return the page with the table between its marks replaced by the current one."""
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"docs/architecture.md has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{import_table()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
