from __future__ import annotations

from kvproxy.server.openapi.openapi_document import describe
from kvproxy.server.openapi.operations.document_file_operations import DOCUMENT_FILES

PATHS = describe(DOCUMENT_FILES, served_name="fake")["paths"]


def test_files_are_described_as_files() -> None:
    taken = PATHS["/kv/v1/documents/import"]["post"]
    assert list(taken["requestBody"]["content"]) == ["application/octet-stream"]
    given = PATHS["/kv/v1/documents/{document}/export"]["get"]["responses"]["200"]
    assert list(given["content"]) == ["application/octet-stream"]
    assert given["content"]["application/octet-stream"]["schema"] == {"type": "string", "format": "binary"}
    assert "Content-Disposition" in given["headers"]


def test_a_manifest_is_json_or_a_bare_signature() -> None:
    answer = PATHS["/kv/v1/documents/{document}/manifest"]["get"]["responses"]["200"]
    assert set(answer["content"]) == {"application/json", "application/jose"}


def test_what_changes_documents_needs_a_publisher() -> None:
    assert {o.id: o.needs for o in DOCUMENT_FILES} == {
        "retrieveManifest": "read",
        "exportDocument": "publish",
        "importDocument": "publish",
    }
