from __future__ import annotations

import pytest

from kvproxy.core import LATEST, Caller, DocumentRef
from kvproxy.documents.library.library import Library
from kvproxy.errors import DocumentNotFound, DocumentRevoked, PermissionDenied
from kvproxy.publishing.meant_documents import deletable_versions, meant_documents, touchable_document
from tests.documents.library.test_library import ALICE, BOB, known


@pytest.fixture
def library() -> Library:
    """Alice's handbook in three versions, of which the first has expired, and ``stable`` is the second."""
    library = Library()
    for version in (1, 2, 3):
        library.add(known("handbook", f"text {version}", version))
    library.withdraw(DocumentRef("handbook", 1), "expired")
    library.aliases.set("handbook", "stable", 2)
    return library


@pytest.mark.parametrize(
    ("ref", "served", "ended"),
    [
        (DocumentRef("handbook"), [2, 3], [1]),
        (DocumentRef("handbook", 1), [], [1]),
        (DocumentRef("handbook", 3), [3], []),
        (DocumentRef("handbook", alias="stable"), [2], []),
        (DocumentRef("handbook", alias=LATEST), [3], []),
    ],
)
def test_a_publisher_means_its_versions_served_and_ended(
    library: Library, ref: DocumentRef, served: list[int], ended: list[int]
) -> None:
    own, over = deletable_versions(library, ref, ALICE)
    assert [k.document.version for k in own] == served
    assert [r.version for r in over] == ended
    assert [d.version for d in meant_documents(library, ref, ALICE)] == served + ended


@pytest.mark.parametrize(
    ("caller", "id", "error"), [(ALICE, "other", DocumentNotFound), (BOB, "handbook", PermissionDenied)]
)
def test_what_is_not_there_or_anothers_is_not_deleted(
    library: Library, caller: Caller, id: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        deletable_versions(library, DocumentRef(id), caller)


def test_one_that_has_expired_is_touched_and_one_that_was_revoked_is_not(library: Library) -> None:
    assert touchable_document(library, DocumentRef("handbook"), ALICE).version == 3
    assert touchable_document(library, DocumentRef("handbook", 1), ALICE).version == 1
    library.withdraw(DocumentRef("handbook", 2), "revoked", "wrong")
    with pytest.raises(DocumentRevoked):
        touchable_document(library, DocumentRef("handbook", 2), ALICE)
    with pytest.raises(PermissionDenied):
        touchable_document(library, DocumentRef("handbook"), BOB)
