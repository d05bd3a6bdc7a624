from __future__ import annotations

from dataclasses import replace

from kvproxy.server.openapi.operations import OPERATIONS
from tests.server.doubles import client_of, make_proxy


async def test_it_says_where_things_are_without_a_key_and_nothing_else() -> None:
    async with client_of(make_proxy(api_keys=(("alice", "key-0123456789abcdef"),))) as http:
        root = str(http.make_url("/")).rstrip("/")
        answer = await http.get("/")
        told = await answer.json()
        assert answer.status == 200 and answer.headers["Vary"] == "Accept, Origin"
        assert (told["openai_base_url"], told["anthropic_base_url"]) == (f"{root}/v1", root)
        served = {operation.path for operation in OPERATIONS}
        assert set(told["links"].values()) <= served
        odd = await http.get("/", headers={"Accept": "text/html", "Host": "x<script>"})
        assert odd.status == 400 and odd.content_type == "application/json"


async def test_a_browser_is_led_to_the_dashboard_or_shown_the_links_where_it_is_off() -> None:
    proxy = make_proxy(api_keys=(("alice", "key-0123456789abcdef"),))
    accept = {"Accept": "text/html,*/*;q=0.8"}
    async with client_of(proxy) as http:
        led = await http.get("/", headers=accept, allow_redirects=False)
        assert (led.status, led.headers["Location"]) == (303, "/ui")
        assert led.headers["Cache-Control"] == "no-store" and "Accept" in led.headers["Vary"]
    proxy.components = replace(proxy.components, dashboard=False)
    async with client_of(proxy) as http:
        page = await http.get("/", headers=accept)
        text = await page.text()
        links = (await (await http.get("/")).json())["links"]
        assert page.content_type == "text/html" and all(f'href="{x}"' in text for x in links.values())
        assert "script" not in text and "alice" not in text and "fake" not in text
        missing = await http.get("/ui/overview", headers={"Authorization": "Bearer key-0123456789abcdef"})
        assert (missing.status, missing.content_type) == (404, "application/json")


async def test_a_browsers_question_for_an_icon_is_no_fault() -> None:
    async with client_of(make_proxy(api_keys=(("alice", "key-0123456789abcdef"),))) as http:
        answer = await http.get("/favicon.ico")
        assert (answer.status, await answer.read()) == (204, b"") and "max-age" in answer.headers[
            "Cache-Control"
        ]
