from __future__ import annotations

import pytest

from kvproxy.errors import (
    DocumentExpired,
    DocumentNotFound,
    DocumentQuotaExceeded,
    DocumentRejected,
    DocumentRevoked,
    KVProxyError,
    PreconditionFailed,
)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (DocumentRejected("It is empty.", param="text"), 400, "document_rejected"),
        (DocumentQuotaExceeded("100 versions at most."), 403, "document_quota_exceeded"),
        (DocumentNotFound("handbook@3"), 404, "document_not_found"),
        (DocumentRevoked("handbook@3", "it was wrong"), 410, "document_revoked"),
        (DocumentExpired("handbook@3", 1_790_000_000), 410, "document_expired"),
        (PreconditionFailed("It is another version."), 412, "precondition_failed"),
    ],
)
def test_each_has_its_status_and_code(error: KVProxyError, status: int, code: str) -> None:
    assert (error.http_status, error.code) == (status, code)


def test_names_of_what_is_missing_stand_in_the_message() -> None:
    assert "'handbook@3'" in DocumentNotFound("handbook@3").message


def test_a_publishers_reason_is_cut() -> None:
    error = DocumentRevoked("handbook@3", "r" * 5_000)
    assert "handbook@3" in error.message and "r" * 256 in error.message and "r" * 257 not in error.message


def test_the_end_of_a_version_says_when_it_was() -> None:
    assert "1790000000" in DocumentExpired("handbook@3", 1_790_000_000).message
