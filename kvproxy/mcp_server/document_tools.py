"""Tools that publish, list, show and delete documents."""

from __future__ import annotations

from typing import Annotated, Any

import anyio.to_thread
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import ToolAnnotations
from pydantic import Field

from kvproxy.core import NAMEABLE_ID, Visibility
from kvproxy.errors import InvalidRequest
from kvproxy.mcp_server.remote import Remote
from kvproxy.mcp_server.root_folder import RootFolder
from kvproxy.mcp_server.tool_arguments import Reference
from kvproxy.mcp_server.tool_errors import as_tool_error
from kvproxy.mcp_server.tool_results import (
    DeletedDocument,
    DocumentList,
    PublishedDocument,
    ShownDocument,
    summary,
)

_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_PUBLISHES = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
_DELETES = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=False
)

_Id = Annotated[
    str,
    Field(
        description="What readers name it by, e.g. handbook: 1 to 128 letters, digits and . _ - /, the first a letter "
        "or digit.",
        pattern=f"^{NAMEABLE_ID}$",
    ),
]
_Visibility = Annotated[
    Visibility | None,
    Field(
        description="private: for this API key alone; granted: for those whom a grant of the proxy's lets in; public: "
        "for every caller. Left out: as configured."
    ),
]
_Pin = Annotated[bool | None, Field(description="Keep its KV in memory. Left out: as the version before it.")]

_File = Annotated[
    str | None,
    Field(description="A UTF-8 text file instead, by its path below the folder that this server was given."),
]

_PUBLISH = (
    "Publish a text under an id, so that its prefill is paid once, now: every later question that brings it is "
    "answered from kept KV, with the same bits. The same text again changes nothing; another text is a new version. "
    "Takes as long as one prefill and reports progress in tokens."
)


def add_document_tools(
    server: MCPServer[Any], remote: Remote, root: RootFolder | None, *, allow_delete: bool
) -> None:
    """``publish_document`` takes files only where there is a ``root`` for them; ``delete_document`` is there only if
    allowed.

    Example: ``add_document_tools(server, remote, None, allow_delete=False)``
    """
    if root is None:
        _add_publish_text(server, remote)
    else:
        _add_publish_text_or_file(server, remote, root)
    _add_list(server, remote)
    _add_show(server, remote)
    if allow_delete:
        _add_delete(server, remote)


def _add_publish_text(server: MCPServer[Any], remote: Remote) -> None:
    @server.tool(title="Publish a document", description=_PUBLISH, annotations=_PUBLISHES)
    async def publish_document(
        ctx: Context[Any, Any],
        id: _Id,
        text: Annotated[str, Field(description="The whole text.")],
        visibility: _Visibility = None,
        pin: _Pin = None,
    ) -> PublishedDocument:
        with as_tool_error():
            return await _publish(ctx, remote, id, text, visibility, pin)


def _add_publish_text_or_file(server: MCPServer[Any], remote: Remote, root: RootFolder) -> None:
    @server.tool(
        title="Publish a document",
        description=f"{_PUBLISH} Give either `text` or `file`.",
        annotations=_PUBLISHES,
    )
    async def publish_document(
        ctx: Context[Any, Any],
        id: _Id,
        text: Annotated[str | None, Field(description="The whole text.")] = None,
        file: _File = None,
        visibility: _Visibility = None,
        pin: _Pin = None,
    ) -> PublishedDocument:
        with as_tool_error():
            if (text is None) == (file is None):
                raise InvalidRequest("give either 'text' or 'file'")
            if file is not None:
                text = await anyio.to_thread.run_sync(root.read, file)
            return await _publish(ctx, remote, id, text or "", visibility, pin)


async def _publish(
    ctx: Context[Any, Any],
    remote: Remote,
    id: str,
    text: str,
    visibility: Visibility | None,
    pin: bool | None,
) -> PublishedDocument:
    reported = -1

    async def report(done: int, total: int) -> None:
        nonlocal reported
        if done > reported:  # the protocol wants progress to grow
            reported = done
            await ctx.report_progress(done, total, f"{done:,} of {total:,} tokens")

    given = {"visibility": visibility, "pinned": pin}
    body = {"id": id, "text": text} | {name: value for name, value in given.items() if value is not None}
    result = await remote.publish(body, report)
    if result["created"]:
        await ctx.notify_resources_changed()
    return PublishedDocument(
        document=summary(result["info"]), created=result["created"], prefill_s=result["prefill_s"]
    )


def _add_list(server: MCPServer[Any], remote: Remote) -> None:
    @server.tool(title="List the documents", annotations=_READS)
    async def list_documents() -> DocumentList:
        """List every published document that may be read, all versions, with how many of its tokens are kept now."""
        with as_tool_error():
            return DocumentList(documents=[summary(info) for info in await remote.documents()])


def _add_show(server: MCPServer[Any], remote: Remote) -> None:
    @server.tool(title="Show a document", annotations=_READS)
    async def show_document(
        id: Reference,
        text: Annotated[bool, Field(description="Its whole text too. `ask` needs no text.")] = False,
    ) -> ShownDocument:
        """Show one published document: version, size, and the share of it that is kept now."""
        with as_tool_error():
            found = await remote.document(id, text=text)
            return ShownDocument(document=summary(found), text=found["text"] if text else None)


def _add_delete(server: MCPServer[Any], remote: Remote) -> None:
    @server.tool(title="Delete a document", annotations=_DELETES)
    async def delete_document(ctx: Context[Any, Any], id: Reference) -> DeletedDocument:
        """Delete one version (handbook@3), or all versions (handbook), with its kept pages. Cannot be undone."""
        with as_tool_error():
            await remote.delete(id)
        await ctx.notify_resources_changed()
        return DeletedDocument(deleted=id)
