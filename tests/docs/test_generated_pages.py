"""The generated pages are those that the code would write now, and complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.docs.agent_settings import AGENTS, agent_pages
from deploy.docs.commands_page import all_commands, commands_page
from deploy.docs.configuration_page import configuration_page
from deploy.docs.errors_page import errors_page, shown_errors
from deploy.docs.http_page import http_page
from deploy.docs.setting_rows import setting_rows
from deploy.docs.write_pages import current_texts
from kvproxy.agents.recipes import RECIPES
from kvproxy.server.openapi.operations import OPERATIONS

from .pages import ROOT, name_of

CURRENT = current_texts()


@pytest.mark.parametrize("path", sorted(CURRENT), ids=name_of)
def test_a_page_is_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == CURRENT[path], "run: python -m deploy.docs.write_pages"


def test_every_setting_has_a_type_and_a_line() -> None:
    rows = list(setting_rows())
    names = [row.name for row in rows]
    assert len(rows) > 120 and len(set(names)) == len(names)
    assert {"server.api_keys[].scopes", "fleets[].replicas[].url", "store.objects.url", "tariff"} <= set(
        names
    )
    assert [row.name for row in rows if not row.about or not row.kind or not row.default] == []
    shown = {row.name: (row.kind, row.default) for row in rows}
    assert shown["server.max_body"] == ("size", "`32MiB`")
    assert shown["engine.audit"] == ("number, from 0 to 1", "`0.0`")
    assert shown["model.threads"] == ("whole number or `null`, from 1", "`null`")
    assert shown["documents.framings"][1] == "`[{place: system}, {place: user}]`"
    assert all(f"| `{name}` |" in configuration_page() for name in names)


def test_every_command_is_there_with_its_options() -> None:
    page = commands_page()
    commands = dict(all_commands())
    assert {"kvproxy serve", "kvproxy docs show", "kvproxy bench cold"} <= set(commands)
    for name, command in commands.items():
        part = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert command.help and part, name
        for parameter in command.params:
            if parameter.param_type_name == "option" and not parameter.hidden:
                assert all(f"`{option}`" in part for option in parameter.opts), (name, parameter.opts)


def test_every_environment_variable_is_there() -> None:
    named = {
        name
        for path in (ROOT / "kvproxy").rglob("*.py")
        if path.relative_to(ROOT / "kvproxy").parts[0] not in ("bench", "fake_replica")
        for name in re.findall(r"KVPROXY_[A-Z_]+[A-Z]", path.read_text(encoding="utf-8"))
    } - {"KVPROXY_END"}
    page = commands_page()
    assert {name for name in named if f"| `{name}` |" not in page} == set()


def test_every_error_and_operation_is_there() -> None:
    page = errors_page()
    assert len(list(shown_errors())) > 30
    assert all(f"| `{kind.__name__}`: " in page for kind in shown_errors())
    again = "yes, after `Retry-After` |"
    assert f"| `engine_busy` | 429 | `rate_limit_error` | {again}" in page
    assert f"| `not_ready` | 503 | `server_error`; Anthropic's `overloaded_error`, 529 | {again}" in page
    api = http_page()
    assert all(f"\n### {operation.method} {operation.path}\n" in api for operation in OPERATIONS)


def test_every_agent_has_a_page_with_its_settings() -> None:
    texts = "".join(agent_pages().values())
    assert {name for name in RECIPES if f"<!-- kvproxy env {name} -->\n```sh\n" not in texts} == set()
    index = (AGENTS / "index.md").read_text(encoding="utf-8")
    assert all(f"({path.name})" in index for path in agent_pages() if path.name != "index.md")
