"""Documents as resources, and what a client is told of the server."""

from __future__ import annotations

import pytest
from mcp.shared.exceptions import MCPError

from kvproxy import __version__
from tests.fake_proxy import FakeProxy
from tests.mcp_server.conftest import connected


async def test_each_document_is_a_resource(proxy: FakeProxy) -> None:
    async with connected(proxy.url) as client:
        assert (await client.list_resources()).resources == []
        proxy.publish({"id": "team/handbook", "text": "ein zwei\u2028drei\n"})
        [resource] = (await client.list_resources()).resources
        assert (str(resource.uri), resource.description) == ("kv://team/handbook@1", "3 tokens, public")
        for uri in ("kv://team/handbook@1", "kv://team/handbook"):
            [content] = (await client.read_resource(uri)).contents
            assert content.model_dump()["text"] == "ein zwei\u2028drei\n"
        [template] = (await client.list_resource_templates()).resource_templates
        assert template.uri_template == "kv://{+reference}"


async def test_a_resource_that_is_not_there_is_told(proxy: FakeProxy) -> None:
    async with connected(proxy.url) as client:
        with pytest.raises(MCPError, match="No such document: 'nope'"):
            await client.read_resource("kv://nope")
        with pytest.raises(MCPError, match="Unknown resource"):
            await client.read_resource("kv://a/../../b")
    async with connected("http://127.0.0.1:9") as client:
        with pytest.raises(MCPError, match="no proxy answers"):
            await client.list_resources()


async def test_the_server_introduces_itself(proxy: FakeProxy) -> None:
    async with connected(proxy.url) as client:
        assert client.server_info is not None
        assert (client.server_info.name, client.server_info.version) == ("kvproxy", __version__)
        assert client.instructions is not None and "publish_document" in client.instructions
