from __future__ import annotations

import pytest

from kvproxy.core import DocumentRef
from kvproxy.errors import InvalidRequest
from kvproxy.wire.kv_documents.document_ref import parse_document_ref


@pytest.mark.parametrize(
    "ref", [DocumentRef("handbook"), DocumentRef("a/b_c.d-e", 3), DocumentRef("x" * 128, 1)]
)
def test_a_written_reference_is_read_back(ref: DocumentRef) -> None:
    assert parse_document_ref(str(ref), param="document") == ref


@pytest.mark.parametrize(
    "text", ["", "@3", "a@", "a@0", "a@-1", "a@1@2", "a b", ".a", "é", "x" * 129, "a\n", "a@٣"]
)
def test_a_text_that_names_no_document_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_document_ref(text, param="document")
    assert caught.value.param == "document"
