from __future__ import annotations

from dataclasses import replace

import pytest

from kvproxy.core import DocumentRef
from kvproxy.database.tables.document_tables import (
    DOCUMENT_ALIASES,
    DOCUMENT_PAGES,
    DOCUMENT_TEXTS,
    DOCUMENT_VERSIONS,
    DOCUMENTS,
)
from kvproxy.documents.registry.registry_rows import (
    DAMAGED,
    describe_loss,
    document_rows,
    pages_row,
    parse_document,
    parse_framing,
    parse_pages,
    row_fault,
    row_name,
    sealed,
    text_fault,
)
from tests.documents.registry.test_registry import document, framing


def test_rows_say_what_they_were_made_of() -> None:
    made = replace(document(), expires=99, origin="imported")
    version, text = document_rows(made, pinned=True)
    assert parse_document(version, text["text"]) == made and version["pinned"] == 1
    assert parse_framing(pages_row(made.ref, framing())) == framing()
    assert len(parse_pages(b"x" * 40)) == 1 and parse_pages(b"x" * 35) == (), "of a damaged one what is whole"


def test_a_change_of_any_column_is_a_fault() -> None:
    version, _ = document_rows(replace(document(), expires=99), pinned=False)
    pages = pages_row(DocumentRef("handbook", 1), framing())
    for table, row in ((DOCUMENT_VERSIONS, version), (DOCUMENT_PAGES, pages)):
        assert row_fault(table, row) is None
        for column, value in row.items():
            other = None if value is not None else 1
            assert row_fault(table, {**row, column: other}) == DAMAGED, column
    assert row_fault(DOCUMENTS, sealed(DOCUMENTS, {"name": "a", "last_version": 1})) is None
    as_text = sealed(DOCUMENTS, {"name": "a", "last_version": "1"})["digest"]
    assert row_fault(DOCUMENTS, {"name": "a", "last_version": 1, "digest": as_text}) == DAMAGED


def test_a_text_is_right_under_its_etag_alone() -> None:
    made = document()
    assert text_fault(made.text.encode(), made.etag) is None
    assert text_fault(made.text.encode() + b" ", made.etag) == "the text does not match its ETag"
    assert text_fault(None, made.etag) == "its text cannot be read"


@pytest.mark.parametrize(
    ("table", "row", "name", "told"),
    [
        (DOCUMENTS, {"name": "a"}, "a", "a has lost its row in documents: r"),
        (DOCUMENT_VERSIONS, {"name": "a\nx", "version": 2}, "a@2 of x", "a@2 of x is not served: r"),
        (DOCUMENT_TEXTS, {"name": "a", "version": 2}, "a@2", "a@2 is not served: r"),
        (
            DOCUMENT_PAGES,
            {"name": "a", "version": 2, "framing": "user"},
            "a@2 (user)",
            "a@2 (user) is prefilled again: r",
        ),
        (
            DOCUMENT_ALIASES,
            {"name": "a", "alias": "stable", "version": 2},
            "a@stable",
            "a@stable has lost its row in document_aliases: r",
        ),
    ],
)
def test_losses_are_named_for_people(table: object, row: dict[str, object], name: str, told: str) -> None:
    assert row_name(table, row) == name  # type: ignore[arg-type]  # each is a table
    assert describe_loss(table, row, "r") == told  # type: ignore[arg-type]  # a parameter
