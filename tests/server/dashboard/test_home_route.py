"""The view that a visitor sees first: the playground while there is nothing to read, by key and by tenant."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvproxy.core import Permission
from tests.server.dashboard.browsing import ACCEPT, Browser, browsing
from tests.server.dashboard.test_documents_view_route import act, publish
from tests.server.doubles import Proxy, make_proxy


async def test_who_may_publish_is_offered_the_example_until_there_is_something(shop_browser: Browser) -> None:
    first = await shop_browser.log_in("key-of-alice")
    assert first.path == "/ui/playground" and "Publish the example" in first.words
    await publish(shop_browser, "rules")
    assert (await shop_browser.get("/ui")).path == "/ui/overview"
    await act(shop_browser, "rules", "delete")
    again = await shop_browser.get("/ui")
    assert again.path == "/ui/playground" and "Publish the example" in again.words


async def test_a_reader_is_told_who_can_publish(shop_browser: Browser) -> None:
    first = await shop_browser.log_in("key-of-reader")
    assert first.path == "/ui/playground" and "Publish the example" not in first.words
    assert "A key with the scope publish publishes documents" in first.words


async def test_a_library_of_others_private_documents_is_empty_for_a_tenant(shop_browser: Browser) -> None:
    await shop_browser.log_in("key-of-alice")
    await publish(shop_browser, "plan", visibility="private")
    assert (await shop_browser.get("/ui")).path == "/ui/overview"
    for key, offered in (("key-of-bob", True), ("key-of-reader", False)):
        first = await shop_browser.log_in(key)
        assert first.path == "/ui/playground" and "plan" not in first.text
        assert ("Publish the example" in first.words) is offered
    await shop_browser.log_in("key-of-bob")
    await publish(shop_browser, "rules")
    assert (await shop_browser.log_in("key-of-reader")).path == "/ui/overview", "bob's is public"


@pytest.mark.parametrize(
    ("scopes", "path"),
    [
        ({"read", "publish"}, "/ui/playground"),
        ({"admin"}, "/ui/overview"),
        ({"publish"}, "/ui/keys"),
        ({"ledger"}, "/ui/publishers"),
    ],
)
async def test_a_key_without_read_begins_where_it_may(scopes: set[Permission], path: str) -> None:
    proxy = make_proxy(api_keys=(("one", "key-of-one"),), permissions={"one": frozenset(scopes)})
    async with browsing(proxy) as browser:
        form = await browser.get("/ui/login")
        fields = {"key": "key-of-one", "next": "/ui", "csrf": form.token}
        headers = ACCEPT
        async with browser.http.post(
            "/ui/login", data=fields, headers=headers, allow_redirects=False
        ) as answer:
            assert answer.headers["Location"] == "/ui"
        async with browser.http.get("/ui", headers=headers, allow_redirects=False) as answer:
            assert answer.headers["Location"] == path


async def test_an_open_proxy_needs_no_login_and_one_without_a_dashboard_has_links(
    document_proxy: Proxy,
) -> None:
    proxy = document_proxy
    components = replace(proxy.components, keyring=make_proxy().components.keyring)
    async with browsing(replace(proxy, components=components)) as browser:
        first = await browser.get("/")
        assert first.path == "/ui/playground" and "Publish the example" in first.words
    async with browsing(replace(proxy, components=replace(components, dashboard=False))) as browser:
        root = await browser.get("/")
        assert root.status == 200 and root.path == "/" and "/docs" in root.text
        assert (await browser.get("/ui")).status == 404
