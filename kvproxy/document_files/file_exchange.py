"""`FileExchange`: a host's way out and in for documents in files."""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.document_files.document_export import DocumentExporter
from kvproxy.document_files.document_import import DocumentImporter


@dataclass(frozen=True, slots=True)
class FileExchange:
    """Both ways of a document's file, over one publisher and one store."""

    exporter: DocumentExporter
    importer: DocumentImporter
