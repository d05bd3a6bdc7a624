from __future__ import annotations

import re
import shlex
from html import unescape
from html.parser import HTMLParser

from kvproxy.server.openapi.docs_page import page
from kvproxy.server.openapi.docs_types import fields_table, type_html
from kvproxy.server.openapi.openapi_document import describe
from kvproxy.server.openapi.operations import OPERATIONS

DOCUMENT = describe(OPERATIONS, served_name="o'model")
PAGE = page(DOCUMENT)
VOID = {"meta", "br", "wbr"}


class Outline(HTMLParser):
    """Ids, links, and whether every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if name in ("href", "src") and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline() -> Outline:
    parsed = Outline()
    parsed.feed(PAGE)
    assert parsed.open == []
    return parsed


def test_every_link_leads_somewhere_and_nothing_is_loaded() -> None:
    found = outline()
    assert len(found.ids) == len(set(found.ids))
    assert {link for link in found.links if not link.startswith("#")} == {"/openapi.json"}
    assert {link[1:] for link in found.links if link.startswith("#")} <= set(found.ids)
    assert found.tags.isdisjoint({"script", "link", "img", "iframe"})
    assert "url(" not in PAGE and "@import" not in PAGE


def test_every_operation_is_there_with_its_fields() -> None:
    found = outline()
    for operation in OPERATIONS:
        assert operation.id in found.ids
        assert operation.summary in unescape(PAGE)
        begin = PAGE.index(f'<article id="{operation.id}">')
        article = PAGE[begin : PAGE.index("</article>", begin)]
        for field in operation.body.model_json_schema()["properties"] if operation.body else ():
            assert f"<code>{field}</code>" in article
        for parameter in operation.parameters:
            assert f"<code>{parameter.name}</code>" in article


def test_every_call_is_one_that_a_shell_understands() -> None:
    calls = [unescape(x) for x in re.findall("<pre>(curl.*?)</pre>", PAGE, re.S)]
    assert len(calls) == len(OPERATIONS)
    for call in calls:
        words = shlex.split(call)
        assert words[0] == "curl" and any(w.startswith("$KVPROXY_URL/") for w in words)
        assert "{" not in next(w for w in words if w.startswith("$KVPROXY_URL/"))
    assert any('"model": "o\'model"' in word for call in calls for word in shlex.split(call))


def test_types_are_told_in_words() -> None:
    nullable = {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 20}, {"type": "null"}]}
    assert type_html(nullable) == "integer, at least 1, at most 20 or null"
    assert (
        type_html({"type": "array", "items": {"type": "string", "minLength": 1}})
        == "array of string, not empty"
    )
    assert type_html({"$ref": "#/components/schemas/A"}) == '<a href="#type-A">A</a>'
    assert type_html({"enum": ["<a>", 1]}) == "<code>&lt;a&gt;</code> or <code>1</code>"
    table = fields_table({"properties": {"b": {}, "a": {"description": "`x` & y"}}, "required": ["a"]})
    assert table.index("<code>a</code>") < table.index("<code>b</code>")
    assert "<code>x</code> &amp; y" in table and table.count("required") == 2
