from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from langchain_core.documents import Document

from langchain_kvproxy import (
    KVPROXY_DOCUMENT,
    KVPROXY_ORDER,
    as_part,
    canonical,
    document_id,
    seam_safe,
    text_digest,
)
from langchain_kvproxy.documents import key_of, reference_of, unique

LEGAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}", re.ASCII)


def test_the_digest_is_the_sha256_that_the_proxy_gives_as_etag() -> None:
    assert text_digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (Document("x", metadata={KVPROXY_DOCUMENT: "handbook@3", "source": "s"}, id="i"), "handbook"),
        (Document("x", metadata={KVPROXY_DOCUMENT: "no name!", "source": "s"}, id="i"), "i"),
        (Document("x", metadata={"source": "s"}, id="i"), "i"),
        (Document("x", metadata={"source": "/srv/docs/../a.md"}), "srv/a.md"),
        (Document("x", metadata={"source": "docs/a.md"}), "docs/a.md"),
        (Document("x", metadata={"source": "./docs/a.md"}), "docs/a.md"),
        (Document("x", metadata={"source": "a.pdf", "page": 0}), "a.pdf/page-0"),
        (
            Document("x", metadata={"source": "a.pdf", "page": 2, "start_index": 40}),
            "a.pdf/page-2/start_index-40",
        ),
        (Document("x"), "doc-2d711642b726b044"),
        (Document("x", metadata={"source": " "}), "doc-2d711642b726b044"),
    ],
)
def test_id_comes_from_the_reference_then_the_document_then_its_source(
    document: Document, expected: str
) -> None:
    assert document_id(document) == expected
    assert LEGAL.fullmatch(document_id(document))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("/home/ada/team/docs/a.md", "docs/a.md"),
        ("/home/ada/a.md", "a.md"),
        ("/Users/ada/a.md", "a.md"),
        ("/a.md", "a.md"),
        ("C:\\Users\\ada\\docs\\a.md", "docs/a.md"),
        ("c:/Users/ada/a.md", "a.md"),
        ("\\\\server\\share\\docs\\a.md", "docs/a.md"),
        ("file:///home/ada/docs/a.md", "docs/a.md"),
        ("file:///C:/Users/ada/docs/a.md", "docs/a.md"),
        ("file://host/home/ada/docs/a.md", "docs/a.md"),
        ("docs//./x/../a.md", "docs/a.md"),
        ("../../docs/a.md", "docs/a.md"),
    ],
)
def test_an_id_tells_no_absolute_path_and_is_the_same_on_every_machine(source: str, expected: str) -> None:
    assert document_id(Document("x", metadata={"source": source})) == expected
    assert document_id(Document("x", id=source)) == expected, "nor does one that was given as an id"
    page = Document("x", metadata={"source": source, "page": 4})
    assert document_id(page) == f"{expected}/page-4"


def test_below_a_root_the_whole_path_is_told() -> None:
    document = Document("x", metadata={"source": "/home/ada/team/docs/a.md"})
    assert document_id(document, root="/home/ada/") == "team/docs/a.md"
    assert document_id(document, root=Path("/home/ada/team")) == "docs/a.md"
    assert document_id(document, root="/srv") == document_id(document, root="/home/ad") == "docs/a.md"


def test_an_address_keeps_its_host_and_loses_its_password() -> None:
    id = document_id(Document("x", metadata={"source": "https://ada:secret@example.com/docs/a.md"}))
    assert id.startswith("https-/example.com/docs/a.md-") and "secret" not in id


@pytest.mark.parametrize("name", ["a/../b", "a//b", "a/", "a/./b", "../a", "a/..@3", "a@0", "a@X", "a@"])
def test_what_no_proxy_publishes_is_no_reference(name: str) -> None:
    assert reference_of(Document("", metadata={KVPROXY_DOCUMENT: name})) is None


@pytest.mark.parametrize("blank", ["", " \n\t", "\ufeff", "\u3000\ufeff\n"])
def test_a_document_that_says_nothing_is_left_out(blank: str) -> None:
    page, none = Document(blank, metadata={"source": "scan.pdf", "page": 2}), Document.model_construct()
    none.page_content = None  # type: ignore[assignment]  # as a loader that skips validation makes it
    one, two = Document("Leave", id="a"), Document("Travel", id="b")
    assert canonical([page, two, none, one, page]) == [one, two]
    assert unique([page, none]) == []


@pytest.mark.parametrize(
    "name",
    [
        "报告一",
        "a b.md",
        "x" * 300,
        "https://h/p?q=1",
        "@",
        "..",
        "///",
        "-a",
        "Ä",
        "a@1",
        "a/?./b",
        "x/" * 90,
        "a/…/b",
        "x" * 119 + "/../y",
    ],
)
def test_any_name_becomes_a_legal_id_that_only_it_has(name: str) -> None:
    id = document_id(Document("x", metadata={"source": name}))
    assert LEGAL.fullmatch(id) and not {"", ".", ".."} & set(id.split("/"))
    others = ["报告二", "a-b.md", "x" * 301, "https://h/p?q=2", "@@", "a", "A", "a-1"]
    assert id not in {document_id(Document("x", metadata={"source": other})) for other in others}


def test_the_same_documents_in_any_order_are_one_list() -> None:
    known = Document("Leave", metadata={KVPROXY_DOCUMENT: "z@1"})
    documents = [Document("Leave", id="a"), known, Document("Travel", id="b"), Document("Travel", id="c")]
    lists = [canonical(order) for order in itertools.permutations(documents)]
    assert all(found == lists[0] for found in lists)
    assert [document_id(d) for d in lists[0]] == ["b", "z"]


def test_most_shared_first_then_by_id() -> None:
    a, b, c = (Document(f"text {id}", id=id) for id in "abc")
    assert canonical([a, b, c], {key_of(c): 2, key_of(b): 2}) == [b, c, a]


def test_a_retrievers_order_is_kept_behind_what_is_always_there() -> None:
    late = Document("1", id="z", metadata={KVPROXY_ORDER: 0})
    early = Document("2", id="a", metadata={KVPROXY_ORDER: 1})
    fixed = Document("3", id="q")
    assert canonical([early, fixed, late]) == [fixed, late, early]


def test_references_without_text_are_told_apart_and_join_their_text() -> None:
    one, two = (Document("", metadata={KVPROXY_DOCUMENT: name}) for name in ("one@1", "two@1"))
    full = Document("text", metadata={KVPROXY_DOCUMENT: "two@1"})
    assert unique([one, two, one]) == [one, two]
    assert canonical([two, one, full]) == [one, full]


def test_parts() -> None:
    both = Document("Leave.", metadata={KVPROXY_DOCUMENT: "handbook@3"})
    assert as_part(both) == {"type": "kv_document", "document": "handbook@3"}
    assert as_part(both, by="text") == {"type": "text", "text": "Leave.\nEnd of document\n"}
    assert as_part(Document("Leave", id="x")) == {"type": "text", "text": "Leave\n"}
    with pytest.raises(ValueError, match="by='reference'"):
        as_part(Document("", metadata={KVPROXY_DOCUMENT: "handbook"}), by="text")
    with pytest.raises(ValueError, match="neither text nor a reference"):
        as_part(Document(" "))
    with pytest.raises(ValueError, match="'name'"):
        as_part(both, by="name")  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    "text", ["a", "a.", "a\n\n", "\n\na.\n", "日本", "日本。", "1)", "</document>", "    a = 1", "é"]
)
def test_every_end_is_one_that_holds(text: str) -> None:
    safe = seam_safe(text)
    assert safe.endswith("\n") and safe[-2].isalnum()
    assert safe.startswith(text.rstrip()), "white space at the front is part of what was published"
    assert seam_safe(safe) == safe
