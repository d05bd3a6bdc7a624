"""Every template: escaped, without inline script or style, and with a label for each input."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from kvproxy.dashboard.template_rendering import TEMPLATES, dashboard_files

FILES = sorted(TEMPLATES.rglob("*.html"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_template_has_nothing_inline_and_no_trusted_text(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\sstyle=|\son[a-z]+=|javascript:|<script(?![^>]* src=)", text)
    assert "| safe" not in text and "|safe" not in text and "autoescape false" not in text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_form_that_acts_has_the_token(path: Path) -> None:
    for form in re.findall(
        r"<form[^>]*method=\"post\".*?</form>", path.read_text(encoding="utf-8"), re.DOTALL
    ):
        assert 'name="csrf"' in form or "csrf(layout)" in form


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_scrolls_can_be_reached_by_keyboard_and_has_a_name(path: Path) -> None:
    for box in re.findall(r'<div class="scroll"[^>]*>', path.read_text(encoding="utf-8")):
        assert 'tabindex="0"' in box and 'role="region"' in box and "aria-label" in box


def test_values_are_escaped_and_a_forgotten_one_is_an_error() -> None:
    files = dashboard_files()
    problem = {"status": 400, "title": "No", "message": "<b>&", "request_id": "r", "login": ""}
    assert "&lt;b&gt;&amp;" in files.render("fragments/problem.html", {"problem": problem})
    with pytest.raises(UndefinedError):
        files.render("fragments/problem.html", {})
