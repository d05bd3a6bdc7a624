"""Every URL that a page calls, and every ``METHOD /path`` that it names, is an operation of the server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvproxy.server.openapi.operations import OPERATIONS

from .pages import PAGES, Snippet, logical_lines, name_of, snippets

_NAMED = re.compile(r"\b(GET|POST|DELETE|PUT|PATCH) (/[\w/{}.@:-]*)")
_URL = re.compile(r"(?:https?://[\w.:-]+|\$\w+)(?P<path>/[\w/{}.@-]*)")


def route(path: str) -> re.Pattern[str]:
    """The paths of an operation: any segments stand for a parameter."""
    return re.compile("[^/]+(?:/[^/]+)*".join(re.escape(part) for part in re.split(r"\{[^}]+\}", path)))


ROUTES = [(operation.method, route(operation.path)) for operation in OPERATIONS]


def called(snippet: Snippet) -> Iterator[tuple[str, str]]:
    """The methods and paths of a snippet's ``curl`` calls and of the operations that it names."""
    for line in logical_lines(snippet.text):
        yield from _NAMED.findall(line)
        if re.match(r"curl\b", line) and (url := _URL.search(line)):
            method = re.search(r"-X (\w+)", line)
            posts = re.search(r" (-d|--data\S*|--json|-F)\b", line)
            yield (method[1] if method else "POST" if posts else "GET"), url["path"]


def served(method: str, path: str) -> bool:
    return any(m == method and known.fullmatch(path.rstrip("/") or "/") for m, known in ROUTES)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_paths_are_served(page: Path) -> None:
    absent = [
        f"{snippet.where}: {method} {path}"
        for snippet in snippets(page)
        for method, path in called(snippet)
        if not served(method, path)
    ]
    assert absent == []


def test_absent_paths_are_noticed() -> None:
    sample = Snippet(
        PAGES[0],
        1,
        "sh",
        "",
        "curl -s http://h:1/v1/modles\ncurl $U/v1/models -d '{}'\nGET /kv/v1/documents/ID",
    )
    assert list(called(sample)) == [
        ("GET", "/v1/modles"),
        ("POST", "/v1/models"),
        ("GET", "/kv/v1/documents/ID"),
    ]
    assert [served(*call) for call in called(sample)] == [False, False, True]
    found = [call for page in PAGES for snippet in snippets(page) for call in called(snippet)]
    assert len(found) > 50
