"""The addresses that document names become."""

from __future__ import annotations

import httpx
import pytest

from langchain_kvproxy._protocol import document_path


@pytest.mark.parametrize(
    ("ref", "path"),
    [
        ("handbook@3", "handbook@3"),
        ("law/handbook", "law/handbook"),
        ("team/a/../b", "team%2Fa%2F..%2Fb"),
        ("team//b", "team%2F%2Fb"),
        ("../b", "..%2Fb"),
        ("a b?c#d%2F", "a%20b%3Fc%23d%252F"),
    ],
)
def test_a_name_is_sent_to_the_letter(ref: str, path: str) -> None:
    """Through httpx, which resolves ``..`` and would name another document."""
    sent = httpx.Request("DELETE", httpx.URL("http://x").join(document_path(ref))).url.raw_path
    assert sent == f"/kv/v1/documents/{path}".encode()


@pytest.mark.parametrize("ref", ["", ".", ".."])
def test_what_can_be_no_name(ref: str) -> None:
    with pytest.raises(ValueError, match="names no document"):
        document_path(ref)
