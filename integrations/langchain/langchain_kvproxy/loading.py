"""`publish_documents`: publishes a loader's documents, again only where a text has changed."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sized
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import chain
from os import PathLike
from typing import Literal

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document
from langchain_core.indexing import RecordManager

from langchain_kvproxy._client import DocumentUnknown, KVProxyClient, KVProxyError
from langchain_kvproxy._progress import progress_line
from langchain_kvproxy._publishing import Cleanup, PublishCounts, Run
from langchain_kvproxy.documents import document_id as default_id

__all__ = ["PublishCounts", "apublish_documents", "publish_documents"]

_OUTDATED = 1000
"""Records that are deleted at a time."""


def publish_documents(
    documents: BaseLoader | Iterable[Document],
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    client: KVProxyClient | None = None,
    visibility: Literal["public", "granted", "private"] | None = None,
    root: str | PathLike[str] | None = None,
    document_id: Callable[[Document], str] | None = None,
    record_manager: RecordManager | None = None,
    cleanup: Cleanup | None = None,
    progress: bool | None = None,
    on_error: Literal["raise", "log"] = "raise",
) -> PublishCounts:
    """Publish a loader's documents: new ones, and new versions of those with a changed text.

    The proxy's list is fetched once; a text is not sent if its sha256 is the current version's ETag. Parts of one
    source that follow each other and have no page or start are published as `source/part-1`, `source/part-2` … in
    the loader's order, so that none has the id of the whole; two sources that have one id (the same file in two
    folders) are distinguished by digits. An id never contains an absolute path, see `document_id`.

    Args:
        documents: A loader or any documents.
        base_url: The proxy's root, with or without `/v1`; else `KVPROXY_BASE_URL`.
        api_key: Else `KVPROXY_API_KEY`.
        client: A client to use instead of both.
        visibility: `"private"` is for this API key alone, `"granted"` for those whom a grant of the proxy's lets in.
            None: as the version before, else the proxy's default.
        root: A folder: ids of files in it are their paths below it. Else an absolute path's id is its last folder
            and the file's name.
        document_id: A function that returns a document's id, instead of `document_id`.
        record_manager: One of LangChain's indexing API. It records the documents of this run, so that a later run
            can clean up.
        cleanup: As in LangChain's `index`, and with a record manager only. `"incremental"` deletes the older
            versions that were recorded of the documents seen now; `"full"` also deletes recorded documents that the
            loader no longer yields. Documents that were published otherwise are never deleted.
        progress: Whether to show a line on stderr. None: if that is a terminal.
        on_error: `"log"` goes on with the next document when the proxy refuses one. An unreachable proxy always
            raises.

    Returns:
        The counts of documents that were added, updated, skipped and deleted, and all their references.

    Raises:
        KVProxyError: No proxy answers, or it refuses a document.
        ValueError: `cleanup` without a record manager.

    Example:
        ```python
        from langchain_core.documents import Document
        from langchain_kvproxy import publish_documents

        handbook = Document("Employees have thirty days of leave a year", id="handbook")
        counts = publish_documents([handbook])
        print(counts, counts.references)
        ```

    With a record manager, which deletes documents from the proxy once the folder has lost them:
        ```python
        from langchain_core.indexing import InMemoryRecordManager

        records = InMemoryRecordManager(namespace="handbooks")
        records.create_schema()
        publish_documents([handbook], record_manager=records, cleanup="full")
        ```
    """
    _check(record_manager, cleanup)
    with _client(client, base_url, api_key) as proxy:
        began = record_manager.get_time() if record_manager else 0.0
        run = Run(
            proxy.documents(),
            id_of=document_id or _by_source(root),
            visibility=visibility,
            on_error=on_error,
            line=progress_line(progress, _length(documents)),
        )
        for document in chain(_documents(documents), (None,)):
            job = run.next(document)
            if job is None:
                continue
            try:
                run.published(
                    job, proxy.publish(job.id, job.text, visibility=visibility, progress=run.progress(job))
                )
            except KVProxyError as e:
                run.failed(job, e)
        if record_manager is not None:
            _record(record_manager, run, began)
            if cleanup is not None:
                _clean(proxy, record_manager, run, cleanup, began)
        return run.end()


async def apublish_documents(
    documents: BaseLoader | Iterable[Document] | AsyncIterable[Document],
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    client: KVProxyClient | None = None,
    visibility: Literal["public", "granted", "private"] | None = None,
    root: str | PathLike[str] | None = None,
    document_id: Callable[[Document], str] | None = None,
    record_manager: RecordManager | None = None,
    cleanup: Cleanup | None = None,
    progress: bool | None = None,
    on_error: Literal["raise", "log"] = "raise",
) -> PublishCounts:
    """Do the same as `publish_documents`, asynchronously; takes async iterables too.

    Example:
        ```python
        from langchain_core.documents import Document
        from langchain_kvproxy import apublish_documents

        handbook = Document("Employees have thirty days of leave a year", id="handbook")
        counts = await apublish_documents([handbook], visibility="private")
        ```
    """
    _check(record_manager, cleanup)
    with _client(client, base_url, api_key) as proxy:
        began = await record_manager.aget_time() if record_manager else 0.0
        run = Run(
            await proxy.adocuments(),
            id_of=document_id or _by_source(root),
            visibility=visibility,
            on_error=on_error,
            line=progress_line(progress, _length(documents)),
        )
        async for document in _adocuments(documents):
            job = run.next(document)
            if job is None:
                continue
            try:
                result = await proxy.apublish(
                    job.id, job.text, visibility=visibility, progress=run.progress(job)
                )
                run.published(job, result)
            except KVProxyError as e:
                run.failed(job, e)
        if record_manager is not None:
            await _arecord(record_manager, run, began)
            if cleanup is not None:
                await _aclean(proxy, record_manager, run, cleanup, began)
        return run.end()


def _by_source(root: str | PathLike[str] | None) -> Callable[[Document], str]:
    return partial(default_id, root=root)


def _record(records: RecordManager, run: Run, began: float) -> None:
    keys = run.keys
    if keys:
        records.update(list(keys), group_ids=list(keys.values()), time_at_least=began)


async def _arecord(records: RecordManager, run: Run, began: float) -> None:
    keys = run.keys
    if keys:
        await records.aupdate(list(keys), group_ids=list(keys.values()), time_at_least=began)


def _clean(proxy: KVProxyClient, records: RecordManager, run: Run, cleanup: Cleanup, began: float) -> None:
    groups = sorted(set(run.keys.values())) if cleanup == "incremental" else None
    if groups == []:
        return
    while keys := records.list_keys(before=began, group_ids=groups, limit=_OUTDATED):
        for reference in run.outdated(keys):
            try:
                proxy.delete(reference)
                run.deleted()
            except DocumentUnknown:
                pass  # deleted meanwhile
        records.delete_keys(keys)


async def _aclean(
    proxy: KVProxyClient, records: RecordManager, run: Run, cleanup: Cleanup, began: float
) -> None:
    groups = sorted(set(run.keys.values())) if cleanup == "incremental" else None
    if groups == []:
        return
    while keys := await records.alist_keys(before=began, group_ids=groups, limit=_OUTDATED):
        for reference in run.outdated(keys):
            try:
                await proxy.adelete(reference)
                run.deleted()
            except DocumentUnknown:
                pass  # deleted meanwhile
        await records.adelete_keys(keys)


def _check(records: RecordManager | None, cleanup: Cleanup | None) -> None:
    if cleanup not in (None, "incremental", "full"):
        raise ValueError(f"cleanup must be 'incremental', 'full' or None, not {cleanup!r}")
    if cleanup is not None and records is None:
        raise ValueError("cleanup needs a record_manager, which holds the records of earlier runs: give one")


def _client(
    client: KVProxyClient | None, base_url: str | None, api_key: str | None
) -> AbstractContextManager[KVProxyClient]:
    return KVProxyClient(base_url, api_key) if client is None else nullcontext(client)


def _length(documents: object) -> int | None:
    return len(documents) if isinstance(documents, Sized) else None


def _documents(documents: BaseLoader | Iterable[Document]) -> Iterator[Document]:
    return documents.lazy_load() if isinstance(documents, BaseLoader) else iter(documents)


async def _adocuments(
    documents: BaseLoader | Iterable[Document] | AsyncIterable[Document],
) -> AsyncIterator[Document | None]:
    """Yield the documents, and None at the end."""
    source = documents.alazy_load() if isinstance(documents, BaseLoader) else documents
    if isinstance(source, AsyncIterable):
        async for document in source:
            yield document
    else:
        for document in source:
            yield document
    yield None
