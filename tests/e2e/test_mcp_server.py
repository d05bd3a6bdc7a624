"""An agent's way through ``kvproxy mcp``, over both transports, on the real small model."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from tests.e2e.conftest import Fresh
from tests.e2e.reader import MODEL, Reader
from tests.e2e.texts import document, in_system
from tests.mcp_server.conftest import call

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

TOKEN = "a-token-of-the-test"


def command(tenant: Reader, *options: str) -> list[str]:
    return ["-W", "error", "-m", "kvproxy", "mcp", "--url", tenant.url, "--api-key", tenant.key, *options]


@contextmanager
def over_http(tenant: Reader) -> Iterator[str]:
    """The URL of a server in a process of its own."""
    start = [sys.executable, *command(tenant, "--http", "127.0.0.1:0", "--token", TOKEN)]
    with subprocess.Popen(start, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            found = re.search(r"http://\S+", process.stderr.readline())
            assert found is not None
            yield found[0]
        finally:
            process.send_signal(signal.SIGTERM)


@pytest.mark.slow  # explaining goes over stdio too, and asking over HTTP
async def test_an_agent_publishes_and_asks_over_stdio(fresh: Fresh) -> None:
    tenant = fresh()
    texts = {"mcp/one": document("one", 2_500), "mcp/two": document("two", 2_500, 3_000)}
    told: list[float] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append(progress)

    async with Client(StdioServerParameters(command=sys.executable, args=command(tenant))) as client:
        for id, text in texts.items():
            published = await call(client, "publish_document", id=id, text=text, visibility="private")
            assert published["created"] and published["document"]["cached_tokens"] > 500
        three = {"id": "mcp/one", "text": document("three", 6_000, 9_000)}
        again = await client.call_tool("publish_document", three, progress_callback=hear)
        assert not again.is_error and told and told == sorted(set(told))

        listed = (await call(client, "list_documents"))["documents"]
        assert {"mcp/one@1", "mcp/one@2", "mcp/two@1"} <= {d["reference"] for d in listed}
        [content] = (await client.read_resource("kv://mcp/two")).contents
        assert content.model_dump()["text"] == texts["mcp/two"]

        one = await call(client, "ask", question="What is it?", documents=["mcp/one"], max_tokens=8)
        kept = next(d["cached_tokens"] for d in listed if d["reference"] == "mcp/one@2")
        assert (one["outcome"], one["cached_tokens"], one["model"]) == ("hit", kept, MODEL)
        assert one["completion_tokens"] <= 8 and one["answer"] and one["ttft_s"] > 0

        both = {"question": "And now?", "max_tokens": 4}
        await call(client, "ask", documents=["mcp/two", "mcp/one"], **both)
        other_order = await call(client, "ask", documents=["mcp/one", "mcp/two"], **both)
        assert other_order["cached_tokens"] > kept + 500


async def test_a_prompt_is_explained(fresh: Fresh) -> None:
    tenant = fresh()
    text = document("explained", 2_500)
    messages = in_system(text, "Why?")
    async with Client(StdioServerParameters(command=sys.executable, args=command(tenant))) as client:
        counted = await call(client, "explain", messages=messages, send=False)
        miss = await call(client, "explain", messages=messages)
        assert (miss["outcome"], miss["reason"]) == ("miss", "no-document")
        assert (
            miss["cached_tokens"] < 8
        )  # the template's own first words may stand in a page that is everybody's
        assert miss["prompt_tokens"] == counted["prompt_tokens"] > 500 and miss["recent_misses"] == []

        await call(client, "publish_document", id="explained", text=text, visibility="private")
        hit = await call(client, "explain", messages=in_system(text, "How?"))
        assert (hit["outcome"], hit["recognised"]) == ("hit", "explained@1")
        assert hit["cached_tokens"] > 500
        [document_] = hit["documents"]
        assert document_["reference"] == "explained@1" and document_["cached_tokens"] > 500
        [earlier] = hit["recent_misses"]
        assert (earlier["reason"], earlier["client"]) == ("no-document", "kvproxy-mcp")


async def test_what_a_client_gives_up_ends_at_the_proxy(fresh: Fresh) -> None:
    tenant = fresh()

    def wait_until_left() -> None:
        deadline = time.monotonic() + 60
        while "left" not in [entry["outcome"] for entry in tenant.http.get("/kv/v1/requests").json()["data"]]:
            assert time.monotonic() < deadline, "the proxy goes on answering nobody"
            time.sleep(0.1)

    async with Client(StdioServerParameters(command=sys.executable, args=command(tenant))) as client:
        # Its prefill alone takes longer than the client waits, whatever the model then says.
        asked = {"question": document("given up", 24_000), "documents": [], "max_tokens": 500}
        with pytest.raises(MCPError, match="imed out"):
            await client.call_tool("ask", asked, read_timeout_seconds=0.8)
        await anyio.to_thread.run_sync(wait_until_left)


async def test_an_agent_asks_over_http(fresh: Fresh) -> None:
    tenant = fresh()
    tenant.publish("over-http", document("over http", 2_500), "private")
    with over_http(tenant) as url:
        async with (
            httpx2.AsyncClient(headers={"authorization": f"Bearer {TOKEN}"}, timeout=120) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            answer = await call(client, "ask", question="What?", documents=["over-http"], max_tokens=8)
            assert answer["outcome"] == "hit" and answer["cached_tokens"] > 500
            missing = await client.call_tool("ask", {"question": "What?", "documents": ["not-there"]})
            assert missing.is_error and "No such document: 'not-there'" in str(missing.content)
