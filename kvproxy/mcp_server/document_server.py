"""The MCP server: tools, and each published document as a resource."""

from __future__ import annotations

from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError
from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR, Resource
from typing_extensions import override

from kvproxy import __version__
from kvproxy.client import RequestFailed
from kvproxy.mcp_server.asking_tools import add_asking_tools
from kvproxy.mcp_server.document_tools import add_document_tools
from kvproxy.mcp_server.explaining_tools import add_explaining_tools
from kvproxy.mcp_server.market_tools import add_market_tools
from kvproxy.mcp_server.remote import Remote
from kvproxy.mcp_server.root_folder import RootFolder

_INSTRUCTIONS = (
    "kvproxy keeps the KV cache of published documents: publish a text once with publish_document, then ask about it "
    "any number of times with ask, naming it by its id. That is faster and cheaper than reading a long text again. If "
    "answers are slow, explain says what of a prompt is cached and why the rest is not."
)


class DocumentServer(MCPServer[Any]):
    """Serves the documents of ``remote``, listed anew each time, as ``kv://ID@VERSION``."""

    def __init__(self, remote: Remote, *, root: RootFolder | None = None, allow_delete: bool = False) -> None:
        super().__init__(
            "kvproxy",
            title="kvproxy",
            instructions=_INSTRUCTIONS,
            version=__version__,
            log_level="WARNING",
        )
        self._remote = remote
        add_document_tools(self, remote, root, allow_delete=allow_delete)
        add_asking_tools(self, remote)
        add_explaining_tools(self, remote)
        add_market_tools(self, remote)
        self._add_text()

    @override
    async def list_resources(self) -> list[Resource]:
        """List the published documents as resources."""
        try:
            documents = await self._remote.documents()
        except RequestFailed as e:
            raise MCPError(INTERNAL_ERROR, e.message) from e
        return [_resource(info) for info in documents]

    def _add_text(self) -> None:
        @self.resource(
            "kv://{+reference}",
            name="document",
            title="A published document",
            description="The text of handbook@3, or of the current version of handbook.",
            mime_type="text/plain",
        )
        async def text(reference: str) -> str:
            try:
                found = await self._remote.document(reference, text=True)
            except RequestFailed as e:
                raise ResourceError(e.message) from e
            return str(found["text"])


def _resource(info: dict[str, Any]) -> Resource:
    reference = f"{info['id']}@{info['version']}"
    old = "" if info["current"] else ", not the current version"
    return Resource(
        uri=f"kv://{reference}",
        name=reference,
        description=f"{info['tokens']:,} tokens, {info['visibility']}{old}",
        mime_type="text/plain",
    )
