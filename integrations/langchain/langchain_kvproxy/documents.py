"""Ids, canonical order and content parts of documents.

All functions are pure: values in, new values out, no request, no state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, Literal

from langchain_core.documents import Document

from langchain_kvproxy._digest import text_digest
from langchain_kvproxy._naming import id_of_name, is_reference

KVPROXY_DOCUMENT = "kvproxy_document"
"""Metadata key: the proxy's reference, ``"handbook@3"`` (or ``"handbook"`` for its current version)."""
KVPROXY_VERSION = "kvproxy_version"
"""Metadata key: the version as a number."""
KVPROXY_TOKENS = "kvproxy_tokens"
"""Metadata key: the text's number of tokens for the proxy's model."""
KVPROXY_ORDER = "kvproxy_order"
"""Metadata key: the document's place in a `KVProxyRetriever`'s order, counted from 0."""

END_OF_DOCUMENT = "End of document"
"""The line that ``seam_safe`` adds to a document that ends in anything but a letter or digit."""

_CHUNK = ("page", "start_index")
"""Metadata keys in which loaders and splitters write a document's place in its source."""


def reference_of(document: Document) -> str | None:
    """Return the proxy's reference in the document's metadata; None where it is missing or malformed."""
    reference = document.metadata.get(KVPROXY_DOCUMENT)
    return reference if isinstance(reference, str) and is_reference(reference) else None


def own_id(document: Document) -> str | None:
    """Return the id that was given to this very text: that of its reference, else ``Document.id``; else None."""
    reference = reference_of(document)
    if reference is not None:
        return reference.partition("@")[0]
    return id_of_name(document.id) if document.id else None


def document_id(document: Document, *, root: str | PathLike[str] | None = None) -> str:
    """Return the id under which a document is published: the same for the same document, on every machine.

    It is the id of the reference in the metadata, else ``Document.id``, else the metadata's ``source`` (followed by
    ``page`` and ``start_index``, where a loader or splitter wrote them), else ``doc-`` and the start of the
    text's digest. An absolute path is cut to the last folder and the file's name. Characters that an id of the proxy
    cannot hold become ``-``; then a few digits keep two ids apart that would otherwise be one.

    Splits that do not say where they begin have their file's id: `publish_documents` numbers them
    (``handbook.md/part-2``), and a `KVProxyRetriever` puts the start of their digest behind it, so that neither
    becomes a version of the whole file.

    Args:
        document: Any document.
        root: A folder; a path in it is cut to its part below it.

    Returns:
        1 to 128 letters, digits and ``. _ - /``, the first a letter or digit; no segment is empty, ``.`` or ``..``.

    Example:
        ```python
        from langchain_core.documents import Document
        from langchain_kvproxy import document_id

        page = Document("Leave is 30 days.", metadata={"source": "docs/handbook.pdf", "page": 4})
        assert document_id(page) == "docs/handbook.pdf/page-4"
        moved = Document("Leave is 30 days.", metadata={"source": "/home/ada/team/docs/handbook.pdf"})
        assert document_id(moved) == "docs/handbook.pdf"
        assert document_id(moved, root="/home/ada") == "team/docs/handbook.pdf"
        ```
    """
    own = own_id(document)
    if own is not None:
        return own
    source = source_of(document)
    if source is None:
        return f"doc-{text_digest(document.page_content)[:16]}"
    chunk = [f"/{key}-{document.metadata[key]}" for key in _CHUNK if document.metadata.get(key) is not None]
    return id_of_name(source, root, part="".join(chunk))


def source_of(document: Document) -> str | None:
    """Return the metadata's ``source``, which a loader writes; None where it is missing or blank."""
    source = document.metadata.get("source")
    return str(source) if source is not None and str(source).strip() else None


def canonical(documents: Iterable[Document], shared: Mapping[str, int] | None = None) -> list[Document]:
    """Sort documents into one order, each text once: the same documents in any order give the same start.

    A prompt's tokens are reused up to the first that differs, so the documents that most prompts share go first.

    Args:
        documents: In any order; not modified.
        shared: The number of prompts that share a text, by ``text_digest``: the highest first, 0 for a missing one.
            Without it the order of a ``KVProxyRetriever`` counts, and documents from elsewhere go before its own.
            Equal ones are ordered by ``document_id``.

    Returns:
        The documents themselves, no copies. Of several with one text, one with a reference is preferred.

    Example:
        ```python
        from langchain_core.documents import Document
        from langchain_kvproxy import canonical

        leave, travel = Document("Leave is 30 days.", id="leave"), Document("Trains only.", id="travel")
        assert canonical([travel, leave, travel]) == canonical([leave, travel]) == [leave, travel]
        ```
    """
    found = [
        (_order(d) if shared is None else -shared.get(key_of(d), 0), document_id(d), key_of(d), d)
        for d in without_repeats(unique(documents))
    ]
    return [document for *_, document in sorted(found, key=lambda entry: entry[:3])]


def unique(documents: Iterable[Document]) -> list[Document]:
    """Keep each text once, at its first place, without empty documents (a blank page).

    Of several with one text, one with a reference is preferred.
    """
    chosen: dict[str, Document] = {}
    for document in documents:
        if says_nothing(document):
            continue
        key = key_of(document)
        if key not in chosen or _preference(document) < _preference(chosen[key]):
            chosen[key] = document
    return list(chosen.values())


def without_repeats(documents: Sequence[Document]) -> list[Document]:
    """Drop each reference that is among the documents with its text too."""
    with_text = {reference_of(d) for d in documents if has_text(d)} - {None}
    return [d for d in documents if has_text(d) or reference_of(d) not in with_text]


def key_of(document: Document) -> str:
    """Return the key that equal documents share: the text's digest, or that of the reference where there is no text."""
    reference = reference_of(document)
    if reference is not None and not has_text(document):
        return text_digest(f"{KVPROXY_DOCUMENT}: {reference}")
    return text_digest(document.page_content)


def as_part(document: Document, by: Literal["reference", "text"] = "reference") -> dict[str, Any]:
    """Turn a document into one content part of a message.

    Args:
        document: With a reference in its metadata, a text, or both.
        by: ``"reference"`` sends the name alone. A document without one goes by its text, which the proxy
            finds again if it has been published since. ``"text"`` sends the text, closed by ``seam_safe``,
            and can be read by any server.

    Returns:
        A ``kv_document`` or ``text`` part.

    Raises:
        ValueError: The document has neither a text nor a reference, or no text where `by="text"` needs one.

    Example:
        ```python
        from langchain_core.documents import Document
        from langchain_kvproxy import as_part

        handbook = Document("Leave is 30 days.", metadata={"kvproxy_document": "handbook@3"})
        assert as_part(handbook) == {"type": "kv_document", "document": "handbook@3"}
        assert as_part(handbook, by="text")["type"] == "text"
        ```
    """
    if by not in ("reference", "text"):
        raise ValueError(f"by must be 'reference' or 'text', not {by!r}")
    reference = reference_of(document)
    if by == "reference" and reference is not None:
        return {"type": "kv_document", "document": reference}
    if has_text(document):
        return {"type": "text", "text": seam_safe(document.page_content)}
    if reference is not None:
        raise ValueError(f"'{reference}' is a reference without its text; send it with by='reference'")
    raise ValueError(
        f"the document '{document_id(document)}' has neither text nor a reference to a published document "
        f"(metadata['{KVPROXY_DOCUMENT}'])"
    )


def seam_safe(text: str) -> str:
    """Close a text so that no tokenizer merges its end with the next part.

    Punctuation and a line feed may be one token, a letter or digit and a line feed never are. So a text that
    ends otherwise is closed by a line that ends in a letter. The text is only extended, but for the white space at
    its end: its start is that of the published text, white space included, which is part of a prefix.

    Args:
        text: A document's text.

    Returns:
        The text, ending in a letter or digit and one line feed.

    Example:
        ```python
        from langchain_kvproxy import seam_safe

        assert seam_safe("Trains only") == "Trains only\\n"
        assert seam_safe("Trains only.") == "Trains only.\\nEnd of document\\n"
        ```
    """
    body = text.rstrip()
    if body and not body[-1].isalnum():
        body = f"{body}\n{END_OF_DOCUMENT}"
    return body + "\n"


def has_text(document: Document) -> bool:
    """Return whether the text is more than white space and byte order marks: the proxy publishes no other text."""
    text: object = document.page_content  # None where a model was made without validation
    return isinstance(text, str) and bool(text.replace("\ufeff", "").strip())


def says_nothing(document: Document) -> bool:
    """Return whether a document has neither a text nor a reference, as a blank page of a scan."""
    return not has_text(document) and reference_of(document) is None


def _order(document: Document) -> int:
    order = document.metadata.get(KVPROXY_ORDER)
    return order if isinstance(order, int) else -1


def _preference(document: Document) -> tuple[bool, str, str]:
    reference = reference_of(document)
    return (reference is None, document_id(document), reference or "")
