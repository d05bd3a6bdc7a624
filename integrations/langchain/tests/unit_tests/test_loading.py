from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager

from langchain_kvproxy import (
    KVPROXY_DOCUMENT,
    ProxyRefused,
    ProxyUnreachable,
    PublishCounts,
    apublish_documents,
    publish_documents,
)
from langchain_kvproxy._progress import ProgressLine

from .fake_documents import FakeProxy, refusal


class Folder(BaseLoader):
    def __init__(self, **texts: str) -> None:
        self.texts = texts

    def lazy_load(self) -> Iterator[Document]:
        for name, text in self.texts.items():
            yield Document(text, metadata={"source": name})


@pytest.fixture
def proxy() -> FakeProxy:
    return FakeProxy()


@pytest.fixture
def records() -> InMemoryRecordManager:
    records = InMemoryRecordManager(namespace="tests")
    records.create_schema()
    return records


def test_only_what_is_new_or_has_changed_is_sent(proxy: FakeProxy) -> None:
    first = publish_documents(Folder(a="one", b="two words", empty=" \n"), client=proxy.client)
    assert first == PublishCounts(added=2, skipped=1, tokens=3, references=("a@1", "b@1"))
    again = publish_documents(Folder(a="one", b="now three words", c="c"), client=proxy.client)
    assert again == PublishCounts(added=1, updated=1, skipped=1, tokens=4, references=("a@1", "b@2", "c@1"))
    assert proxy.asked("POST", "/kv/v1/documents") == 4 and proxy.asked("GET", "/kv/v1/documents") == 2
    assert str(again) == "1 added, 1 updated, 1 skipped; 4 tokens published"


async def test_async_takes_loaders_iterables_and_async_iterables(proxy: FakeProxy) -> None:
    async def documents() -> AsyncIterator[Document]:
        yield Document("three", id="c")

    assert (await apublish_documents(Folder(a="one"), client=proxy.client)).added == 1
    assert (await apublish_documents([Document("two", id="b")], client=proxy.client)).references == ("b@1",)
    assert (await apublish_documents(documents(), client=proxy.client)).added == 1
    assert (await apublish_documents(Folder(a="one"), client=proxy.client)).skipped == 1


def test_parts_of_one_source_are_numbered_and_stay_so(proxy: FakeProxy) -> None:
    def book(*parts: str) -> list[Document]:
        return [Document(part, metadata={"source": "book"}) for part in parts]

    assert publish_documents(book("x", "y", "x", "z"), client=proxy.client).references == (
        "book/part-1@1",
        "book/part-2@1",
        "book/part-3@1",
    )
    assert publish_documents(book("x", "new", "z"), client=proxy.client) == PublishCounts(
        updated=1, skipped=2, tokens=1, references=("book/part-1@1", "book/part-2@2", "book/part-3@1")
    )


def test_a_whole_file_and_its_parts_are_different_documents(proxy: FakeProxy) -> None:
    whole = Document("x y", metadata={"source": "/home/ada/docs/book.md"})
    parts = [Document(part, metadata=whole.metadata) for part in ("x", " ", "y")]
    assert publish_documents([whole], client=proxy.client).references == ("docs/book.md@1",)
    counts = publish_documents(parts, client=proxy.client)
    assert counts.references == ("docs/book.md/part-1@1", "docs/book.md/part-2@1")
    assert (counts.added, counts.updated, counts.skipped) == (2, 0, 1), "no part is a version of the whole"
    assert publish_documents([whole], client=proxy.client).skipped == 1


def test_one_name_in_two_folders_is_two_documents(proxy: FakeProxy) -> None:
    sources = ("/srv/one/docs/readme.md", "/srv/two/docs/readme.md")
    files = [Document(f"of {source}", metadata={"source": source}) for source in sources]
    first, second = publish_documents(files, client=proxy.client).references
    assert first == "docs/readme.md@1" and second.startswith("docs/readme.md-")
    assert publish_documents(files, client=proxy.client).skipped == 2
    rooted = publish_documents(files, client=proxy.client, root="/srv").references
    assert rooted == ("one/docs/readme.md@1", "two/docs/readme.md@1")


def test_parts_that_come_apart_are_told_apart_too(proxy: FakeProxy) -> None:
    book, other = {"source": "book"}, Document("o", metadata={"source": "other"})
    parts = [
        Document("x", metadata=book),
        other,
        Document("y", metadata=book),
        Document("z" * 3, id="i" * 128),
    ]
    parts.append(Document("twin", id="i" * 128))
    references = publish_documents(parts, client=proxy.client).references
    assert references[:3] == ("book@1", "other@1", "book/part-2@1")
    assert references[3:] == tuple("i" * 121 + f"/part-{n}@1" for n in (1, 2))


def test_a_reference_of_its_own_or_a_function_gives_the_id(proxy: FakeProxy) -> None:
    document = Document("text", metadata={KVPROXY_DOCUMENT: "handbook@7", "title": "leave"})
    assert publish_documents([document], client=proxy.client).references == ("handbook@1",)
    titled = publish_documents(
        [document], client=proxy.client, document_id=lambda d: str(d.metadata["title"])
    )
    assert titled.references == ("leave@1",)


def test_visibility_is_asked_for_and_a_wish_for_another_is_sent(proxy: FakeProxy) -> None:
    publish_documents(Folder(a="one"), client=proxy.client, visibility="private")
    assert proxy.documents["a"][0]["visibility"] == "private"
    publish_documents(Folder(a="one"), client=proxy.client, visibility="private")
    publish_documents(Folder(a="one"), client=proxy.client)
    assert proxy.asked("POST", "/kv/v1/documents") == 1
    publish_documents(Folder(a="one"), client=proxy.client, visibility="public")
    assert proxy.asked("POST", "/kv/v1/documents") == 2


def test_a_refusal_is_raised_or_logged(proxy: FakeProxy, caplog: pytest.LogCaptureFixture) -> None:
    proxy.refuses["a"] = refusal(400, "document_rejected")
    with pytest.raises(ProxyRefused, match="document_rejected happened"):
        publish_documents(Folder(a="one", b="two"), client=proxy.client)
    counts = publish_documents(Folder(a="one", b="two"), client=proxy.client, on_error="log")
    assert counts == PublishCounts(added=1, failed=1, tokens=1, references=("b@1",))
    assert "'a' was not published: document_rejected happened" in caplog.text


@pytest.mark.parametrize("on_error", ["raise", "log"])
async def test_no_proxy_is_always_raised_and_says_what_to_do(proxy: FakeProxy, on_error: str) -> None:
    proxy.fault = httpx.ConnectError("refused")
    with pytest.raises(ProxyUnreachable, match="kvproxy serve"):
        publish_documents(Folder(a="one"), client=proxy.client, on_error=on_error)  # type: ignore[arg-type]  # a double
    with pytest.raises(ProxyUnreachable, match="kvproxy serve"):
        await apublish_documents(Folder(a="one"), client=proxy.client, on_error=on_error)  # type: ignore[arg-type]  # a double


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_full_cleanup_deletes_what_was_recorded_and_is_gone(
    proxy: FakeProxy, records: InMemoryRecordManager, asynchronous: bool
) -> None:
    async def run(loader: Folder) -> PublishCounts:
        if asynchronous:
            return await apublish_documents(
                loader, client=proxy.client, record_manager=records, cleanup="full"
            )
        return publish_documents(loader, client=proxy.client, record_manager=records, cleanup="full")

    proxy.add("somebody-elses", "text")
    assert (await run(Folder(a="one", b="two", c="three"))).added == 3
    counts = await run(Folder(a="one", b="new"))
    assert (counts.skipped, counts.updated, counts.deleted) == (1, 1, 2)
    left = {id: [v["version"] for v in versions] for id, versions in proxy.documents.items() if versions}
    assert left == {"somebody-elses": [1], "a": [1], "b": [2]}
    assert (await run(Folder(a="one", b="new"))).deleted == 0
    assert len(records.list_keys()) == 2


def test_incremental_cleanup_deletes_older_versions_only(
    proxy: FakeProxy, records: InMemoryRecordManager
) -> None:
    def run(loader: Folder) -> PublishCounts:
        return publish_documents(loader, client=proxy.client, record_manager=records, cleanup="incremental")

    run(Folder(a="one", b="two"))
    assert run(Folder()).deleted == 0
    assert run(Folder(a="new")).deleted == 1
    assert [v["version"] for v in proxy.documents["a"]] == [2] and len(proxy.documents["b"]) == 1


def test_a_refused_update_leaves_the_version_before_it(
    proxy: FakeProxy, records: InMemoryRecordManager
) -> None:
    publish_documents(Folder(a="one"), client=proxy.client, record_manager=records)
    proxy.refuses["a"] = refusal(400, "document_rejected")
    counts = publish_documents(
        Folder(a="too long"), client=proxy.client, record_manager=records, cleanup="full", on_error="log"
    )
    assert (counts.failed, counts.deleted) == (1, 0) and len(proxy.documents["a"]) == 1


def test_a_proxy_that_lost_its_documents_gets_them_again(
    proxy: FakeProxy, records: InMemoryRecordManager
) -> None:
    for _ in range(2):
        counts = publish_documents(
            Folder(a="one"), client=proxy.client, record_manager=records, cleanup="full"
        )
        assert counts.added == 1
        proxy.documents.clear()


def test_cleanup_needs_to_know_what_was_published(proxy: FakeProxy) -> None:
    with pytest.raises(ValueError, match="record_manager"):
        publish_documents([], client=proxy.client, cleanup="full")
    with pytest.raises(ValueError, match="'incremental', 'full'"):
        publish_documents([], client=proxy.client, cleanup="all")  # type: ignore[arg-type]  # wrong on purpose


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_on_a_terminal_and_one_a_document_elsewhere(
    proxy: FakeProxy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_documents([Document("one", id="a")], client=proxy.client, progress=True)
    assert (
        capsys.readouterr().err
        == "[1/1] a: added, 1 tokens\n1 added, 0 updated, 0 skipped; 1 tokens published\n"
    )
    publish_documents([Document("one", id="a")], client=proxy.client)
    assert capsys.readouterr().err == "", "no terminal"
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    publish_documents(Folder(b="two"), client=proxy.client)
    lines = terminal.getvalue().split("\r")
    assert lines[1].startswith("[1] b: 1 of 2 tokens") and lines[2].startswith("[1] b: added, 1 tokens")
    assert terminal.getvalue().count("\n") == 1


def test_a_long_line_is_overwritten_whole() -> None:
    terminal = Terminal()
    line = ProgressLine(2, terminal)
    line.document("x" * 200, "added")
    line.document("y", "added")
    assert max(map(len, terminal.getvalue().split("\r"))) == 100
    assert terminal.getvalue().endswith("[2/2] y: added".ljust(100))
