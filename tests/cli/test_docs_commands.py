from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kvproxy.cli.app import app
from tests.fake_proxy import FakeProxy, running


@pytest.fixture
def proxy() -> Iterator[FakeProxy]:
    with running() as proxy:
        yield proxy


def call(*arguments: str, stdin: str | bytes | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments), input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_documents_are_listed_shown_and_deleted(proxy: FakeProxy) -> None:
    assert "no documents" in call("docs", "list", "--url", proxy.url)[1]
    proxy.publish({"id": "handbook", "text": "one two"})
    assert "handbook@1" in call("docs", "list", "--url", proxy.url)[1]
    assert '"id": "handbook"' in call("docs", "list", "--json", "--url", proxy.url)[1]
    assert '"tokens": 2' in call("docs", "show", "handbook", "--url", proxy.url)[1]
    assert call("docs", "show", "handbook@1", "--text", "--url", proxy.url)[1] == "one two"
    assert call("docs", "delete", "handbook", "--url", proxy.url) == (0, "deleted handbook\n", "")
    assert proxy.documents == {}


def test_a_name_with_dots_deletes_no_other_document(proxy: FakeProxy, tmp_path: Path) -> None:
    file = tmp_path / "b.txt"
    file.write_text("one two", encoding="utf-8")
    assert call("publish", str(file), "--id", "team/b", "--url", proxy.url)[0] == 0
    for name in ("team/a/../b", "team/./b", "team//b", "x/../team/b", "./team/b", "team/b/", ".."):
        status, out, err = call("docs", "delete", name, "--url", proxy.url)
        assert (status, out) == (1, "") and err, name
        assert call("docs", "show", name, "--url", proxy.url)[0] == 1
    assert list(proxy.documents) == ["team/b"]
