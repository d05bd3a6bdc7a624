"""The lines that a document's view offers do what they say: each is run against the proxy that shows it."""

from __future__ import annotations

import asyncio
import html
import json
import os
import re
import sys

import pytest

from tests.server.dashboard.browsing import Browser, Page
from tests.server.dashboard.test_documents_view_route import publish


def lines_of(view: Page, id: str) -> str:
    found = re.search(rf'<pre id="{id}"[^>]*>(.*?)</pre>', view.text, re.DOTALL)
    assert found is not None
    return html.unescape(found[1])


async def run(*command: str) -> str:
    own = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**own, "KVPROXY_API_KEY": "key-of-reader"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.fixture
async def document(shop_browser: Browser) -> Page:
    await shop_browser.log_in("key-of-alice")
    return await publish(shop_browser, "team/rules")


async def test_the_lines_for_curl(document: Page) -> None:
    answer = json.loads(await run("bash", "-c", lines_of(document, "paste-curl")))
    assert answer["choices"][0]["message"]["content"]
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] > 256


@pytest.mark.timeout(300)
@pytest.mark.parametrize("client", ["openai", "langchain", "retriever"])
async def test_the_lines_for_python(document: Page, client: str) -> None:
    pytest.importorskip("openai" if client == "openai" else "langchain_kvproxy")
    said = await run(sys.executable, "-c", lines_of(document, f"paste-{client}"))
    kept = re.search(r"^(\d+) (?:of \d+ )?tokens were kept$", said, re.MULTILINE)
    assert kept is not None and int(kept[1]) > 256, said
