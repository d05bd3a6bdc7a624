"""Publishing, listing, showing and deleting, as an agent does it."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.mcp_server.root_folder import RootFolder
from tests.fake_proxy import FakeProxy, running
from tests.mcp_server.conftest import call, connected, refused


async def test_a_text_is_published_with_progress(proxy: FakeProxy) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    async with connected(proxy.url) as client:
        arguments = {"id": "team/handbook", "text": "one two\r\nthree ", "visibility": "private"}
        result = await client.call_tool("publish_document", arguments, progress_callback=hear)
    assert result.structured_content == {
        "document": {
            "reference": "team/handbook@1",
            "uri": "kv://team/handbook@1",
            "current": True,
            "visibility": "private",
            "characters": 15,
            "tokens": 3,
            "cached_tokens": 0,
            "pinned": False,
            "replicas": 0,
            "quarantined": None,
        },
        "created": True,
        "prefill_s": 1.5,
    }
    assert told == [(n, 4, f"{n} of 4 tokens") for n in (0, 2, 4)]
    assert proxy.documents["team/handbook"]["text"] == "one two\r\nthree "


async def test_what_is_not_given_is_not_sent(proxy: FakeProxy) -> None:
    async with connected(proxy.url) as client:
        published = await call(client, "publish_document", id="a", text="one")
        again = await call(client, "publish_document", id="a", text="one")
    assert published["document"]["visibility"] == "public"
    assert (published["created"], again["created"]) == (True, False)


async def test_documents_are_listed_and_shown(proxy: FakeProxy) -> None:
    proxy.publish({"id": "handbook", "text": "one two"})
    async with connected(proxy.url) as client:
        listed = await call(client, "list_documents")
        shown = await call(client, "show_document", id="handbook")
        whole = await call(client, "show_document", id="handbook@1", text=True)
    assert [d["reference"] for d in listed["documents"]] == ["handbook@1"]
    assert (shown["text"], whole["text"]) == (None, "one two")
    assert shown["document"] == listed["documents"][0]


async def test_deleting_is_offered_only_if_allowed(proxy: FakeProxy) -> None:
    proxy.publish({"id": "handbook", "text": "one two"})
    async with connected(proxy.url) as client:
        assert "delete_document" not in {tool.name for tool in (await client.list_tools()).tools}
        assert "Unknown tool" in await refused(client, "delete_document", id="handbook")
    assert proxy.documents
    async with connected(proxy.url, allow_delete=True) as client:
        [tool] = [tool for tool in (await client.list_tools()).tools if tool.name == "delete_document"]
        assert tool.annotations is not None and tool.annotations.destructive_hint
        assert await call(client, "delete_document", id="handbook") == {"deleted": "handbook"}
    assert proxy.documents == {}


async def test_every_tool_says_what_it_does_and_what_it_answers(proxy: FakeProxy) -> None:
    async with connected(proxy.url, allow_delete=True) as client:
        tools = (await client.list_tools()).tools
    names = {"publish_document", "list_documents", "show_document", "delete_document", "ask", "explain"}
    names |= {"search_catalog", "quote_read"}
    assert {tool.name for tool in tools} == names
    for tool in tools:
        assert tool.description and tool.output_schema and tool.annotations
        assert tool.annotations.destructive_hint is (tool.name == "delete_document") or (
            tool.annotations.read_only_hint
        )


@pytest.mark.parametrize(
    ("id", "text", "said"),
    [
        ("handbook", "", "the text is empty"),
        ("fails-late", "one", "the disk is full"),
        ("dies", "one", "without a result"),
        ("../other", "one", "should match pattern"),
    ],
)
async def test_a_refused_publish_is_told_in_the_proxys_words(
    proxy: FakeProxy, id: str, text: str, said: str
) -> None:
    async with connected(proxy.url) as client:
        told = await refused(client, "publish_document", id=id, text=text)
    assert said in told and "Traceback" not in told


async def test_a_wrong_key_and_no_proxy_are_told(proxy: FakeProxy) -> None:
    with running(keys=("right",)) as guarded:
        async with connected(guarded.url, api_key="wrong") as client:
            assert "Incorrect API key provided." in await refused(client, "list_documents")
        async with connected(guarded.url + "/v1", api_key="right") as client:
            assert await call(client, "list_documents") == {"documents": []}
    async with connected("http://127.0.0.1:9") as client:
        assert "no proxy answers at http://127.0.0.1:9; start one" in await refused(client, "list_documents")


async def test_files_are_published_only_from_the_given_folder(proxy: FakeProxy, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    root = tmp_path / "root"
    (root / "deep").mkdir(parents=True)
    (root / "deep" / "a.txt").write_bytes(b"\xef\xbb\xbfone two\r\n")
    (root / "out.txt").symlink_to(tmp_path / "secret.txt")
    (root / "round.txt").symlink_to(root / "round.txt")
    (root / "binary").write_bytes(b"ab\xff")
    async with connected(proxy.url, root=RootFolder(root)) as client:
        await call(client, "publish_document", id="a", file="deep/a.txt")
        for file in ("../secret.txt", "out.txt", str(tmp_path / "secret.txt"), "deep/../../secret.txt"):
            assert "not below the folder" in await refused(client, "publish_document", id="b", file=file)
        for file, said in (
            ("none.txt", "there is no file 'none.txt'"),
            ("deep", "there is no file 'deep'"),
            ("binary", "'binary' is not UTF-8 text (byte 2)"),
            ("round.txt", "'round.txt'"),
            ("a\0b", "cannot read"),
        ):
            assert said in await refused(client, "publish_document", id="b", file=file)
        for both in ({}, {"text": "x", "file": "deep/a.txt"}):
            assert "either 'text' or 'file'" in await refused(client, "publish_document", id="b", **both)
    assert {id: d["text"] for id, d in proxy.documents.items()} == {"a": "\ufeffone two\r\n"}


async def test_without_a_folder_there_is_no_file_argument(proxy: FakeProxy) -> None:
    async with connected(proxy.url) as client:
        [tool] = [tool for tool in (await client.list_tools()).tools if tool.name == "publish_document"]
        assert set(tool.input_schema["properties"]) == {"id", "text", "visibility", "pin"}
        assert "text" in await refused(client, "publish_document", id="a", file="/etc/hostname")
    assert proxy.documents == {}
